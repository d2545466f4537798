"""Given weights: from the truth, from recognition, and their controls.

All controls deal out the very weights of ``co_occurrence``: same mean, same spread, same effect on
the learning rate. They differ in who gets which.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from ..data import LeaveOneOut, Sequences, leave_one_out
from ..data.weighed_histories import kept

__all__ = ["dealt_by", "given_weights", "of_whole", "with_weights", "without_noise"]


def dealt_by(weights: Tensor, order: Tensor, *, seed: int) -> Tensor:
    """The values of ``weights [N]``, the smallest where ``order [N]`` is smallest; ties at
    random."""
    random = torch.from_numpy(np.random.default_rng([seed, 2]).permutation(len(order)))
    ranked = random[order[random].sort(stable=True).indices]
    result = torch.empty_like(weights)
    result[ranked] = weights.sort().values
    return result


def given_weights(
    source: str,
    train: Sequences,
    recognised: Tensor | None,
    losses: Tensor | None,
    *,
    seed: int,
) -> Tensor:
    """The weights ``[N]`` of the training interactions that a source gives.

    Args:
        source: one of ``recipes.SOURCES`` but ``column``.
        train: training sequences.
        recognised: weights of ``co_occurrence``; unused by ``oracle``.
        losses: ``[N]``, used by ``loss`` alone.
        seed: of what is random.

    Raises:
        ValueError: the source lacks what it needs, or is unknown.
    """
    if source == "oracle":
        if train.is_noise is None:
            raise ValueError("oracle weights need sequences that know their noise")
        return (~train.is_noise).float()
    if recognised is None:
        raise ValueError(f"weights of {source!r} need those of co_occurrence")
    if source == "co_occurrence":
        return recognised
    if source == "shuffled":
        return dealt_by(recognised, torch.zeros(len(recognised)), seed=seed)
    if source == "popularity":
        counts = torch.bincount(train.items, minlength=train.num_items + 1)
        return dealt_by(recognised, counts[train.items], seed=seed)
    if source == "loss":
        if losses is None:
            raise ValueError("weights of 'loss' need the losses of a pilot")
        return dealt_by(recognised, -losses, seed=seed)
    raise ValueError(f"no such source of weights: {source!r}")


def of_whole(sequences: Sequences, weights: Tensor) -> Tensor:
    """``weights`` of the training interactions, and one for the two that are held out."""
    result = torch.ones(sequences.num_interactions, dtype=weights.dtype)
    result[sequences.from_the_end > 2] = weights
    return result


def with_weights(sequences: Sequences, weights: Tensor, *, at_test: bool) -> LeaveOneOut:
    """The leave-one-out split with ``weights [N]`` on its training interactions, and, ``at_test``,
    on whatever is read before a held-out item."""
    split = leave_one_out(replace(sequences, weights=weights))
    if at_test:
        return split
    plain = leave_one_out(sequences)
    return LeaveOneOut(split.train, plain.valid, plain.test)


def without_noise(
    sequences: Sequences, weights: Tensor, *, below: float, at_test: bool
) -> LeaveOneOut:
    """The split without the interactions of a weight ``below`` that.

    Everybody keeps the cleanest one to train on. Seen items stay those of the whole history.

    Args:
        sequences: to split.
        weights: ``[N]``, of all interactions.
        below: a weight in [0, 1].
        at_test: leave them out of what is read before a held-out item, too.
    """
    split = leave_one_out(sequences)
    training, keep = sequences.from_the_end > 2, weights >= below
    keep[training] = kept(split.train, weights[training], below=below)
    train = split.train.where(keep[training])
    if not at_test:
        return LeaveOneOut(train, split.valid, split.test)
    read = sequences.without_last(1).where(keep[sequences.from_the_end > 1])
    return LeaveOneOut(train, replace(split.valid, read=train), replace(split.test, read=read))
