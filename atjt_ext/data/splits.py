"""Leave-one-out splits, batches for evaluation, and folds of users."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from .batches import left_padded, weights_at
from .errors import DataError, at, require_at_least, shown
from .sequences import Sequences


@dataclass(frozen=True, eq=False, slots=True)
class EvaluationBatch:
    """Users to evaluate together.

    Attributes:
        users: ``[B]`` int64 user codes.
        inputs: ``[B, W]`` int64, the last items of each history, left-padded with 0.
        seen_rows: ``[P]`` int64, the row of the batch of each seen item. Each item of a whole
            history, not only of ``inputs``, gives one pair, also where a user repeats it.
        seen_items: ``[P]`` int64 item codes.
        targets: ``[B]`` int64. A target may itself be a seen item where users repeat items:
            exclude seen items from its competitors, never the target.
        weights: ``[B, W]`` float32, ``Sequences.weights`` of ``inputs``, or ``None``.
    """

    users: Tensor
    inputs: Tensor
    seen_rows: Tensor
    seen_items: Tensor
    targets: Tensor
    weights: Tensor | None = None


@dataclass(frozen=True, eq=False)
class EvaluationSet:
    """One held-out item per user, and the user's history before it.

    Args:
        users: ``[U]`` int64 user codes.
        histories: The items before the target of *every* user code, not only of ``users``.
        targets: ``[U]`` int64, the item to predict.
        read: The histories that a model reads, if they are not ``histories`` (a cleaned copy, for
            example). Seen items always come from ``histories``.

    Raises:
        ValueError: if ``users`` and ``targets`` are not both ``[U]``.
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
        """The same set on ``device``."""
        read = None if self.read is None else self.read.to(device)
        histories = self.histories.to(device)
        return EvaluationSet(self.users.to(device), histories, self.targets.to(device), read)

    def select(self, rows: Tensor) -> EvaluationSet:
        """The rows ``rows`` (int64 indices or a bool mask ``[U]``) of this set."""
        return replace(self, users=self.users[rows], targets=self.targets[rows])

    def order_of_length(self, max_length: int) -> Tensor:
        """``[U]`` int64: the rows of this set, those with the fewest inputs first.

        Batches in this order hold hardly any padding. Rows with as many inputs keep their order.
        """
        read = self.histories if self.read is None else self.read
        lengths = read.offsets[self.users + 1] - read.offsets[self.users]
        return lengths.clamp(max=max_length).argsort(stable=True)

    def batches(self, batch_size: int, max_length: int) -> Iterator[EvaluationBatch]:
        """The users in order, ``batch_size`` at a time, with at most ``max_length`` inputs each.

        Raises:
            ValueError: if ``batch_size`` or ``max_length`` is below 1.
        """
        require_at_least(1, batch_size=batch_size, max_length=max_length)
        for first in range(0, len(self), batch_size):
            yield self._batch(slice(first, first + batch_size), max_length)

    def _batch(self, rows: slice, max_length: int) -> EvaluationBatch:
        users = self.users[rows]
        read = self.histories if self.read is None else self.read
        # Not ``lengths[users]``: that would take time for all users in every batch.
        kept = (read.offsets[users + 1] - read.offsets[users]).clamp(max=max_length)
        # At least one column: a user with an empty history still has a last position.
        width = max(1, int(kept.max()))
        inputs, positions = left_padded(read.items, read.offsets[users + 1], kept, width)
        ends = self.histories.offsets[users + 1]
        lengths = ends - self.histories.offsets[users]
        seen_rows = torch.repeat_interleave(lengths)
        # From the place among the seen items of the batch to the place among all items.
        shift = ends - lengths.cumsum(0)
        places = torch.arange(seen_rows.numel(), device=seen_rows.device) + shift[seen_rows]
        seen_items = self.histories.items[places]
        weights = weights_at(read, positions)
        return EvaluationBatch(users, inputs, seen_rows, seen_items, self.targets[rows], weights)


@dataclass(frozen=True, eq=False, slots=True)
class LeaveOneOut:
    """The training, validation and test part of a leave-one-out split."""

    train: Sequences
    valid: EvaluationSet
    test: EvaluationSet


def leave_one_out(sequences: Sequences) -> LeaveOneOut:
    """Each user's last item is the test target, the second-last item the validation target.

    The validation histories are the training sequences; the test histories also hold the
    validation item. The catalogue stays whole: an item that is only a target keeps its code.

    Raises:
        DataError: if a user has fewer than three interactions; names the user and a remedy.
    """
    lengths = sequences.lengths
    short = (lengths < 3).nonzero().flatten()
    if short.numel():
        user = int(short[0])
        count = int(lengths[user])
        others = f" ({short.numel()} such users)" if short.numel() > 1 else ""
        raise DataError(
            f"{at(sequences.source)}user {shown(sequences.user_ids[user])} has {count} "
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
    """``[num_users]`` int64: random folds ``0 .. num_folds - 1``; sizes differ by at most one.

    Raises:
        ValueError: unless ``1 <= num_folds <= num_users`` and ``seed >= 0``.
    """
    if not 1 <= num_folds <= num_users:
        raise ValueError(f"num_folds must be in 1..{num_users} (number of users), got {num_folds}")
    require_at_least(0, seed=seed)
    folds = np.random.default_rng(seed).permutation(num_users) % num_folds
    return torch.from_numpy(folds.astype(np.int64))
