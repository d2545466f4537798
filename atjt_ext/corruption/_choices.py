"""Random choices by key, and the options that kinds of damage share."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from ..ops._checks import check_shape, require_count, require_rows, require_share
from ..ops.keyed_draws import Purpose, keyed_draws

NEVER = torch.iinfo(torch.int64).max
"""The order of a position that cannot be chosen."""


class RowOptions(Protocol):
    """Options that kinds of damage share."""

    @property
    def sequence_fraction(self) -> float | None: ...
    @property
    def sequence_probability(self) -> float | None: ...
    @property
    def include_target(self) -> bool: ...


def settle_options(kind: RowOptions, count_name: str, ratio_name: str) -> None:
    """Check the rows and the amount of a frozen dataclass; without either option for the rows,
    ``sequence_fraction`` becomes 0.5. Raises ValueError or TypeError."""
    settle_rows(kind)
    count, ratio = getattr(kind, count_name), getattr(kind, ratio_name)
    if (count is None) == (ratio is None):
        raise ValueError(
            f"exactly one of {count_name} and {ratio_name} must be given, got "
            f"{count_name}={count}, {ratio_name}={ratio}"
        )
    if count is not None:
        require_count(count_name, count, ratio_name)
    else:
        require_share(ratio_name, ratio)


def settle_rows(kind: RowOptions) -> None:
    """:func:`settle_options` for the rows only."""
    require_rows(kind.sequence_fraction, kind.sequence_probability)
    if kind.sequence_fraction is None and kind.sequence_probability is None:
        object.__setattr__(kind, "sequence_fraction", 0.5)


def begin(
    kind: RowOptions,
    purpose: Purpose,
    sequences: Tensor,
    row_keys: Tensor | None,
    seed: int | Tensor,
    step: int | Tensor,
) -> tuple[Draws, Tensor, Tensor]:
    """The draws of a call, the rows to damage ``[B]`` bool and the items that may change ``[B, W]``
    bool. The rows are the ``round(sequence_fraction * B)`` rows with the smallest (draw, row), or
    each row with ``sequence_probability``. Errors as :meth:`Draws.of`, :func:`open_to_change`."""
    draws = Draws.of(sequences, row_keys, seed, step)
    of_rows = draws.rows(purpose)
    if kind.sequence_probability is not None:
        # 53 bits fit a float64 without rounding.
        rows = (of_rows >> 11 & 2**53 - 1).double() < kind.sequence_probability * 2.0**53
    else:
        assert kind.sequence_fraction is not None
        count = math.floor(kind.sequence_fraction * len(of_rows) + 0.5)
        rows = torch.zeros_like(of_rows, dtype=torch.bool)
        rows.index_fill_(0, of_rows.argsort(stable=True)[:count], True)
    return draws, rows, open_to_change(sequences, kind.include_target)


@dataclass(frozen=True, slots=True)
class Draws:
    """The random numbers of one call, for any purpose."""

    row_keys: Tensor
    seed: int | Tensor
    step: int | Tensor

    @staticmethod
    def of(
        sequences: Tensor, row_keys: Tensor | None, seed: int | Tensor, step: int | Tensor
    ) -> Draws:
        """Draws for these rows; without ``row_keys``, the keys are row indices. Raises ValueError
        for a wrong shape, dtype or device."""
        check_shape("sequences", sequences, "B", "W")
        if sequences.dtype not in (torch.int32, torch.int64):
            raise ValueError(f"sequences must be int32 or int64, got {sequences.dtype}")
        if row_keys is None:
            row_keys = torch.arange(len(sequences), device=sequences.device)
        check_shape("row_keys", row_keys, len(sequences))
        if row_keys.device != sequences.device:
            raise ValueError(f"row_keys must be on {sequences.device}, got {row_keys.device}")
        return Draws(row_keys, seed, step)

    def rows(self, purpose: Purpose) -> Tensor:
        """``[B]`` int64, uniform over all int64 values."""
        return self.positions(1, purpose)[:, 0]

    def positions(self, length: int, purpose: Purpose) -> Tensor:
        """``[B, length]`` int64, uniform over all int64 values."""
        return keyed_draws(self.row_keys, length, purpose=purpose, seed=self.seed, step=self.step)

    def order(self, eligible: Tensor, purpose: Purpose) -> Tensor:
        """``[B, L]`` int64 for ``eligible [B, L]``: positions are chosen in ascending order."""
        draws = self.positions(eligible.shape[1], purpose)
        return (draws >> 1).masked_fill(~eligible, NEVER)  # a draw of 63 bits is below NEVER


def require_alias_table(table: Tensor | None, num_items: int) -> None:
    """Raises TypeError unless ``table`` is a tensor or None; ValueError for another catalogue."""
    if table is not None and not isinstance(table, Tensor):
        raise TypeError(f"alias_table must be a tensor, got {table!r}")
    if table is not None and (table.shape, table.dtype) != ((num_items,), torch.int64):
        raise ValueError(
            f"alias_table must be [{num_items}] torch.int64, got {list(table.shape)} {table.dtype}"
        )


def open_to_change(sequences: Tensor, include_target: bool) -> Tensor:
    """``[B, W]`` bool: the items of the history, and the target if ``include_target``.

    Raises ValueError for padding on the right of an item, on the CPU only: on CUDA a check would
    wait for the device.
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
    # Round half up in float64, as the replacement kernels do.
    return torch.minimum((items.double() * ratio + 0.5).floor().long(), most)


def choose_positions(order: Tensor, counts: Tensor) -> Tensor:
    """``[B, L]`` bool: the ``counts [B]`` smallest (order, position) of each row."""
    positions = torch.arange(order.shape[1], device=order.device).expand_as(order)
    ranks = torch.empty_like(order).scatter_(1, order.argsort(dim=1, stable=True), positions)
    return ranks < counts[:, None]


def to_the_right(kept: Tensor) -> Tensor:
    """``[B, L]`` int64 indices for ``gather``: columns in order, with ``kept`` on the right."""
    return kept.to(torch.uint8).argsort(dim=1, stable=True)
