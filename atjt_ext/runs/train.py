"""A training run, from a file of interactions to a folder that holds all of its results."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from ..data import (
    Sequences,
    TrainingRows,
)
from ..recognition.weighting import summarise_weights
from ..training.history import EpochRecord
from ..training.tensorboard_log import TensorBoardLog
from .build import pretrain, trainer_for
from .config import RunConfig
from .data import rankable_split
from .evaluate import evaluate_run
from .folder import Run

__all__ = [
    "train_run",
]


def train_run(
    folder: str | Path,
    sequences: Sequences,
    config: RunConfig,
    *,
    resume: bool = False,
    device: torch.device | str | None = None,
    progress: bool = True,
    title: str | None = None,
    tensorboard: bool = False,
) -> dict[str, Any]:
    """Trains on leave-one-out of ``sequences``, measures, and leaves everything in ``folder``.

    Returns:
        What metrics.json holds.

    Raises:
        DataError: a user is too short for leave-one-out, or has every item that is trained on.
        CheckpointError: the folder belongs to another run.
        ImportError: ``tensorboard`` asks for curves in the folder, and it is not installed.
    """
    split = rankable_split(sequences)
    # Whatever can be refused is refused before anything is written.
    trainer = trainer_for(sequences, config, device)
    trainer.require_trainable(split.train)
    rows = TrainingRows(trainer.to_learn_from(split.train), max_length=config.trainer.max_length)
    run = Run(Path(folder))
    curves = TensorBoardLog(run.tensorboard_path) if tensorboard else None

    def on_epoch(history: list[EpochRecord]) -> None:
        run.write_history(history)
        if curves is not None:
            curves(history)

    run.create(config, sequences, resume=resume)
    title = title or config.recipe
    if not (resume and run.checkpoint_path.exists()):
        pretrain(
            trainer.recommender, config, rows.to(trainer.device), progress=progress, title=title
        )
    history = trainer.fit(
        split.train,
        split.valid,
        checkpoint=run.checkpoint_path,
        resume=resume,
        progress=progress,
        title=title,
        on_epoch=on_epoch,
    )
    if curves is not None:
        curves.close()
    ranks = trainer.ranks(split.test)
    run.write_ranks(split.train.user_ids, ranks)
    weights = trainer.sequence_weights(split.train)
    run.write_weights(split.train.user_ids, weights)
    if config.trainer.weighs:
        run.write_interactions(
            split.train,
            trainer.interaction_noise_logits(split.train),
            trainer.interaction_weights(split.train),
        )
    metrics = {
        "recipe": config.recipe,
        "softmax": trainer.softmax,
        **evaluate_run(trainer, split, ranks),
        "noise": {
            "held_out_AUC": trainer.held_out_auc,
            **trainer.noise_detection(split.train),
        },
        "weights": summarise_weights(weights[~weights.isnan()]).as_dict(),
        "kept_epoch": trainer.state.kept_epoch,
        "kept_epoch_weighed": history[trainer.state.kept_epoch - 1].weights_used,
        "epochs": len(history),
    }
    run.write_metrics(metrics)
    return metrics
