"""How long does random replacement take, from the paper's case to popular unseen items?"""

from __future__ import annotations

import random
from bisect import bisect_right
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from atjt_ext.ops import alias_table, random_replacement
from question import Result
from replacement_question import Replacement


@dataclass(frozen=True)
class PaperCase(Replacement):
    """Exactly half of the rows, one position each, a uniform item other than the original."""

    num_positions = 1

    @property
    def what(self) -> str:
        return "one position of half of the rows"

    @property
    def num_rows(self) -> int:
        return self.rows // 2

    def _ours(self) -> Result:
        return _ours(self, sequence_fraction=0.5, num_replacements=1)

    def _eager(self) -> Result:
        """The fewest steps; relies on padding at the left."""
        rows = torch.randperm(self.rows, device=self.device)[: self.num_rows]
        lengths = (self.sequences[rows] != 0).sum(dim=1)
        from_the_end = (torch.rand(self.num_rows, device=self.device) * lengths).long()
        positions = self.length - 1 - from_the_end
        originals = self.sequences[rows, positions]
        items = torch.randint_like(originals, 1, self.num_items)
        items += items >= originals
        noisy, replaced = self.sequences.clone(), torch.zeros_like(self.sequences, dtype=torch.bool)
        noisy[rows, positions] = items
        replaced[rows, positions] = True
        return noisy, replaced, replaced.any(dim=1)

    def _loop(self) -> Result:
        """A row at a time over lists, as the paper's code does it."""
        noisy = self.sequences.tolist()
        replaced = [[False] * self.length for _ in noisy]
        for i in random.sample(range(self.rows), self.num_rows):
            row = noisy[i]
            length = sum(item != 0 for item in row)
            position = self.length - 1 - random.randrange(length)
            item = random.randrange(1, self.num_items)
            row[position] = item + (item >= row[position])
            replaced[i][position] = True
        return self.from_lists(noisy, replaced)


@dataclass(frozen=True)
class ShareOfEveryRow(Replacement):
    """An exact share of every row, uniform items other than the original."""

    replace_ratio: float = 0.2

    @property
    def what(self) -> str:
        return f"{self.replace_ratio:.0%} of every row"

    @property
    def num_rows(self) -> int:
        return self.rows

    @property
    def num_positions(self) -> int:
        return int(self.replace_ratio * self.length + 0.5)

    def _ours(self) -> Result:
        return _ours(self, replace_ratio=self.replace_ratio)

    def _positions(self) -> tuple[Tensor, Tensor, Tensor]:
        """The smallest of random keys, for rows with padding anywhere; no wait for a GPU.

        Returns ``[B, K]`` positions, which of them are meant, and ``[B]`` how many are.
        """
        valid = self.sequences != 0
        counts = torch.floor(self.replace_ratio * valid.sum(dim=1) + 0.5)
        keys = torch.rand(self.sequences.shape, device=self.device).masked_fill_(~valid, 2.0)
        smallest = keys.topk(self.num_positions, dim=1, largest=False, sorted=True).indices
        chosen = torch.arange(self.num_positions, device=self.device) < counts[:, None]
        return smallest, chosen, counts

    def _mask(self, positions: Tensor, chosen: Tensor) -> Tensor:
        return torch.zeros_like(self.sequences, dtype=torch.bool).scatter_(1, positions, chosen)

    def _eager(self) -> Result:
        smallest, chosen, counts = self._positions()
        replaced = self._mask(smallest, chosen)
        items = torch.randint_like(self.sequences, 1, self.num_items)
        items += items >= self.sequences
        return torch.where(replaced, items, self.sequences), replaced, counts > 0

    def _loop(self) -> Result:
        noisy, replaced = [], []
        for row in self.sequences.tolist():
            positions = [i for i, item in enumerate(row) if item != 0]
            count = int(self.replace_ratio * len(positions) + 0.5)
            marks = [False] * len(row)
            for position in random.sample(positions, count):
                item = random.randrange(1, self.num_items)
                row[position] = item + (item >= row[position])
                marks[position] = True
            noisy.append(row)
            replaced.append(marks)
        return self.from_lists(noisy, replaced)


@dataclass(frozen=True)
class Unseen(ShareOfEveryRow):
    """A share of every row: by popularity^0.75, outside the row's history, two feature columns."""

    @property
    def what(self) -> str:
        return f"{self.replace_ratio:.0%}, popular unseen of {self.num_items}, 2 features"

    @property
    def bytes_moved(self) -> int:
        """Two more columns, read and written; the tables are not counted."""
        return super().bytes_moved + 2 * self.elements * 2 * self.dtype.itemsize

    # ---- data, all made before the clock starts --------------------------------------------------

    @cached_property
    def _popularity(self) -> Tensor:
        """``[num_items]`` with a long tail."""
        rank = torch.arange(self.num_items, dtype=torch.float64, device=self.device)
        return 1 / (rank + 10)

    @cached_property
    def sequences(self) -> Tensor:
        mass = self._popularity.cumsum(0)
        shape = (self.rows, self.length)
        draws = torch.rand(shape, generator=self.generator, dtype=torch.float64, device=self.device)
        items = torch.searchsorted(mass, draws * mass[-1]).clamp(max=self.num_items - 1)
        return (items + 1).to(self.dtype)

    @cached_property
    def probabilities(self) -> Tensor:
        weights = self._popularity**0.75
        return torch.cat([weights.new_zeros(1), weights / weights.sum()])

    @cached_property
    def _alias_table(self) -> Tensor:
        return alias_table(self.probabilities[1:].cpu()).to(self.device)

    @cached_property
    def _mass(self) -> Tensor:
        """The table that peers search: item ``i`` is drawn from ``[mass[i - 1], mass[i])``."""
        return self.probabilities.cumsum(0)

    @cached_property
    def _mass_list(self) -> list[float]:
        return self._mass.tolist()

    @cached_property
    def _tables(self) -> list[Tensor]:
        """Two features of every item, such as category and city."""
        on = dict(generator=self.generator, dtype=self.dtype, device=self.device)
        return [torch.randint(values, (self.num_items + 1,), **on) for values in (300, 5000)]

    @cached_property
    def _table_lists(self) -> list[list[int]]:
        return [table.tolist() for table in self._tables]

    @cached_property
    def _features(self) -> list[Tensor]:
        return [table[self.sequences] for table in self._tables]

    # ---- contenders -----------------------------------------------------------------------------

    def _ours(self) -> Result:
        return _ours(
            self,
            replace_ratio=self.replace_ratio,
            alias_table=self._alias_table,
            avoid_history=True,
            features=self._features,
            feature_tables=self._tables,
        )

    def _eager(self) -> Result:
        """Draws for the chosen positions only; again for items that the user has seen."""
        positions, chosen, counts = self._positions()
        items = self._draw(positions.numel()).view_as(positions)
        again = self._seen(items).nonzero()
        while len(again) > 0:
            row, column = again.unbind(1)
            drawn = self._draw(len(again))
            items[row, column] = drawn
            again = again[(self.sequences[row] == drawn[:, None]).any(dim=1)]
        replaced = self._mask(positions, chosen)
        drawn = torch.zeros_like(self.sequences).scatter_(1, positions, items.to(self.dtype))
        noisy = torch.where(replaced, drawn, self.sequences)
        features = [
            torch.where(replaced, table[drawn], column)
            for table, column in zip(self._tables, self._features, strict=True)
        ]
        return noisy, replaced, counts > 0, *features

    def _draw(self, count: int) -> Tensor:
        draws = torch.rand(count, dtype=torch.float64, device=self.device)
        return torch.searchsorted(self._mass, draws, right=True).clamp_(max=self.num_items)

    def _seen(self, items: Tensor) -> Tensor:
        """Whether each of the ``[B, K]`` items is in its row."""
        if self.device == "cpu":  # half the time of comparing all with all
            history = self.sequences.sort(dim=1).values
            at = torch.searchsorted(history, items.to(self.dtype)).clamp_(max=self.length - 1)
            return history.gather(1, at) == items
        return (items[:, :, None] == self.sequences[:, None, :]).any(dim=2)

    def _loop(self) -> Result:
        noisy, replaced = [], []
        features: list[list[list[int]]] = [column.tolist() for column in self._features]
        for i, row in enumerate(self.sequences.tolist()):
            seen = set(row)
            positions = [j for j, item in enumerate(row) if item != 0]
            count = int(self.replace_ratio * len(positions) + 0.5)
            marks = [False] * len(row)
            for position in random.sample(positions, count):
                item = row[position]
                while item in seen:
                    item = min(bisect_right(self._mass_list, random.random()), self.num_items)
                row[position] = item
                marks[position] = True
                for column, table in zip(features, self._table_lists, strict=True):
                    column[i][position] = table[item]
            noisy.append(row)
            replaced.append(marks)
        return self.from_lists(noisy, replaced, *features)

    # ---- further promises -----------------------------------------------------------------------

    def exclusions(self, replaced: Tensor) -> tuple[Tensor, Tensor]:
        """All draws of a row exclude the items of the row."""
        return self.sequences, replaced.sum(dim=1)

    def check(self, name: str, result: Result) -> None:
        super().check(name, result)
        noisy, replaced, _, *features = result
        row, _ = replaced.nonzero(as_tuple=True)
        for first in range(0, len(row), 2**14):  # all at once would not fit
            some = slice(first, first + 2**14)
            seen = self.sequences[row[some]] == noisy[replaced][some, None]
            self.require(not bool(seen.any()), name, "draws nothing that the row holds")
        for column, table in zip(features, self._tables, strict=True):
            kept = torch.equal(column, table[noisy])
            self.require(kept, name, "looks the features of the new items up")


def _ours(question: Replacement, **options: Any) -> Result:
    out = random_replacement(question.sequences, num_items=question.num_items, seed=0, **options)
    return out.sequences, out.replaced, out.noise_labels, *out.features


def questions(device: str) -> list[Replacement]:
    """The paper's batch of 256 histories, larger ones, and catalogues up to ten million items."""
    gpu = device == "cuda"
    shapes = (
        [(256, 50), (512, 200), (4096, 200), (16_384, 200)] if gpu else [(256, 200), (4096, 200)]
    )
    catalogues = [12_000, 1_000_000, 10_000_000] if gpu else [100_000]
    return [
        *(PaperCase(rows, length, device=device) for rows, length in ((256, 19), (4096, 200))),
        *(
            ShareOfEveryRow(*shape, dtype=dtype, device=device)
            for shape in shapes
            for dtype in (torch.int64, torch.int32)
        ),
        *(Unseen(4096, num_items=num_items, device=device) for num_items in catalogues),
    ]
