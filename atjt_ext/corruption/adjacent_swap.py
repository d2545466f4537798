"""Damage: neighbours in the wrong order."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..ops.keyed_draws import Purpose
from ._choices import NEVER, amounts, begin, choose_positions, settle_options
from .protocol import DamagedSequences


@dataclass(frozen=True, slots=True, kw_only=True)
class AdjacentSwap:
    """Swaps neighbours that are different items.

    The mildest disorder: the shuffle of denoising autoencoders (Lample et al., ICLR 2018,
    arXiv:1711.00043), limited to one place per item. CL4SRec's reorder (arXiv:2010.14395) shuffles
    a whole stretch instead.

    Pairs come in random order. A pair is swapped unless it shares an item with an earlier pair,
    until the wanted number is reached. ``replaced`` marks both items of a pair.

    Args:
        sequence_fraction, sequence_probability: as in :class:`RandomReplacement`.
        num_swaps: pairs to swap in each damaged row. Either this or ``swap_ratio``.
        swap_ratio: share of the row's items to move; a swap moves two items.
        include_target: the last column (the target) may be swapped as well.

    Raises:
        ValueError, TypeError: as :class:`RandomReplacement`.
    """

    sequence_fraction: float | None = None
    sequence_probability: float | None = None
    num_swaps: int | None = None
    swap_ratio: float | None = None
    include_target: bool = False

    def __post_init__(self) -> None:
        settle_options(self, "num_swaps", "swap_ratio")

    def __call__(
        self,
        sequences: Tensor,
        *,
        seed: int | Tensor,
        step: int | Tensor = 0,
        row_keys: Tensor | None = None,
    ) -> DamagedSequences:
        """A damaged copy of the sequences; arguments and errors as :class:`Corruption`."""
        draws, rows, is_open = begin(self, Purpose.SWAPPED_ROW, sequences, row_keys, seed, step)
        # Pair i has the columns i and i + 1.
        eligible = is_open[:, :-1] & is_open[:, 1:] & (sequences[:, :-1] != sequences[:, 1:])
        order = draws.order(eligible, Purpose.SWAPPED_POSITION)
        taken = _taken_in_turn(order)
        ratio = None if self.swap_ratio is None else self.swap_ratio / 2
        counts = rows * amounts(is_open.sum(dim=1), self.num_swaps, ratio, most=taken.sum(dim=1))
        return _swapped(sequences, choose_positions(order.masked_fill(~taken, NEVER), counts))


def _taken_in_turn(order: Tensor) -> Tensor:
    """``[B, P]`` bool: the pairs taken if they come in ``order``, each unless a neighbour is taken.

    No loop is needed. The path from a pair to its earlier neighbour, to that neighbour's earlier
    neighbour, and so on, ends at a pair that precedes both of its neighbours. This pair is taken,
    so every second pair on the path is free from this side.
    """
    left_first, right_first = (torch.zeros_like(order, dtype=torch.bool) for _ in range(2))
    left_first[:, 1:] = order[:, :-1] <= order[:, 1:]
    right_first[:, :-1] = order[:, 1:] < order[:, :-1]
    to_the_left = _run_lengths(left_first)
    to_the_right = _run_lengths(right_first.flip(1)).flip(1)
    return (order != NEVER) & (to_the_left % 2 == 0) & (to_the_right % 2 == 0)


def _run_lengths(marks: Tensor) -> Tensor:
    """``[B, P]`` int64: length of the run of marks that ends here; the first column counts as
    unmarked."""
    columns = torch.arange(marks.shape[1], device=marks.device).expand_as(marks)
    return columns - columns.masked_fill(marks, 0).cummax(dim=1).values


def _swapped(sequences: Tensor, pairs: Tensor) -> DamagedSequences:
    older, newer = (torch.zeros_like(sequences, dtype=torch.bool) for _ in range(2))
    older[:, :-1] = pairs
    newer[:, 1:] = pairs
    swapped = torch.where(older, sequences.roll(-1, dims=1), sequences)
    return DamagedSequences.at(
        older | newer, torch.where(newer, sequences.roll(1, dims=1), swapped)
    )
