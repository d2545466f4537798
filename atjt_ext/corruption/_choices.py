"""Choices by key, and the options that the kinds of damage share."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from ..ops._checks import require_count, require_rows, require_share
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

    def chosen_rows(
        self,
        purpose: Purpose,
        sequence_fraction: float | None,
        sequence_probability: float | None,
    ) -> Tensor:
        """``[B]`` bool: the ``round(sequence_fraction * B)`` rows with the smallest (draw, row), or
        each row with ``sequence_probability`` (one of the two)."""
        draws = self.rows(purpose)
        if sequence_probability is not None:
            # 53 of the bits are a float64 without rounding.
            return (draws >> 11 & 2**53 - 1).double() < sequence_probability * 2.0**53
        assert sequence_fraction is not None
        count = math.floor(sequence_fraction * len(draws) + 0.5)
        chosen = torch.zeros_like(draws, dtype=torch.bool)
        return chosen.index_fill_(0, draws.argsort(stable=True)[:count], True)

    def positions(self, length: int, purpose: Purpose) -> Tensor:
        """``[B, length]`` int64, uniform over all values."""
        return keyed_draws(self.row_keys, length, purpose=purpose, seed=self.seed, step=self.step)

    def order(self, eligible: Tensor, purpose: Purpose) -> Tensor:
        """``[B, L]`` int64 for ``eligible [B, L]``: positions are chosen from the smallest on."""
        draws = self.positions(eligible.shape[1], purpose)
        return (draws >> 1).masked_fill(~eligible, NEVER)  # one bit less, and none is so large


def rows_or_half(
    sequence_fraction: float | None, sequence_probability: float | None
) -> float | None:
    """The ``sequence_fraction`` that will hold: half of the rows where neither is given.

    Raises:
        ValueError: both are given, or one is out of range.
        TypeError: one is no number.
    """
    require_rows(sequence_fraction, sequence_probability)
    return 0.5 if sequence_fraction is None and sequence_probability is None else sequence_fraction


def require_amount(
    count_name: str, count: int | None, ratio_name: str, ratio: float | None
) -> None:
    """Raises ValueError or TypeError unless exactly one is given, and in range."""
    if (count is None) == (ratio is None):
        raise ValueError(
            f"exactly one of {count_name} and {ratio_name} must be given, got "
            f"{count_name}={count}, {ratio_name}={ratio}"
        )
    if count is not None:
        require_count(count_name, count, ratio_name)
    else:
        require_share(ratio_name, ratio)


def require_alias_table(table: Tensor | None, num_items: int) -> None:
    """Raises ValueError or TypeError for a table of another catalogue, or none at all."""
    if table is None:
        return
    if not isinstance(table, Tensor):
        raise TypeError(f"alias_table must be a tensor, got {table!r}")
    if (table.shape, table.dtype) != ((num_items,), torch.int64):
        raise ValueError(
            f"alias_table must be [{num_items}] torch.int64, got {list(table.shape)} {table.dtype}"
        )


def open_to_change(sequences: Tensor, include_target: bool) -> Tensor:
    """``[B, W]`` bool: the items of the history, and the target if it is included.

    Raises:
        ValueError: padding on the right of an item. On CUDA, looking would wait for the device, and
            such padding is taken for padding on the left.
    """
    is_item = sequences != 0
    if sequences.device.type == "cpu" and not torch.compiler.is_compiling():
        behind = is_item[:, :-1] > is_item[:, 1:]
        if bool(behind.any()):
            row, column = behind.nonzero()[0].tolist()
            raise ValueError(
                "sequences must be left-padded with 0, "
                f"got 0 on the right of an item at [{row}, {column + 1}]"
            )
    if not include_target:
        is_item[:, -1:] = False
    return is_item


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
