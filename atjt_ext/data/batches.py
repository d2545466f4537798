"""Training batches: windows over users' sequences, gathered on the device where they lie."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from .errors import DataError
from .sequences import Sequences


@dataclass(frozen=True, eq=False, slots=True)
class Batch:
    """Windows of users' sequences.

    Attributes:
        rows: ``[B]`` int64, the row of ``TrainingRows`` that each window is.
        users: ``[B]`` int64 user codes.
        sequences: ``[B, W]`` int64 item codes, left-padded with 0: the history *and* the last
            target, so that history and targets of a corrupted copy stay consistent.
        weights: ``[B, W]`` float32, the interactions' ``Sequences.weights`` (0 at padding); None
            where they carry none.
    """

    rows: Tensor
    users: Tensor
    sequences: Tensor
    weights: Tensor | None = None

    @property
    def inputs(self) -> Tensor:
        """``[B, W - 1]``, what is read."""
        return self.sequences[:, :-1]

    @property
    def input_weights(self) -> Tensor | None:
        """``[B, W - 1]``, the weights of what is read."""
        return None if self.weights is None else self.weights[:, :-1]

    @property
    def targets(self) -> Tensor:
        """``[B, W - 1]``, the item after each input; to be predicted where ``is_target``."""
        return self.sequences[:, 1:]

    @property
    def is_target(self) -> Tensor:
        """``[B, W - 1]`` bool, where there is an input to predict from.

        The test is on the input: a padded row's first item stands among the targets under a
        padding input, and nothing is known before it.
        """
        return self.inputs != 0

    def __len__(self) -> int:
        return self.rows.numel()

    def select(self, rows: Tensor) -> Batch:
        """The windows ``rows`` (int64 indices or a bool mask ``[B]``) of this batch."""
        weights = None if self.weights is None else self.weights[rows]
        return Batch(self.rows[rows], self.users[rows], self.sequences[rows], weights)

    def to(self, device: torch.device | str) -> Batch:
        weights = None if self.weights is None else self.weights.to(device)
        return Batch(
            self.rows.to(device), self.users.to(device), self.sequences.to(device), weights
        )


class TrainingRows:
    """Windows in which every interaction that has a predecessor is a target.

    A sequence of ``n`` items is cut at ``n, n - stride, n - 2 * stride, ...``; the window that ends
    at ``end`` holds items ``[max(0, end - max_length - 1), end)``: at most ``max_length`` inputs,
    and the item that only serves as the last target. Rows go by user, latest window first. Users
    with fewer than two items have none.

    Args:
        sequences: The training part.
        max_length: Longest input, at least 1.
        stride: How far apart windows end. ``None`` means ``max_length``: every interaction is a
            target exactly once. With 1 each is the *last* target exactly once, for models that
            predict no other.

    Raises:
        DataError: if no user has two items, so that nothing could be trained.
        ValueError: if ``max_length`` is below 1, or ``stride`` not in ``1 .. max_length``.
    """

    def __init__(self, sequences: Sequences, *, max_length: int, stride: int | None = None) -> None:
        if max_length < 1:
            raise ValueError(f"max_length must be at least 1, got {max_length}")
        stride = max_length if stride is None else stride
        if not 1 <= stride <= max_length:
            raise ValueError(f"stride must be in 1..{max_length} (max_length), got {stride}")
        lengths = sequences.lengths
        # ceil((n - 1) / stride): n - 1 targets, stride new ones per window.
        windows = (lengths - 1).clamp(min=0).add(stride - 1) // stride
        users = torch.repeat_interleave(windows)
        if not users.numel():
            place = f"{sequences.source}: " if sequences.source else ""
            raise DataError(
                f"{place}no user has two training interactions, so there is nothing to predict; "
                "leave-one-out keeps two for users with at least 4 interactions (k_core=4)"
            )
        first_row = windows.cumsum(0) - windows
        nth = torch.arange(users.numel(), device=users.device) - first_row[users]
        ends = sequences.offsets[users + 1] - nth * stride
        starts = torch.maximum(sequences.offsets[users], ends - max_length - 1)
        self.sequences = sequences
        self.max_length = max_length
        self.stride = stride
        self.users = users  # [R] int64
        self._ends = ends  # [R] int64, into sequences.items
        self._lengths = ends - starts  # [R] int64, 2 .. max_length + 1
        # A copy on the host: the width of a batch is needed there, and reading it from the
        # device would wait for the device at every batch.
        self._host_lengths = self._lengths.cpu()

    def __len__(self) -> int:
        return self.users.numel()

    @property
    def device(self) -> torch.device:
        return self.users.device

    def to(self, device: torch.device | str) -> TrainingRows:
        """The same rows with sequences and windows on ``device``; batches are gathered there."""
        return TrainingRows(
            self.sequences.to(device), max_length=self.max_length, stride=self.stride
        )

    def gather(self, rows: Tensor) -> Batch:
        """The windows ``rows`` (``[B]`` int64), as wide as the longest of them.

        Raises:
            ValueError: on rows that are not ``[B]`` int64 (``B >= 1``) in ``0 .. len(self) - 1``.
        """
        rows, width = self._checked(rows)
        sequences, positions = left_padded(
            self.sequences.items, self._ends[rows], self._lengths[rows], width
        )
        return Batch(
            rows=rows,
            users=self.users[rows],
            sequences=sequences,
            weights=weights_at(self.sequences, positions),
        )

    def positions(self, rows: Tensor) -> Tensor:
        """``[B, W]`` int64, where each cell of ``gather(rows).sequences`` lies in
        ``sequences.items``; -1 at padding."""
        rows, width = self._checked(rows)
        _, positions = left_padded(
            self.sequences.items, self._ends[rows], self._lengths[rows], width
        )
        return positions

    def noise(self, rows: Tensor) -> Tensor | None:
        """``[B, W]`` bool, where ``gather(rows).sequences`` holds planted noise; false at padding.

        ``None`` where the truth is unknown.
        """
        if self.sequences.is_noise is None:
            return None
        positions = self.positions(rows)
        return self.sequences.is_noise[positions.clamp(min=0)] & (positions >= 0)

    def batches(
        self, batch_size: int, *, seed: int, epoch: int, rows: Tensor | None = None
    ) -> Iterator[Batch]:
        """All rows once (or all of ``rows``), shuffled, ``batch_size`` at a time.

        The order depends on ``seed``, ``epoch`` and the number of rows only: epoch 7 is the same
        whether or not epochs 0 to 6 were drawn, so resuming needs no state.

        Args:
            batch_size: Rows per batch, at least 1; the last batch may be smaller.
            seed: At least 0.
            epoch: At least 0.
            rows: ``[R']`` int64, the rows to visit (one fold's, say); ``None`` means all.
        """
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, got {batch_size}")
        for name, value in (("seed", seed), ("epoch", epoch)):
            if value < 0:
                raise ValueError(f"{name} must be at least 0, got {value}")
        chosen = torch.arange(len(self)) if rows is None else rows.cpu()
        order = np.random.default_rng([seed, epoch]).permutation(len(chosen))
        shuffled = chosen[torch.from_numpy(order)]
        for first in range(0, len(shuffled), batch_size):
            yield self.gather(shuffled[first : first + batch_size])

    def _checked(self, rows: Tensor) -> tuple[Tensor, int]:
        """``rows`` on the device of the windows, and the width of their batch."""
        if rows.dim() != 1 or rows.dtype != torch.int64 or not rows.numel():
            raise ValueError(
                f"rows must be [B] torch.int64 with B >= 1, got {list(rows.shape)} {rows.dtype}"
            )
        host = rows.cpu()
        low, high = int(host.min()), int(host.max())
        if low < 0 or high >= len(self):
            raise ValueError(f"rows must be in 0..{len(self) - 1}, got {low}..{high}")
        return rows.to(self.device), int(self._host_lengths[host].max())


def left_padded(items: Tensor, ends: Tensor, lengths: Tensor, width: int) -> tuple[Tensor, Tensor]:
    """Slices ``items[end - length : end]`` as rows of one tensor, left-padded.

    Args:
        items: ``[N]``.
        ends: ``[B]`` int64.
        lengths: ``[B]`` int64, at most ``width``.
        width: Number of columns.

    Returns:
        ``[B, width]`` of the items with 0 at padding, and ``[B, width]`` int64 of their positions
        in ``items`` with -1 at padding.
    """
    columns = torch.arange(width, device=items.device) - width
    positions = ends[:, None] + columns
    padding = positions < (ends - lengths)[:, None]
    positions = positions.masked_fill(padding, -1)
    # Clamped because index -1 would read the last item (and none exists in an empty tensor).
    return items[positions.clamp(min=0)].masked_fill(padding, 0), positions


def weights_at(sequences: Sequences, positions: Tensor) -> Tensor | None:
    """``sequences.weights`` at ``positions`` (-1 at padding: weight 0), of their shape; or None."""
    if sequences.weights is None:
        return None
    return sequences.weights[positions.clamp(min=0)].masked_fill(positions < 0, 0.0)


_SCORING_BATCH = 1024


@torch.no_grad()
def per_interaction(
    rows: TrainingRows, score: Callable[[Batch], Tensor], *, last_target_only: bool = False
) -> Tensor:
    """Spreads scores of windows over the interactions they hold: ``[N]`` float32 on the CPU.

    Args:
        rows: windows over the training sequences.
        score: ``[B]`` or ``[B, W]`` per batch of windows.
        last_target_only: windows end at every interaction, and only their last item is a target.

    Returns:
        One value per interaction, in the order of ``rows.sequences.items``; NaN for users with a
        single interaction, of which there is no window.
    """
    result = torch.full((rows.sequences.num_interactions,), torch.nan, device=rows.device)
    chunks = torch.arange(len(rows), device=rows.device).split(_SCORING_BATCH)
    windows = [(rows.positions(chunk), score(rows.gather(chunk)).float()) for chunk in chunks]
    # The oldest item of a window is the last target of the window before it: its value as a target
    # goes last and so wins. Only a user's very first item is no target anywhere.
    for first_column in (0, -1 if last_target_only else 1):
        for positions, values in windows:
            where = positions[:, first_column:]
            spread = values[:, None].expand_as(positions) if values.dim() == 1 else values
            held = where >= 0
            if first_column:
                held &= positions[:, first_column - 1 : -1] >= 0
            result[where[held]] = spread[:, first_column:][held]
    return result.cpu()
