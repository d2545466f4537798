"""How long does damage take that looks like data: popular items, never seen by the user?"""

from __future__ import annotations

import random
from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from atjt_ext.ops import alias_table, random_replacement
from question import EAGER, LOOP, OURS, Contender, Result
from replacement_question import Replacement, flat


@dataclass(frozen=True)
class Unseen(Replacement):
    """A fifth of every row: by popularity^0.75, not in the row's history, two side columns."""

    replace_ratio: float = 0.2

    @property
    def what(self) -> str:
        return f"{self.replace_ratio:.0%}, popular unseen of {self.num_items}, 2 features"

    @property
    def num_rows(self) -> int:
        return self.rows

    @property
    def num_positions(self) -> int:
        return int(self.replace_ratio * self.length + 0.5)

    @property
    def bytes_moved(self) -> int:
        """Two columns more, read and written; not what is looked up in tables."""
        return super().bytes_moved + 2 * self.rows * self.length * 2 * self.dtype.itemsize

    # ---- data, all made before the clock starts --------------------------------------------------

    @cached_property
    def _popularity(self) -> Tensor:
        """``[num_items]``, a long tail."""
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
        """What peers search: item ``i`` is drawn from ``[mass[i - 1], mass[i])``."""
        return self.probabilities.cumsum(0)

    @cached_property
    def _mass_list(self) -> list[float]:
        return self._mass.tolist()

    @cached_property
    def _tables(self) -> list[Tensor]:
        """Say, category and city of every item."""
        return [
            torch.randint(
                values,
                (self.num_items + 1,),
                generator=self.generator,
                dtype=self.dtype,
                device=self.device,
            )
            for values in (300, 5000)
        ]

    @cached_property
    def _table_lists(self) -> list[list[int]]:
        return [table.tolist() for table in self._tables]

    @cached_property
    def _features(self) -> list[Tensor]:
        return [table[self.sequences] for table in self._tables]

    # ---- who answers -----------------------------------------------------------------------------

    def contenders(self) -> dict[str, Contender | str]:
        return {
            OURS: Contender(self._ours),
            EAGER: Contender(self._eager),
            LOOP: Contender(self._loop, slow=True),
        }

    def _ours(self) -> Result:
        return flat(
            random_replacement(
                self.sequences,
                num_items=self.num_items,
                replace_ratio=self.replace_ratio,
                alias_table=self._alias_table,
                avoid_history=True,
                features=self._features,
                feature_tables=self._tables,
                seed=0,
            )
        )

    def _eager(self) -> Result:
        """Draws for the chosen positions only; again for those that the user has seen."""
        valid = self.sequences != 0
        counts = torch.floor(self.replace_ratio * valid.sum(dim=1) + 0.5)
        keys = torch.rand(self.sequences.shape, device=self.device).masked_fill_(~valid, 2.0)
        positions = keys.topk(self.num_positions, dim=1, largest=False, sorted=True).indices
        chosen = torch.arange(self.num_positions, device=self.device) < counts[:, None]
        items = self._draw(positions.numel()).view_as(positions)
        again = self._seen(items).nonzero()
        while len(again) > 0:
            row, column = again.unbind(1)
            drawn = self._draw(len(again))
            items[row, column] = drawn
            again = again[(self.sequences[row] == drawn[:, None]).any(dim=1)]
        replaced = torch.zeros_like(valid).scatter_(1, positions, chosen)
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
        """A row at a time, as data loaders do it."""
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
        marks_of_all = torch.tensor(replaced, device=self.device)
        columns = [
            torch.tensor(rows, dtype=self.dtype, device=self.device) for rows in [noisy, *features]
        ]
        return columns[0], marks_of_all, marks_of_all.any(dim=1), *columns[1:]

    # ---- what is promised beyond the rest --------------------------------------------------------

    def exclusions(self, replaced: Tensor) -> tuple[Tensor, Tensor]:
        """Never what the row holds: here a row's draws all have the same exclusions."""
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


def questions(device: str) -> list[Unseen]:
    """Catalogues up to, on a GPU, ten million items."""
    sizes = [100_000] if device == "cpu" else [12_000, 1_000_000, 10_000_000]
    return [Unseen(4096, num_items=num_items, device=device) for num_items in sizes]


def bench_unseen(ask: Callable[[], None]) -> None:
    ask()
