"""Choices by key, and the options that the kinds of damage share."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from ..ops.keyed_draws import Purpose, keyed_draws

NEVER = torch.iinfo(torch.int64).max
"""The order of what cannot be chosen."""


@dataclass(frozen=True, slots=True)
class Draws:
    """The random numbers of one call: what they depend on, except their purpose."""

    row_keys: Tensor
    seed: int | Tensor
    step: int | Tensor

    @staticmethod
    def of(
        sequences: Tensor, row_keys: Tensor | None, seed: int | Tensor, step: int | Tensor
    ) -> Draws:
        """Row indices stand in for ``row_keys``.

        Raises:
            ValueError: ``sequences`` or ``row_keys`` of a wrong shape, dtype or device.
        """
        if sequences.dim() != 2:
            raise ValueError(f"sequences must be [B, W], got shape {tuple(sequences.shape)}")
        if sequences.dtype not in (torch.int32, torch.int64):
            raise ValueError(f"sequences must be int32 or int64, got {sequences.dtype}")
        rows = sequences.shape[0]
        if row_keys is None:
            row_keys = torch.arange(rows, device=sequences.device)
        if row_keys.shape != (rows,):
            raise ValueError(f"row_keys must be [{rows}], got shape {tuple(row_keys.shape)}")
        if row_keys.device != sequences.device:
            raise ValueError(f"row_keys must be on {sequences.device}, got {row_keys.device}")
        return Draws(row_keys, seed, step)

    def rows(self, purpose: Purpose) -> Tensor:
        """``[B]`` int64, uniform over all values."""
        return self.positions(1, purpose)[:, 0]

    def positions(self, length: int, purpose: Purpose) -> Tensor:
        """``[B, length]`` int64, uniform over all values."""
        return keyed_draws(self.row_keys, length, purpose=purpose, seed=self.seed, step=self.step)

    def order(self, eligible: Tensor, purpose: Purpose) -> Tensor:
        """``[B, L]`` int64 for ``eligible [B, L]``: positions are chosen from the smallest on."""
        draws = self.positions(eligible.shape[1], purpose)
        return (draws >> 1).masked_fill(~eligible, NEVER)  # one bit less, and none is so large


def require_share(name: str, value: float) -> None:
    """Raises ValueError unless ``value`` lies in [0, 1]."""
    if not 0 <= value <= 1:
        raise ValueError(f"{name} must be in [0, 1], got {value}")


def require_rows(sequence_fraction: float | None, sequence_probability: float | None) -> None:
    """Raises ValueError where both are given, or one that is no share."""
    if sequence_fraction is not None and sequence_probability is not None:
        raise ValueError(
            "at most one of sequence_fraction and sequence_probability may be given, got "
            f"sequence_fraction={sequence_fraction}, sequence_probability={sequence_probability}"
        )
    if sequence_fraction is not None:
        require_share("sequence_fraction", sequence_fraction)
    if sequence_probability is not None:
        require_share("sequence_probability", sequence_probability)


def require_amount(
    count_name: str, count: int | None, ratio_name: str, ratio: float | None
) -> None:
    """Raises ValueError unless exactly one is given, and in range."""
    if (count is None) == (ratio is None):
        raise ValueError(
            f"exactly one of {count_name} and {ratio_name} must be given, got "
            f"{count_name}={count}, {ratio_name}={ratio}"
        )
    if count is not None and count < 0:
        raise ValueError(f"{count_name} must be at least 0, got {count}")
    if ratio is not None:
        require_share(ratio_name, ratio)


def open_to_change(sequences: Tensor, include_target: bool) -> Tensor:
    """``[B, W]`` bool: the items of the history, and the target if it is included."""
    is_item = sequences != 0
    if not include_target:
        is_item[:, -1:] = False
    return is_item


def choose_rows(
    draws: Tensor, sequence_fraction: float | None, sequence_probability: float | None
) -> Tensor:
    """``[B]`` bool: the ``round(sequence_fraction * B)`` rows with the smallest (draw, row), or
    each row with a probability; half of the rows where neither is given."""
    if sequence_probability is not None:
        # 53 of the bits are a float64 without rounding.
        return (draws >> 11 & 2**53 - 1).double() < sequence_probability * 2.0**53
    fraction = 0.5 if sequence_fraction is None else sequence_fraction
    count = math.floor(fraction * len(draws) + 0.5)
    chosen = torch.zeros_like(draws, dtype=torch.bool)
    return chosen.index_fill_(0, draws.argsort(stable=True)[:count], True)


def amounts(items: Tensor, count: int | None, ratio: float | None, *, most: Tensor) -> Tensor:
    """``[B]``: ``count``, or the share ``ratio`` of ``items [B]``, but at most ``most [B]``."""
    if count is not None:
        return most.clamp(max=count)
    assert ratio is not None
    # Half up and in float64, as the replacement kernels round.
    return torch.minimum((items.double() * ratio + 0.5).floor().long(), most)


def choose_positions(order: Tensor, counts: Tensor) -> Tensor:
    """``[B, L]`` bool: the ``counts [B]`` smallest (order, position) of each row."""
    positions = torch.arange(order.shape[1], device=order.device).expand_as(order)
    ranks = torch.empty_like(order).scatter_(1, order.argsort(dim=1, stable=True), positions)
    return ranks < counts[:, None]


def to_the_right(kept: Tensor) -> Tensor:
    """``[B, L]`` int64 indices for ``gather`` that move what is ``kept`` to the right, in order."""
    return kept.to(torch.uint8).argsort(dim=1, stable=True)
