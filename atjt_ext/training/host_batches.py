"""Batches from foreign training loops: checks, alignment with losses, and the latest rows."""

from __future__ import annotations

from collections import deque

import torch
from torch import Tensor, distributed
from torch.nn import functional as F

from ..data import Batch

__all__ = ["RecentRows", "aligned_weights", "counted_targets", "host_batch", "is_distributed"]

# Far above the rows of any batch: the keys of two processes never meet.
_KEYS_PER_PROCESS = 2**32


def is_distributed() -> bool:
    """Whether this process belongs to a group of ``torch.distributed``."""
    return distributed.is_available() and distributed.is_initialized()


def _first_key() -> int:
    """The key of row 0 of this process; the same number in two processes would damage both
    batches in the same places."""
    return distributed.get_rank() * _KEYS_PER_PROCESS if is_distributed() else 0


def host_batch(
    sequences: Tensor,
    users: Tensor,
    row_keys: Tensor | None = None,
    *,
    num_items: int,
    num_users: int,
) -> Batch:
    """``sequences [B, W]`` (history and target, left-padded with 0) and ``users [B]`` as a batch,
    whose ``rows`` are ``row_keys [B]`` or else numbers that no other process has.

    Raises:
        ValueError: a shape, dtype or id that does not fit, or a row without a last item (padded on
            the right).
    """
    if sequences.dim() != 2 or sequences.dtype != torch.int64 or sequences.shape[1] < 2:
        raise ValueError(
            "sequences must be [B, W] torch.int64 with W >= 2 (history and target), "
            f"got {list(sequences.shape)} {sequences.dtype}"
        )
    if users.shape != sequences.shape[:1] or users.dtype != torch.int64 or not len(users):
        raise ValueError(
            f"users must be [B] torch.int64 with sequences {list(sequences.shape)}, "
            f"got {list(users.shape)} {users.dtype}"
        )
    if row_keys is None:
        row_keys = torch.arange(len(users), device=users.device) + _first_key()
    elif row_keys.shape != users.shape or row_keys.dtype != torch.int64:
        raise ValueError(
            f"row_keys must be [{len(users)}] torch.int64 like users, "
            f"got {list(row_keys.shape)} {row_keys.dtype}"
        )
    # One transfer from the device for all checks.
    edges = (*sequences.aminmax(), *users.aminmax(), sequences[:, -1].min())
    first, last, first_user, last_user, least_target = torch.stack(edges).tolist()
    if first < 0 or last > num_items:
        raise ValueError(f"sequences must be in 0..{num_items} (num_items), got {first}..{last}")
    if first_user < 0 or last_user >= num_users:
        raise ValueError(
            f"users must be in 0..{num_users - 1} (num_users - 1), got {first_user}..{last_user}"
        )
    if least_target == 0:
        raise ValueError(
            "sequences must be left-padded and end with the target, got rows whose last column "
            "is padding"
        )
    return Batch(row_keys, users, sequences)


def counted_targets(batch: Batch, like: Tensor, mask: Tensor | None, name: str) -> Tensor:
    """The entries of ``like``, ``[B]`` or ``[B, W - 1]``, that count: ``mask``, or all but padding.

    Raises:
        ValueError: ``like`` (called ``name``) or ``mask`` has another shape.
    """
    rows, width = batch.sequences.shape
    if like.shape not in ((rows,), (rows, width - 1)):
        raise ValueError(
            f"{name} must be [{rows}] (last items) or [{rows}, {width - 1}] (all items but the "
            f"first) with sequences [{rows}, {width}], got {list(like.shape)}"
        )
    if mask is None:
        return batch.targets[:, -1] != 0 if like.dim() == 1 else batch.targets != 0
    if mask.shape != like.shape or mask.dtype != torch.bool:
        raise ValueError(
            f"mask must be {list(like.shape)} torch.bool like {name}, "
            f"got {list(mask.shape)} {mask.dtype}"
        )
    return mask


def aligned_weights(weights: Tensor, counted: Tensor) -> Tensor:
    """Weights of rows ``[B]`` or positions ``[B, W]`` in the shape of ``counted``, ``[B]`` or
    ``[B, W - 1]`` bool; 0 where no loss counts."""
    if weights.dim() == 2:
        weights = weights[:, -1] if counted.dim() == 1 else weights[:, 1:]
    elif counted.dim() == 2:
        weights = weights[:, None].expand_as(counted)
    return weights.masked_fill(~counted, 0.0)


class RecentRows:
    """The latest rows of a training loop, about ``size`` in whole batches and at least one batch,
    with the interface of ``TrainingRows``."""

    def __init__(self, size: int) -> None:
        self.size = size
        self._batches: deque[Batch] = deque()

    def append(self, batch: Batch) -> None:
        """Keeps ``batch``, and drops the oldest batches that ``size`` rows do not need."""
        self._batches.append(batch)
        while sum(map(len, self._batches)) - len(self._batches[0]) >= self.size:
            self._batches.popleft()

    @property
    def users(self) -> Tensor:
        """``[R]`` int64."""
        return torch.cat([batch.users for batch in self._batches])

    def gather(self, rows: Tensor) -> Batch:
        """The rows ``rows`` (``[B]`` int64), padded to the widest batch that is kept, with keys
        that no other process has."""
        width = max(batch.sequences.shape[1] for batch in self._batches)
        sequences = torch.cat(
            [F.pad(b.sequences, (width - b.sequences.shape[1], 0)) for b in self._batches]
        )
        return Batch(rows + _first_key(), self.users[rows], sequences[rows])
