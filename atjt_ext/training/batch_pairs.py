"""The batches of the recommender and of the noise models in each step of an epoch."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

from torch import Tensor

from ..data import Batch, TrainingRows
from .config import JointTrainerConfig

__all__ = ["batch_pairs", "steps_per_epoch"]


def batch_pairs(
    rows: TrainingRows, config: JointTrainerConfig, epoch: int, phase: tuple[int, Tensor] | None
) -> Iterator[tuple[Batch, Batch]]:
    """Pairs (for the recommender, for the noise models), ``steps_per_epoch`` of them.

    Seed and epoch (from 0) decide the order. Under sequential cross-fitting, ``phase`` holds the
    fold that the recommender learns on, and the fold of each user ``[num_users]``; the noise models
    learn on the other folds. None gives both the same batches of all users.

    Raises:
        ValueError: a phase without sequences inside or outside its fold.
    """
    size, seed = config.batch_size, config.seed
    if phase is None:
        return ((batch, batch) for batch in rows.batches(size, seed=seed, epoch=epoch))
    own, others = _in_and_out(rows, config, phase)
    # As many laps over the other folds as needed, each in its own order.
    damaged = itertools.chain.from_iterable(
        rows.batches(size, seed=seed + 1, epoch=epoch * 10_000 + lap, rows=others)
        for lap in itertools.count()
    )
    recommended = rows.batches(size, seed=seed, epoch=epoch, rows=own)
    return zip(recommended, damaged, strict=False)


def steps_per_epoch(
    rows: TrainingRows, config: JointTrainerConfig, phase: tuple[int, Tensor] | None
) -> int:
    """Number of pairs that :func:`batch_pairs` gives in every epoch (of a phase)."""
    learned_from = len(rows) if phase is None else len(_in_and_out(rows, config, phase)[0])
    return -(-learned_from // config.batch_size)


def _in_and_out(
    rows: TrainingRows, config: JointTrainerConfig, phase: tuple[int, Tensor]
) -> tuple[Tensor, Tensor]:
    """The rows inside and outside a phase's fold."""
    inside = phase[1][rows.users] == phase[0]
    own, others = inside.nonzero().flatten(), (~inside).nonzero().flatten()
    if not len(own) or not len(others):
        raise ValueError(
            f"sequential cross-fitting needs sequences inside and outside every fold, "
            f"but fold {phase[0]} of {config.fold_count} has {len(own)} of {len(rows)}"
        )
    return own, others
