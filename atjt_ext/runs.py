"""A training run, from a file of interactions to a folder that holds all of its results."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from .config import RunConfig
from .data import (
    LeaveOneOut,
    Sequences,
    TrainingRows,
    item_feature_table,
    leave_one_out,
    shared_features,
    user_folds,
)
from .history import EpochRecord
from .metrics import ranking_metrics, user_gains
from .recommenders import build_noise_model, build_recommender, pretrain
from .run_data import rankable_split
from .run_folder import Run
from .sampled_evaluation import sampled_evaluate
from .statistics import users_interval
from .tensorboard_log import TensorBoardLog
from .trainer import JointTrainer
from .weighting import summarise_weights

__all__ = [
    "build_trainer",
    "compare_runs",
    "evaluate_run",
    "load_trainer",
    "sampled_test",
    "train_run",
    "trainer_for",
]


def build_trainer(
    config: RunConfig,
    num_items: int,
    *,
    num_users: int | None = None,
    item_features: Tensor | None = None,
    device: torch.device | str | None = None,
) -> JointTrainer:
    """The config's recommender and noise model, initialised from its seed alone.

    ``num_users`` and ``item_features`` are for the recommenders that see them.

    Raises:
        ValueError: there is no such device here, or the sizes do not fit together.
    """
    _require_device(device)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.trainer.seed)
        recommender = build_recommender(
            config, num_items, num_users=num_users, item_features=item_features
        )
        noise_model = build_noise_model(config, num_items)
    return JointTrainer(recommender, noise_model, config=config.trainer, device=device)


def load_trainer(
    run: Run,
    sequences: Sequences,
    *,
    device: torch.device | str | None = None,
    train: Sequences | None = None,
) -> JointTrainer:
    """A trainer with the best models of a finished or unfinished run in place.

    Args:
        run: its folder.
        sequences: what is to be evaluated or recommended from.
        device: where the models live; None is the CPU.
        train: what the run was trained on, where that is at hand; None reads it once more.
    """
    trainer = trainer_for(sequences, run.config(), device)
    trainer.load(run.checkpoint_path, num_users=sequences.num_users)
    if trainer.config.weighting == "co_occurrence" and trainer.config.changes_reading:
        # Of what the run was trained on, whatever is to be evaluated.
        train = leave_one_out(run.sequences()).train if train is None else train
        beliefs = run.beliefs(train)
        if beliefs is None:  # an unfinished run, or one from before they were written
            trainer.recognise(train)
        else:
            trainer.believe(train, *beliefs)
    return trainer


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
    user_folds(sequences.num_users, config.trainer.num_folds, seed=config.trainer.seed)
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
    if config.trainer.weighting != "equal":
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


def compare_runs(run: Run, baseline: Run, metric: str) -> str:
    """What ``run`` gains over ``baseline`` on test data, in words and as its comparison.json."""
    gains = user_gains(run.ranks(), metric) - user_gains(baseline.ranks(), metric)
    gain, (low, high) = float(gains.mean()), users_interval(gains)
    config = run.config()
    run.write_comparison(
        {"recipe": config.recipe, "baseline": baseline.folder.name}
        | {"seed": config.trainer.seed, "metric": metric, "gain": gain, "low": low, "high": high}
        | {"confidence": 0.95, "users": len(gains)}
    )
    verdict = "better" if low > 0 else "worse" if high < 0 else "no difference shown"
    return (
        f"{metric} against equal weights: {gain:+.4f}, 95 % over users {low:+.4f} to "
        f"{high:+.4f}: {verdict} by this one seed (atjt experiment compares over several)"
    )


def evaluate_run(
    trainer: JointTrainer, split: LeaveOneOut, ranks: Tensor | None = None
) -> dict[str, Any]:
    """Full ranking on test and validation data, and the paper's sampled protocol on test data.

    ``ranks`` are ``trainer.ranks(split.test)``, where they are known.
    """
    ranks = trainer.ranks(split.test) if ranks is None else ranks
    return {
        "test": ranking_metrics(ranks),
        "valid": trainer.evaluate(split.valid),
        "sampled_test": sampled_test(trainer, split, split.train),
        "seen_items_excluded": True,
    }


def sampled_test(trainer: JointTrainer, split: LeaveOneOut, train: Sequences) -> dict[str, float]:
    """The paper's sampled protocol on test data, negatives by the popularity in ``train``."""
    return sampled_evaluate(
        trainer.recommender,
        trainer.as_read(split.test).to(trainer.device),
        torch.bincount(train.items.cpu(), minlength=train.num_items + 1)[1:],
        max_length=trainer.config.max_length,
        weigh_inputs=trainer.config.weighs_inputs,
    )


def trainer_for(
    sequences: Sequences, config: RunConfig, device: torch.device | str | None
) -> JointTrainer:
    """:func:`build_trainer` with what ``sequences`` know of users and items.

    Raises:
        DataError: ``config`` names features that the items do not have.
    """
    names = list(shared_features(sequences, config.data.item_columns))
    return build_trainer(
        config,
        sequences.num_items,
        num_users=sequences.num_users,
        item_features=item_feature_table(sequences, names) if names else None,
        device=device,
    )


def _require_device(device: torch.device | str | None) -> None:
    try:
        kind = torch.device(device or "cpu").type
    except RuntimeError as error:
        raise ValueError(f"device must be like cpu, cuda or cuda:1, got {device}") from error
    if kind == "cuda" and not torch.cuda.is_available():
        raise ValueError(f"device is {device}, but torch finds no CUDA device here")
