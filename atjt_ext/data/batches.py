"""Training batches: windows over users' sequences, gathered on the device of the sequences."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from .errors import DataError, at, require_at_least
from .sequences import Sequences

_SCORING_BATCH = 1024  # windows that per_interaction scores at once


@dataclass(frozen=True, eq=False, slots=True)
class Batch:
    """Windows of users' sequences.

    Attributes:
        rows: ``[B]`` int64, the index of each window in its ``TrainingRows``.
        users: ``[B]`` int64 user codes.
        sequences: ``[B, W]`` int64 item codes, left-padded with 0: the history *and* the last
            target, so that history and targets of a corrupted copy stay consistent.
        weights: ``[B, W]`` float32 or ``None``, weights of the interactions; 0 at padding.
    """

    rows: Tensor
    users: Tensor
    sequences: Tensor
    weights: Tensor | None = None

    @property
    def inputs(self) -> Tensor:
        """``[B, W - 1]``, the items that the model reads."""
        return self.sequences[:, :-1]

    @property
    def input_weights(self) -> Tensor | None:
        """``[B, W - 1]``, the weights of ``inputs``."""
        return None if self.weights is None else self.weights[:, :-1]

    @property
    def targets(self) -> Tensor:
        """``[B, W - 1]``, the item after each input; the model predicts it where ``is_target``."""
        return self.sequences[:, 1:]

    @property
    def is_target(self) -> Tensor:
        """``[B, W - 1]`` bool: false where the input is padding, also before the first item."""
        return self.inputs != 0

    def __len__(self) -> int:
        return self.rows.numel()

    def select(self, rows: Tensor) -> Batch:
        """The windows ``rows`` (int64 indices or a bool mask ``[B]``) of this batch."""
        return self._each(lambda tensor: tensor[rows])

    def to(self, device: torch.device | str) -> Batch:
        """The same windows on ``device``."""
        return self._each(lambda tensor: tensor.to(device))

    def _each(self, change: Callable[[Tensor], Tensor]) -> Batch:
        weights = None if self.weights is None else change(self.weights)
        return Batch(change(self.rows), change(self.users), change(self.sequences), weights)


class TrainingRows:
    """Windows in which every interaction that has a predecessor is a target.

    Windows of a sequence of ``n`` items end at ``n, n - stride, n - 2 * stride, ...``. A window
    holds at most ``max_length`` inputs, and the item that is only a target. Rows are sorted
    by user, latest window first. Users with fewer than two items have no row.

    Args:
        sequences: The training part.
        max_length: Longest input, at least 1.
        stride: Distance between the ends of windows. ``None`` means ``max_length``: every
            interaction is a target exactly once. With 1 every interaction is the *last* target
            exactly once, for models that predict only the last target.

    Raises:
        DataError: if no user has two items.
        ValueError: if ``max_length`` is below 1, or ``stride`` not in ``1 .. max_length``.
    """

    def __init__(self, sequences: Sequences, *, max_length: int, stride: int | None = None) -> None:
        require_at_least(1, max_length=max_length)
        stride = max_length if stride is None else stride
        if not 1 <= stride <= max_length:
            raise ValueError(f"stride must be in 1..{max_length} (max_length), got {stride}")
        lengths = sequences.lengths
        # ceil((n - 1) / stride): n - 1 targets, stride new ones per window.
        windows = (lengths - 1).clamp(min=0).add(stride - 1) // stride
        users = torch.repeat_interleave(windows)
        if not users.numel():
            raise DataError(
                f"{at(sequences.source)}no user has two training interactions, so there is nothing "
                "to predict; leave-one-out keeps two for users with at least 4 interactions "
                "(k_core=4)"
            )
        first_rows = windows.cumsum(0) - windows
        nth = torch.arange(users.numel(), device=users.device) - first_rows[users]
        ends = sequences.offsets[users + 1] - nth * stride
        starts = torch.maximum(sequences.offsets[users], ends - max_length - 1)
        self.sequences = sequences
        self.max_length = max_length
        self.stride = stride
        self.users = users  # [R] int64
        self._ends = ends  # [R] int64, into sequences.items
        self._lengths = ends - starts  # [R] int64, 2 .. max_length + 1
        # The host needs the width of a batch; reading it from the device would wait for it.
        self._host_lengths = self._lengths.cpu()

    def __len__(self) -> int:
        return self.users.numel()

    @property
    def num_targets(self) -> int:
        """Items that have a predecessor in their window, of all windows."""
        return int(self._host_lengths.sum()) - len(self)

    @property
    def device(self) -> torch.device:
        """Where batches are gathered."""
        return self.users.device

    def to(self, device: torch.device | str) -> TrainingRows:
        """The same rows with sequences and windows on ``device``."""
        sequences = self.sequences.to(device)
        return TrainingRows(sequences, max_length=self.max_length, stride=self.stride)

    def gather(self, rows: Tensor) -> Batch:
        """The windows ``rows`` (``[B]`` int64), padded to the longest of them.

        Raises:
            ValueError: if ``rows`` are not ``[B]`` int64 (``B >= 1``) in ``0 .. len(self) - 1``.
        """
        rows, sequences, positions = self._cut(rows)
        return Batch(rows, self.users[rows], sequences, weights_at(self.sequences, positions))

    def positions(self, rows: Tensor) -> Tensor:
        """``[B, W]`` int64, the place of each item in ``sequences.items``; -1 at padding."""
        return self._cut(rows)[2]

    def noise(self, rows: Tensor) -> Tensor | None:
        """``[B, W]`` bool: the planted noise in ``gather(rows).sequences``; ``None`` if unknown."""
        is_noise = self.sequences.is_noise
        return None if is_noise is None else _at(is_noise, self.positions(rows))

    def batches(
        self, batch_size: int, *, seed: int, epoch: int, rows: Tensor | None = None
    ) -> Iterator[Batch]:
        """Every row once, shuffled, ``batch_size`` at a time.

        The order depends only on ``seed``, ``epoch`` and the number of rows, so resuming needs no
        state.

        Args:
            batch_size: Rows per batch, at least 1; the last batch may be smaller.
            seed: At least 0.
            epoch: At least 0.
            rows: ``[R']`` int64, the rows to visit, such as the rows of one fold; ``None``: all.

        Raises:
            ValueError: if a number is out of its range.
        """
        require_at_least(1, batch_size=batch_size)
        require_at_least(0, seed=seed, epoch=epoch)
        chosen = torch.arange(len(self)) if rows is None else rows.cpu()
        order = np.random.default_rng([seed, epoch]).permutation(len(chosen))
        shuffled = chosen[torch.from_numpy(order)]
        for first in range(0, len(shuffled), batch_size):
            yield self.gather(shuffled[first : first + batch_size])

    def _cut(self, rows: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """``rows`` on the device of the windows, and their items and positions ``[B, W]``."""
        if rows.dim() != 1 or rows.dtype != torch.int64 or not rows.numel():
            raise ValueError(
                f"rows must be [B] torch.int64 with B >= 1, got {list(rows.shape)} {rows.dtype}"
            )
        host = rows.cpu()
        low, high = int(host.min()), int(host.max())
        if low < 0 or high >= len(self):
            raise ValueError(f"rows must be in 0..{len(self) - 1}, got {low}..{high}")
        width = int(self._host_lengths[host].max())
        rows = rows.to(self.device)
        items = self.sequences.items
        return rows, *left_padded(items, self._ends[rows], self._lengths[rows], width)


def left_padded(items: Tensor, ends: Tensor, lengths: Tensor, width: int) -> tuple[Tensor, Tensor]:
    """The slices ``items[end - length : end]`` (``[B]`` ends and lengths), padded on the left.

    Returns:
        The items ``[B, width]`` with 0 at padding, and their indices in ``items``, ``[B, width]``
        int64 with -1 at padding.
    """
    positions = ends[:, None] + torch.arange(width, device=items.device) - width
    positions = positions.masked_fill(positions < (ends - lengths)[:, None], -1)
    return _at(items, positions), positions


def weights_at(sequences: Sequences, positions: Tensor) -> Tensor | None:
    """The weights at ``positions``, in their shape; 0 at -1 (padding); ``None`` without weights."""
    return None if sequences.weights is None else _at(sequences.weights, positions)


def _at(values: Tensor, positions: Tensor) -> Tensor:
    # Index -1 would read the last value, and an empty tensor has none.
    return values[positions.clamp(min=0)].masked_fill(positions < 0, 0)


@torch.no_grad()
def per_interaction(
    rows: TrainingRows, score: Callable[[Batch], Tensor], *, last_target_only: bool = False
) -> Tensor:
    """One score per interaction from the scores of windows.

    Args:
        rows: Windows over the training sequences.
        score: Gives ``[B]`` (one score for all items of a window) or ``[B, W]``.
        last_target_only: Whether only the last item of a window is a target; windows must then end
            at every interaction (``stride=1``).

    Returns:
        ``[N]`` float32 on the CPU, in the order of ``rows.sequences.items``; NaN for users with a
        single interaction.
    """
    result = torch.full((rows.sequences.num_interactions,), torch.nan, device=rows.device)
    chunks = torch.arange(len(rows), device=rows.device).split(_SCORING_BATCH)
    windows = [(rows.positions(chunk), score(rows.gather(chunk)).float()) for chunk in chunks]
    # The oldest item of a window is the last target of an older window. So the second pass, over
    # targets, overwrites the first; only a user's first item keeps the value of the first pass.
    for first_column in (0, -1 if last_target_only else 1):
        for positions, values in windows:
            where = positions[:, first_column:]
            spread = values[:, None].expand_as(positions) if values.dim() == 1 else values
            held = where >= 0
            if first_column:
                held &= positions[:, first_column - 1 : -1] >= 0
            result[where[held]] = spread[:, first_column:][held]
    return result.cpu()
