"""A training run: from sequences to a folder with all results."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from ..data import Sequences, leave_one_out
from ..data.locks import exclusive
from ..recognition.weighting import summarise_weights
from ..training.processes import require_one_process
from ..training.tensorboard_log import TensorBoardLog
from .build import pretrain, trainer_for
from .config import RunConfig
from .evaluate import evaluate_run
from .folder import Run

__all__ = ["train_run"]


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
    """Trains on leave-one-out of ``sequences``, measures, and writes everything to ``folder``.

    Args:
        folder: the run folder.
        sequences: the data; the last two interactions of each user are held out.
        config: the config of the run.
        resume: continue the run in ``folder``.
        device: where to train; None is the CPU.
        progress: show a bar and a line per epoch on stderr.
        title: how the progress lines begin; None is the recipe's name.
        tensorboard: write training curves to ``folder/tensorboard``.

    Returns:
        The contents of metrics.json.

    Raises:
        ValueError: this process is one of several under torchrun.
        DataError: a user is too short for leave-one-out.
        CheckpointError: the folder belongs to another run, or a file in it is damaged.
        FolderInUseError: another process writes to the folder.
        ImportError: ``tensorboard`` is on, and the package is not installed.
    """
    require_one_process("train_run")
    split = leave_one_out(sequences)
    # Every refusal comes before the first file is written.
    trainer = trainer_for(sequences, config, device)
    trainer.require_trainable(split.train)
    # One writer: of two commands in one folder, each would replace the files of the other.
    with exclusive(Path(folder), "training"):
        models = trainer.models
        run = Run(Path(folder))
        curves = TensorBoardLog(run.tensorboard_path) if tensorboard else None

        run.create(config, sequences, resume=resume)
        title = title or config.recipe
        if not (resume and run.checkpoint_path.exists()):
            pretrain(trainer, config, split.train, progress=progress, title=title)
        history = trainer.fit(
            split.train,
            split.valid,
            checkpoint=run.checkpoint_path,
            history=run.history_path,
            resume=resume,
            progress=progress,
            title=title,
            on_epoch=curves,
        )
        if curves is not None:
            curves.close()
        ranks = models.ranks(split.test)
        run.write_ranks(split.train.user_ids, ranks)
        weights = models.sequence_weights(split.train)
        run.write_weights(split.train.user_ids, weights)
        if (found := models.beliefs.to_store(split.train)) is not None:
            run.write_interactions(*found)
        metrics = {
            "recipe": config.recipe,
            "softmax": trainer.softmax,
            **evaluate_run(models, split, ranks),
            "noise": {"held_out_AUC": models.held_out_auc, **models.noise_detection(split.train)},
            "weights": summarise_weights(weights[~weights.isnan()]).as_dict(),
            "kept_epoch": trainer.state.kept_epoch,
            "kept_epoch_weighed": history[trainer.state.kept_epoch - 1].weights_used,
            "epochs": len(history),
        }
        run.write_metrics(metrics)
        return metrics
