"""Splits: what is trained on, what is held out, and which users belong together."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from .batches import left_padded, weights_at
from .errors import DataError, shown
from .sequences import Sequences


@dataclass(frozen=True, eq=False, slots=True)
class EvaluationBatch:
    """Users to evaluate together.

    Attributes:
        users: ``[B]`` int64 user codes.
        inputs: ``[B, W]`` int64, each history's last items, left-padded with 0.
        seen_rows: ``[P]`` int64, row of the batch; with ``seen_items`` one pair per item of the
            whole history, not only of ``inputs`` (repeated where the history repeats).
        seen_items: ``[P]`` int64 item codes.
        targets: ``[B]`` int64. Where users repeat items a target may itself be a seen item:
            exclude seen items from its competitors, never the target.
        weights: ``[B, W]`` float32, ``Sequences.weights`` of the inputs; None without any.
    """

    users: Tensor
    inputs: Tensor
    seen_rows: Tensor
    seen_items: Tensor
    targets: Tensor
    weights: Tensor | None = None


@dataclass(frozen=True, eq=False)
class EvaluationSet:
    """One held-out item per user, and all that is known of the user before it.

    Args:
        users: ``[U]`` int64 user codes.
        histories: The known items of *every* user code; user ``users[i]`` owns row ``users[i]``.
        targets: ``[U]`` int64, the item to be predicted.
        read: What a model gets to read of the histories, where that is less than was seen (a
            cleaned copy, say); ``None`` means all. Seen items are always those of ``histories``.
    """

    users: Tensor
    histories: Sequences
    targets: Tensor
    read: Sequences | None = None

    def __post_init__(self) -> None:
        if self.users.dim() != 1 or self.targets.shape != self.users.shape:
            raise ValueError(
                "users and targets must both be [U], "
                f"got {list(self.users.shape)} and {list(self.targets.shape)}"
            )

    def __len__(self) -> int:
        return self.users.numel()

    def to(self, device: torch.device | str) -> EvaluationSet:
        return EvaluationSet(
            self.users.to(device),
            self.histories.to(device),
            self.targets.to(device),
            None if self.read is None else self.read.to(device),
        )

    def select(self, rows: Tensor) -> EvaluationSet:
        """The rows ``rows`` (int64 indices or a bool mask ``[U]``) of this set."""
        return replace(self, users=self.users[rows], targets=self.targets[rows])

    def batches(self, batch_size: int, max_length: int) -> Iterator[EvaluationBatch]:
        """The set in order, ``batch_size`` users at a time, with inputs of at most ``max_length``.

        Raises:
            ValueError: if ``batch_size`` or ``max_length`` is below 1.
        """
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, got {batch_size}")
        if max_length < 1:
            raise ValueError(f"max_length must be at least 1, got {max_length}")
        for first in range(0, len(self), batch_size):
            yield self._batch(slice(first, first + batch_size), max_length)

    def _batch(self, rows: slice, max_length: int) -> EvaluationBatch:
        users = self.users[rows]
        ends = self.histories.offsets[users + 1]
        lengths = ends - self.histories.offsets[users]
        read = self.histories if self.read is None else self.read
        kept = (read.offsets[users + 1] - read.offsets[users]).clamp(max=max_length)
        # At least one column: whoever has nothing to read still has a last position.
        inputs, positions = left_padded(
            read.items, read.offsets[users + 1], kept, max(1, int(kept.max()))
        )
        seen_rows = torch.repeat_interleave(lengths)
        # How far before its history's end each pair lies: total, total - 1, ..., 1 shifted per row.
        remaining = lengths.cumsum(0)[seen_rows] - torch.arange(
            seen_rows.numel(), device=seen_rows.device
        )
        seen_items = self.histories.items[ends[seen_rows] - remaining]
        return EvaluationBatch(
            users, inputs, seen_rows, seen_items, self.targets[rows], weights_at(read, positions)
        )


@dataclass(frozen=True, eq=False, slots=True)
class LeaveOneOut:
    """Train, validation and test parts of a leave-one-out split."""

    train: Sequences
    valid: EvaluationSet
    test: EvaluationSet


def leave_one_out(sequences: Sequences) -> LeaveOneOut:
    """Each user's last item is the test target, the second-last the validation target.

    The validation history is what is trained on; the test history also knows the validation item.
    The catalogue stays whole: an item that only occurs as a target keeps its code.

    Raises:
        DataError: if a user has fewer than three interactions; names the user and the way out.
    """
    lengths = sequences.lengths
    short = (lengths < 3).nonzero().flatten()
    if short.numel():
        user = int(short[0])
        count = int(lengths[user])
        place = f"{sequences.source}: " if sequences.source else ""
        others = f" ({short.numel()} such users)" if short.numel() > 1 else ""
        raise DataError(
            f"{place}user {shown(sequences.user_ids[user])} has {count} "
            f"interaction{'' if count == 1 else 's'}, leave-one-out needs at least 3{others}; "
            "filter with min_length=3, or with k_core=3, which drops rare items as well"
        )
    users = torch.arange(sequences.num_users, device=sequences.device)
    ends = sequences.offsets[1:]
    train = sequences.without_last(2)
    return LeaveOneOut(
        train=train,
        valid=EvaluationSet(users, train, sequences.items[ends - 2]),
        test=EvaluationSet(users, sequences.without_last(1), sequences.items[ends - 1]),
    )


def user_folds(num_users: int, num_folds: int, *, seed: int) -> Tensor:
    """``[num_users]`` int64, the fold ``0 .. num_folds - 1`` of each user, dealt at random.

    Fold sizes differ by at most one.

    Raises:
        ValueError: unless ``1 <= num_folds <= num_users`` and ``seed >= 0``.
    """
    if not 1 <= num_folds <= num_users:
        raise ValueError(f"num_folds must be in 1..{num_users} (the users), got {num_folds}")
    if seed < 0:
        raise ValueError(f"seed must be at least 0, got {seed}")
    folds = np.random.default_rng(seed).permutation(num_users) % num_folds
    return torch.from_numpy(folds.astype(np.int64))
