"""Neighbours in the wrong order."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..ops.keyed_draws import Purpose
from ._choices import (
    NEVER,
    Draws,
    amounts,
    choose_positions,
    open_to_change,
    require_amount,
    rows_or_half,
)
from .protocol import DamagedSequences

__all__ = ["AdjacentSwap"]


@dataclass(frozen=True, slots=True, kw_only=True)
class AdjacentSwap:
    """Lets neighbours that are different items trade places.

    The mildest disorder: the shuffle of denoising autoencoders (Lample et al., ICLR 2018,
    arXiv:1711.00043) that moves no item further than one place. CL4SRec's reorder
    (arXiv:2010.14395) shuffles a whole stretch.

    Pairs are taken in random order, each unless it shares an item with one taken before, until
    there are as many as wanted or none is left. ``replaced`` marks both items of a pair.

    Args:
        sequence_fraction: share of the rows of a batch that are damaged, by exact count, or
        sequence_probability: chance of each row (at most one of the two; neither:
            ``sequence_fraction`` becomes 0.5).
        num_swaps: pairs to swap in each damaged row, or
        swap_ratio: share of its items to be moved, two by a swap (one of the two).
        include_target: let the last column (the target) be swapped as well.

    Raises:
        ValueError: a value out of range, or not exactly one amount.
        TypeError: a value that is no number, or no integer where one is wanted.
    """

    sequence_fraction: float | None = None
    sequence_probability: float | None = None
    num_swaps: int | None = None
    swap_ratio: float | None = None
    include_target: bool = False

    def __post_init__(self) -> None:
        share = rows_or_half(self.sequence_fraction, self.sequence_probability)
        object.__setattr__(self, "sequence_fraction", share)
        require_amount("num_swaps", self.num_swaps, "swap_ratio", self.swap_ratio)

    def __call__(
        self,
        sequences: Tensor,
        *,
        seed: int | Tensor,
        step: int | Tensor = 0,
        row_keys: Tensor | None = None,
    ) -> DamagedSequences:
        """``sequences [B, W]`` int32 or int64, left-padded with 0 -> a damaged copy.

        Raises:
            ValueError: a wrong shape, dtype or device; on the CPU padding on the right of an
                item. On CUDA, where looking would wait for the device, it is taken for padding on
                the left.
        """
        draws = Draws.of(sequences, row_keys, seed, step)
        rows = draws.chosen_rows(
            Purpose.SWAPPED_ROW, self.sequence_fraction, self.sequence_probability
        )
        is_open = open_to_change(sequences, self.include_target)
        # Pair i is made of the columns i and i + 1.
        eligible = is_open[:, :-1] & is_open[:, 1:] & (sequences[:, :-1] != sequences[:, 1:])
        order = draws.order(eligible, Purpose.SWAPPED_POSITION)
        taken = _taken_in_turn(order)
        ratio = None if self.swap_ratio is None else self.swap_ratio / 2
        counts = rows * amounts(is_open.sum(dim=1), self.num_swaps, ratio, most=taken.sum(dim=1))
        return _swapped(sequences, choose_positions(order.masked_fill(~taken, NEVER), counts))


def _taken_in_turn(order: Tensor) -> Tensor:
    """``[B, P]`` bool: the pairs taken, if the pairs come up in ``order`` and each is taken unless
    one of its two neighbours is.

    No loop is needed. Going from a pair to its neighbour that comes up earlier, to that one's, and
    so on, ends at a pair that comes up before both of its neighbours. That one is taken, so every
    second one on the way back is free from this side.
    """
    left_first, right_first = (torch.zeros_like(order, dtype=torch.bool) for _ in range(2))
    left_first[:, 1:] = order[:, :-1] <= order[:, 1:]
    right_first[:, :-1] = order[:, 1:] < order[:, :-1]
    to_the_left = _run_lengths(left_first)
    to_the_right = _run_lengths(right_first.flip(1)).flip(1)
    return (order != NEVER) & (to_the_left % 2 == 0) & (to_the_right % 2 == 0)


def _run_lengths(marks: Tensor) -> Tensor:
    """``[B, P]`` int64: how many columns up to here are marked without a break; never the first."""
    columns = torch.arange(marks.shape[1], device=marks.device).expand_as(marks)
    return columns - columns.masked_fill(marks, 0).cummax(dim=1).values


def _swapped(sequences: Tensor, pairs: Tensor) -> DamagedSequences:
    older, newer = (torch.zeros_like(sequences, dtype=torch.bool) for _ in range(2))
    older[:, :-1] = pairs
    newer[:, 1:] = pairs
    swapped = torch.where(older, sequences.roll(-1, dims=1), sequences)
    replaced = older | newer
    return DamagedSequences(
        sequences=torch.where(newer, sequences.roll(1, dims=1), swapped),
        replaced=replaced,
        noise_labels=replaced.any(dim=1),
    )
