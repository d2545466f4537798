"""What the recommender and the noise models see in each step of an epoch."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

from torch import Tensor

from .config import JointTrainerConfig
from .data import Batch, TrainingRows

__all__ = ["batch_pairs"]


def batch_pairs(
    rows: TrainingRows, config: JointTrainerConfig, epoch: int, phase: tuple[int, Tensor] | None
) -> tuple[Iterator[tuple[Batch, Batch]], int]:
    """Pairs (for the recommender, for the noise models), and how many there are.

    Args:
        rows: windows of the training data.
        config: batch size and seed.
        epoch: from 0; with the seed it decides the order.
        phase: of sequential cross-fitting, the fold that the recommender learns on and the fold of
            each user ``[num_users]``: the noise models see the other folds. None gives both the
            same batches of everybody.

    Raises:
        ValueError: a phase without sequences inside, or outside, of its fold.
    """
    size, seed = config.batch_size, config.seed
    if phase is None:
        batches = rows.batches(size, seed=seed, epoch=epoch)
        return ((batch, batch) for batch in batches), -(-len(rows) // size)
    fold = phase[1][rows.users]
    own, others = (fold == phase[0]).nonzero().flatten(), (fold != phase[0]).nonzero().flatten()
    if not len(own) or not len(others):
        raise ValueError(
            f"sequential cross-fitting needs sequences inside and outside of every fold, "
            f"but fold {phase[0]} of {config.num_folds} has {len(own)} of {len(rows)}"
        )
    # As many laps over the other folds as it takes; no two laps have one order.
    damaged = itertools.chain.from_iterable(
        rows.batches(size, seed=seed + 1, epoch=epoch * 10_000 + lap, rows=others)
        for lap in itertools.count()
    )
    recommended = rows.batches(size, seed=seed, epoch=epoch, rows=own)
    return zip(recommended, damaged, strict=False), -(-len(own) // size)
