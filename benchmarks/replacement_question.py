"""Questions about random replacement: the sequences, and the promises of a right result."""

from __future__ import annotations

import math
from abc import abstractmethod
from dataclasses import dataclass, field, replace
from functools import cached_property

import torch
from torch import Tensor

from question import EAGER, LOOP, OURS, Contender, Question, Result, WrongResultError


@dataclass(frozen=True)
class Replacement(Question):
    """Replace some items in some rows of ``[B, L]`` sequences without padding."""

    op = "random_replacement"
    rows: int
    length: int = 200  # the history length of gSASRec and SASRec on MovieLens
    num_items: int = 100_000
    dtype: torch.dtype = field(default=torch.int64, kw_only=True)

    @property
    def shape(self) -> str:
        return f"[{self.rows}, {self.length}]"

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
        """Item ids, read and written; the mask, written."""
        return self.elements * (2 * self.dtype.itemsize + 1)

    @property
    def elements(self) -> int:
        return self.rows * self.length

    def small(self) -> Replacement:
        return replace(self, rows=64, length=50, num_items=1000)

    # ---- contenders -----------------------------------------------------------------------------

    def contenders(self) -> dict[str, Contender | str]:
        return {
            OURS: Contender(self._ours),
            EAGER: Contender(self._eager),
            LOOP: Contender(self._loop, slow=True),
        }

    @abstractmethod
    def _ours(self) -> Result:
        """Sequences, mask of replaced items, labels of rows, feature columns."""

    @abstractmethod
    def _eager(self) -> Result:
        """The same in plain torch."""

    @abstractmethod
    def _loop(self) -> Result:
        """The same over lists, a row at a time, as data loaders do it."""

    def from_lists(
        self, noisy: list[list[int]], replaced: list[list[bool]], *features: list[list[int]]
    ) -> Result:
        """A loop's lists as a result."""
        marks = torch.tensor(replaced, device=self.device)
        ids, *columns = (
            torch.tensor(rows, dtype=self.dtype, device=self.device) for rows in (noisy, *features)
        )
        return ids, marks, marks.any(dim=1), *columns

    # ---- promises -------------------------------------------------------------------------------

    @property
    @abstractmethod
    def num_rows(self) -> int:
        """How many rows change."""

    @property
    @abstractmethod
    def num_positions(self) -> int:
        """How many items of such a row change."""

    @cached_property
    def probabilities(self) -> Tensor:
        """``[num_items + 1]`` float64: each item's probability before exclusions, 0 for padding."""
        probabilities = torch.full((self.num_items + 1,), 1 / self.num_items, dtype=torch.float64)
        probabilities[0] = 0
        return probabilities.to(self.device)

    def exclusions(self, replaced: Tensor) -> tuple[Tensor, Tensor]:
        """``[K, E]`` items that each kind of draw excludes, and ``[K]`` draws of each kind.

        Here every replaced position is a kind of its own, which excludes the original item.
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
        self.require(bool(right), name, "changes the right number of items in each row")
        in_range = (noisy >= 1) & (noisy <= self.num_items)
        self.require(bool(in_range.all()), name, "draws items of the catalogue")
        self._check_positions(name, replaced)
        self._check_items(name, noisy, replaced)

    def _check_positions(self, name: str, replaced: Tensor) -> None:
        share = self.num_positions / self.length
        found = replaced.sum(dim=0).double()
        wanted = torch.full_like(found, self.num_rows * share)
        # Positions are drawn without replacement, so counts vary less.
        self.require(_fits(found, wanted, wanted * (1 - share)), name, "treats all positions alike")

    def _check_items(self, name: str, noisy: Tensor, replaced: Tensor) -> None:
        """Counts of 16 ranges of items, about equally probable, against expected counts."""
        bins = (self.probabilities.cumsum(0) * 16).long().clamp(max=15)  # of every item
        mass = torch.zeros_like(self.probabilities[:16]).index_add_(0, bins, self.probabilities)
        items, draws = self.exclusions(replaced)
        items = items.sort(dim=1).values.long()
        taken = self.probabilities[items]
        taken[:, 1:][items[:, 1:] == items[:, :-1]] = 0  # an item twice is excluded once
        left = mass.repeat(len(items), 1).scatter_add_(1, bins[items], -taken)
        wanted = (left / left.sum(dim=1, keepdim=True) * draws[:, None]).sum(dim=0)
        found = torch.bincount(bins[noisy[replaced].long()], minlength=16).double()
        self.require(_fits(found, wanted, wanted), name, "draws every item as often as it should")

    @staticmethod
    def require(kept: bool, name: str, promise: str) -> None:
        """Raise WrongResultError unless the promise is kept."""
        if not kept:
            raise WrongResultError(f"{name} breaks a promise: it {promise}")


def _fits(found: Tensor, wanted: Tensor, variance: Tensor) -> bool:
    """A chi-square test that rejects right counts less than once in a million times."""
    freedom = len(found) - 1
    statistic = ((found - wanted) ** 2 / variance).sum()
    return bool(statistic <= freedom + 8 * math.sqrt(2 * freedom))
