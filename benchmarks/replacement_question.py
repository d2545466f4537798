"""What the questions about random replacement have in common: sequences, and what is promised."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor

from atjt_ext.ops import RandomReplacementOutput
from question import Result, WrongResultError


@dataclass(frozen=True)
class Replacement:
    """Replace some items of some rows of ``[B, L]`` sequences without padding."""

    rows: int
    length: int = 200  # the history length of gSASRec and SASRec on MovieLens
    num_items: int = 100_000
    dtype: torch.dtype = torch.int64
    device: str = "cpu"

    def __str__(self) -> str:
        dtype = str(self.dtype).removeprefix("torch.")
        return f"random_replacement [{self.rows}, {self.length}] {dtype}, {self.what}"

    @property
    def what(self) -> str:
        raise NotImplementedError

    @cached_property
    def generator(self) -> torch.Generator:
        return torch.Generator(self.device).manual_seed(0)

    @cached_property
    def sequences(self) -> Tensor:
        return torch.randint(
            1,
            self.num_items + 1,
            (self.rows, self.length),
            generator=self.generator,
            dtype=self.dtype,
            device=self.device,
        )

    @property
    def bytes_moved(self) -> int:
        """Ids read and written, the mask written."""
        return self.rows * self.length * (2 * self.dtype.itemsize + 1)

    @property
    def elements(self) -> int:
        return self.rows * self.length

    def fresh(self) -> Replacement:
        return replace(self)

    def small(self) -> Replacement:
        return replace(self, rows=64, length=50, num_items=1000)

    # ---- what a result promises, whoever drew it -------------------------------------------------

    @property
    def num_rows(self) -> int:
        """How many rows are to be changed."""
        raise NotImplementedError

    @property
    def num_positions(self) -> int:
        """How many items of such a row."""
        raise NotImplementedError

    @cached_property
    def probabilities(self) -> Tensor:
        """``[num_items + 1]`` float64: of every item, before any is excluded; 0 for padding."""
        probabilities = torch.full((self.num_items + 1,), 1 / self.num_items, dtype=torch.float64)
        probabilities[0] = 0
        return probabilities.to(self.device)

    def exclusions(self, replaced: Tensor) -> tuple[Tensor, Tensor]:
        """``[K, E]`` items that may not be drawn, and how often the ``[K]`` draws are made.

        Never the original: here every replaced position is a draw of its own.
        """
        originals = self.sequences[replaced]
        return originals[:, None], torch.ones_like(originals)

    def check(self, name: str, result: Result) -> None:
        noisy, replaced, labels = result[:3]
        self.require(torch.equal(noisy != self.sequences, replaced), name, "marks what changed")
        per_row = replaced.sum(dim=1)
        self.require(torch.equal(per_row > 0, labels), name, "labels the rows that changed")
        self.require(int(labels.sum()) == self.num_rows, name, "changes the right number of rows")
        right = per_row[labels].eq(self.num_positions).all()
        self.require(bool(right), name, "changes the right number of items in each")
        in_range = (noisy >= 1) & (noisy <= self.num_items)
        self.require(bool(in_range.all()), name, "draws items of the catalogue")
        self._check_positions(name, replaced)
        self._check_items(name, noisy, replaced)

    def _check_positions(self, name: str, replaced: Tensor) -> None:
        share = self.num_positions / self.length
        found = replaced.sum(dim=0).double()
        wanted = torch.full_like(found, self.num_rows * share)
        # Without replacement, counts vary less.
        self.require(fits(found, wanted, wanted * (1 - share)), name, "treats all positions alike")

    def _check_items(self, name: str, noisy: Tensor, replaced: Tensor) -> None:
        """In 16 ranges of items, about equally probable, are there as many as there should be?"""
        bins = (self.probabilities.cumsum(0) * 16).long().clamp(max=15)  # of every item
        mass = torch.zeros_like(self.probabilities[:16]).index_add_(0, bins, self.probabilities)
        items, draws = self.exclusions(replaced)
        items = items.sort(dim=1).values.long()
        taken = self.probabilities[items]
        taken[:, 1:][items[:, 1:] == items[:, :-1]] = 0  # an item twice is excluded once
        left = mass.repeat(len(items), 1).scatter_add_(1, bins[items], -taken)
        wanted = (left / left.sum(dim=1, keepdim=True) * draws[:, None]).sum(dim=0)
        found = torch.bincount(bins[noisy[replaced].long()], minlength=16).double()
        self.require(fits(found, wanted, wanted), name, "draws every item as often as it should")

    @staticmethod
    def require(kept: bool, name: str, promise: str) -> None:
        if not kept:
            raise WrongResultError(f"{name} breaks a promise: it {promise}")


def flat(out: RandomReplacementOutput) -> Result:
    """Ours as peers give it."""
    return out.sequences, out.replaced, out.noise_labels, *out.features


def fits(found: Tensor, wanted: Tensor, variance: Tensor) -> bool:
    """Chi-square, with a limit that chance passes less than once in a million times."""
    freedom = len(found) - 1
    statistic = ((found - wanted) ** 2 / variance).sum()
    return bool(statistic <= freedom + 8 * math.sqrt(2 * freedom))
