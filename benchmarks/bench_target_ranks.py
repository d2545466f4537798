"""How long does it take to rank every user's target among all items that the user has not seen?"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor

from atjt_ext.ops import target_ranks
from question import (
    COMPILED,
    EAGER,
    OURS,
    TORCH_CHUNKED,
    Contender,
    Question,
    Result,
    WrongResultError,
)

_SEEN = 50  # items per user
_TILE = 8192  # items that the chunked contender scores at once


@dataclass(frozen=True)
class TargetRanks(Question):
    """Ranks of ``[N]`` targets by ``hidden [N, D] @ items [V, D].T``, without 50 seen items."""

    op = "target_ranks"
    rows: int
    width: int
    classes: int

    @property
    def shape(self) -> str:
        return f"[{self.rows}, {self.width}] x [{self.classes}, {self.width}]"

    def _randn(self, *shape: int) -> Tensor:
        return torch.randn(shape, generator=self.generator, dtype=self.dtype, device=self.device)

    def _items(self, *shape: int) -> Tensor:
        return torch.randint(self.classes, shape, generator=self.generator, device=self.device)

    @cached_property
    def hidden(self) -> Tensor:
        return self._randn(self.rows, self.width)

    @cached_property
    def table(self) -> Tensor:
        return self._randn(self.classes, self.width)

    @cached_property
    def targets(self) -> Tensor:
        return self._items(self.rows)

    @cached_property
    def seen(self) -> tuple[Tensor, Tensor]:
        """Rows and items; some pairs occur twice, some items are the target."""
        rows = torch.arange(self.rows, device=self.device).repeat_interleave(_SEEN)
        return rows, self._items(self.rows * _SEEN)

    @property
    def bytes_moved(self) -> int:
        """Hidden states and items; for each row its target, seen items and rank."""
        embeddings = (self.rows + self.classes) * self.width * self.dtype.itemsize
        return embeddings + 8 * self.rows * (2 + 2 * _SEEN)

    @property
    def elements(self) -> int:
        return self.rows * self.classes

    @cached_property
    def _compiled(self) -> Callable[..., Tensor]:
        return self.compiled(_eager)

    def contenders(self) -> dict[str, Contender | str]:
        return {
            OURS: Contender(lambda: self._answer(_ours)),
            EAGER: Contender(lambda: self._answer(_eager)),
            COMPILED: Contender(lambda: self._answer(self._compiled)),
            TORCH_CHUNKED: Contender(lambda: self._answer(_chunked)),
        }

    def _answer(self, ranks: Callable[..., Tensor]) -> Result:
        return (ranks(self.hidden, self.table, self.targets, *self.seen),)

    @cached_property
    def _bounds(self) -> dict[str, tuple[Tensor, Tensor]]:
        """``[N]`` smallest and largest right ranks by float64 scores, for ours and for the others.

        A score may be off by a rounding error.
        """
        found: dict[str, list[tuple[Tensor, Tensor]]] = {OURS: [], EAGER: []}
        size = max(1, 2**24 // self.classes)
        for first in range(0, self.rows, size):
            for who, bounds in found.items():
                bounds.append(self._bounds_of(slice(first, first + size), who))
        return {
            who: (torch.cat([low for low, _ in bounds]), torch.cat([high for _, high in bounds]))
            for who, bounds in found.items()
        }

    def _bounds_of(self, rows: slice, who: str) -> tuple[Tensor, Tensor]:
        hidden, targets = self.hidden[rows].double(), self.targets[rows, None]
        scores = hidden @ self.table.double().T
        own = scores.gather(1, targets)
        # Sums of D products in float32: each is off by its last bit at worst. Torch also rounds
        # the scores of half-precision inputs to half precision.
        slack = 2 * self.width * 2**-24 * hidden.norm(dim=1, keepdim=True)
        slack = slack * self.table.double().norm(dim=1)
        if who != OURS and self.dtype != torch.float32:
            slack += torch.finfo(self.dtype).eps * (scores.abs() + own.abs())
        seen_rows, seen_items = self.seen
        inside = (seen_rows >= rows.start) & (seen_rows < rows.stop)
        scores[seen_rows[inside] - rows.start, seen_items[inside]] = -torch.inf
        scores.scatter_(1, targets, torch.inf)  # counts itself
        return (scores > own + slack).sum(dim=1), (scores >= own - slack).sum(dim=1)

    def check(self, name: str, result: Result) -> None:
        (ranks,) = result
        low, high = self._bounds[OURS if name == OURS else EAGER]
        wrong = (ranks < low) | (ranks > high)
        if bool(wrong.any()):
            row = int(wrong.nonzero()[0])
            raise WrongResultError(
                f"{name}: the rank of row {row} is {int(ranks[row])}, "
                f"not in [{int(low[row])}, {int(high[row])}]"
            )

    def small(self) -> TargetRanks:
        return replace(self, rows=16, width=8, classes=500, backend="aot_eager")


def _ours(hidden: Tensor, table: Tensor, targets: Tensor, rows: Tensor, items: Tensor) -> Tensor:
    return target_ranks(hidden, table, targets, exclude_rows=rows, exclude_items=items)


def _eager(hidden: Tensor, table: Tensor, targets: Tensor, rows: Tensor, items: Tensor) -> Tensor:
    scores = hidden @ table.T
    own = scores.gather(1, targets[:, None])
    scores[rows, items] = -torch.inf
    scores.scatter_(1, targets[:, None], own)
    return (~(scores < own)).sum(dim=1)


def _chunked(hidden: Tensor, table: Tensor, targets: Tensor, rows: Tensor, items: Tensor) -> Tensor:
    """A tile of scores at a time. The target's own score is left out: rounding could differ."""
    own = torch.einsum("nd,nd->n", hidden, table[targets])[:, None]
    ranks = torch.ones_like(targets)
    local = torch.arange(len(targets), device=targets.device)
    for first in range(0, len(table), _TILE):
        scores = hidden @ table[first : first + _TILE].T
        inside = (items >= first) & (items < first + _TILE)
        scores[rows[inside], items[inside] - first] = -torch.inf
        at_home = (targets >= first) & (targets < first + _TILE)
        scores[local[at_home], targets[at_home] - first] = -torch.inf
        ranks += (~(scores < own)).sum(dim=1)
    return ranks


def questions(device: str) -> list[TargetRanks]:
    """A batch of users; catalogues from ten thousand to a million items."""
    rows = 256 if device == "cpu" else 1024
    return [
        TargetRanks(rows, 64, classes, dtype=dtype, device=device)
        for dtype in (torch.float32, torch.bfloat16)
        for classes in (10_000, 100_000, 1_000_000)
    ]
