"""From a run's config to its models: the one place that puts names and classes together."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from ..data import (
    Sequences,
    TrainingRows,
    item_feature_table,
    leave_one_out,
    shared_features,
)
from ..models.protocols import Pretrainable
from ..training.progress import FitProgress
from ..training.trainer import JointTrainer
from .config import RunConfig
from .folder import Run

__all__ = ["base_model", "build_trainer", "load_trainer", "pretrain", "trainer_for"]


def pretrain(
    recommender: nn.Module,
    config: RunConfig,
    rows: TrainingRows,
    *,
    progress: bool = True,
    title: str = "train",
) -> None:
    """What a model does before joint training: nothing, but for S3-Rec.

    Args:
        rows: windows of the training data, on the recommender's device.
    """
    if not isinstance(recommender, Pretrainable):
        return
    options, trainer = config.model.pretraining(), config.trainer
    features = shared_features(rows.sequences, config.data.item_columns).values()
    # Without column 0, which is no value.
    attributes = [feature.multi_hot()[:, 1:] for feature in features]

    def batches(epoch: int) -> Iterator[Tensor]:
        for batch in rows.batches(trainer.batch_size, seed=trainer.seed, epoch=epoch):
            yield batch.sequences[:, -trainer.max_length :]

    with FitProgress(
        title,
        total_epochs=options["epochs"],
        valid_metric=trainer.valid_metric,
        enabled=progress,
    ) as shown:
        recommender.pretrain(
            batches,
            item_attributes=torch.cat(attributes, dim=1) if attributes else None,
            seed=trainer.seed,
            on_epoch=lambda epoch, loss: shown.message(
                f"{title} pre-training epoch {epoch:>3}/{options['epochs']}  "
                f"loss {loss:.4f}"
            ),
            **options,
        )


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
        max_length = config.trainer.max_length
        recommender = config.model.build(
            num_items, max_length=max_length, num_users=num_users, item_features=item_features
        )
        noise_model = None
        if config.noise_model is not None:
            noise_model = config.noise_model.build(num_items, max_length=max_length)
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


def base_model(
    config: RunConfig,
    train: Sequences,
    *,
    device: torch.device | str | None = None,
    progress: bool = False,
    title: str = "train",
) -> JointTrainer:
    """The model of ``config``, initialised from its seed; S3-Rec pre-trained on ``train``."""
    trainer = trainer_for(train, config, device)
    learned_from = trainer.to_learn_from(train).to(trainer.device)
    rows = TrainingRows(learned_from, max_length=config.trainer.max_length)
    pretrain(trainer.recommender, config, rows, progress=progress, title=title)
    return trainer
