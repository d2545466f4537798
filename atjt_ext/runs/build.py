"""From a run's config to its models: fresh, pre-trained, or from its folder."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from ..data import Sequences, TrainingRows, item_feature_table, leave_one_out, shared_features
from ..models.protocols import Pretrainable
from ..training.joint_models import JointModels
from ..training.progress import FitProgress
from ..training.trainer import JointTrainer
from .config import RunConfig
from .folder import Run

__all__ = [
    "base_model",
    "build_trainer",
    "load_models",
    "load_trainer",
    "models_for",
    "pretrain",
    "trainer_for",
]


def pretrain(
    trainer: JointTrainer,
    config: RunConfig,
    train: Sequences,
    *,
    progress: bool = True,
    title: str = "train",
) -> None:
    """Trains a ``Pretrainable`` recommender on ``train``; leaves every other one as it is."""
    recommender, training = trainer.recommender, config.trainer
    if not isinstance(recommender, Pretrainable):
        return
    learned_from = trainer.models.beliefs.to_learn_from(train).to(trainer.device)
    rows = TrainingRows(learned_from, max_length=training.max_length)
    features = shared_features(learned_from, config.data.item_columns).values()
    # Column 0 stands for a missing value.
    attributes = [feature.multi_hot()[:, 1:] for feature in features]

    def batches(epoch: int) -> Iterator[Tensor]:
        for batch in rows.batches(training.batch_size, seed=training.seed, epoch=epoch):
            yield batch.sequences[:, -training.max_length :]

    options = config.model.pretraining()
    epochs = options["epochs"]
    with FitProgress(
        title, total_epochs=epochs, valid_metric=training.valid_metric, enabled=progress
    ) as shown:
        recommender.pretrain(
            batches,
            item_attributes=torch.cat(attributes, dim=1) if attributes else None,
            seed=training.seed,
            on_epoch=lambda epoch, loss: shown.message(
                f"{title} pre-training epoch {epoch:>3}/{epochs}  loss {loss:.4f}"
            ),
            **options,
        )


def base_model(
    config: RunConfig,
    train: Sequences,
    *,
    device: torch.device | str | None = None,
    progress: bool = False,
    title: str = "train",
) -> JointTrainer:
    """A trainer with the models of ``config``, initialised from its seed and pre-trained on
    ``train`` where the model does that."""
    trainer = trainer_for(train, config, device)
    pretrain(trainer, config, train, progress=progress, title=title)
    return trainer


def trainer_for(
    sequences: Sequences, config: RunConfig, device: torch.device | str | None
) -> JointTrainer:
    """A trainer with the models of :func:`models_for`."""
    return build_trainer(config, **_sizes(sequences, config), device=device)


def models_for(
    sequences: Sequences, config: RunConfig, device: torch.device | str | None
) -> JointModels:
    """The models of ``config`` for the users, items and features of ``sequences``.

    The config's seed alone decides their parameters.

    Raises:
        DataError: ``config`` names features that the items do not have.
        ValueError: there is no such device here, or the sizes do not fit together.
    """
    recommender, noise_model = _modules(config, **_sizes(sequences, config), device=device)
    return JointModels(recommender, noise_model, config=config.trainer, device=device)


def build_trainer(
    config: RunConfig,
    num_items: int,
    *,
    num_users: int | None = None,
    item_features: Tensor | None = None,
    device: torch.device | str | None = None,
) -> JointTrainer:
    """A trainer with the models of ``config`` for data of these sizes.

    ``num_users`` and ``item_features`` are for recommenders that see them.

    Raises:
        ValueError: as :func:`models_for`.
    """
    recommender, noise_model = _modules(config, num_items, num_users, item_features, device)
    return JointTrainer(recommender, noise_model, config=config.trainer, device=device)


def load_models(
    run: Run,
    sequences: Sequences,
    *,
    device: torch.device | str | None = None,
    train: Sequences | None = None,
    reading: bool = True,
) -> JointModels:
    """The best models of a finished or unfinished run.

    Args:
        run: its folder.
        sequences: the data to evaluate on or to recommend from.
        device: where the models live; None is the CPU.
        train: the training sequences of the run; None reads them from its folder.
        reading: also load the beliefs that ``as_read`` needs; False where no history is read.
    """
    models = models_for(sequences, run.config(), device)
    models.load(run.checkpoint_path, num_users=sequences.num_users)
    if reading:
        _recall(models, run, train)
    return models


def load_trainer(
    run: Run,
    sequences: Sequences,
    *,
    device: torch.device | str | None = None,
    train: Sequences | None = None,
) -> JointTrainer:
    """A trainer with the models of :func:`load_models`, to continue with its optimizers."""
    trainer = trainer_for(sequences, run.config(), device)
    trainer.load(run.checkpoint_path, num_users=sequences.num_users)
    _recall(trainer.models, run, train)
    return trainer


def _recall(models: JointModels, run: Run, train: Sequences | None) -> None:
    if models.beliefs.reading_needs_training:
        # Beliefs are about the training data of the run, whatever is evaluated.
        train = leave_one_out(run.sequences()).train if train is None else train
        # An unfinished run, or one of an early release, has stored no beliefs.
        models.beliefs.recall(train, run.beliefs(train))


def _sizes(sequences: Sequences, config: RunConfig) -> dict[str, Any]:
    names = list(shared_features(sequences, config.data.item_columns))
    return {
        "num_items": sequences.num_items,
        "num_users": sequences.num_users,
        "item_features": item_feature_table(sequences, names) if names else None,
    }


def _modules(
    config: RunConfig,
    num_items: int,
    num_users: int | None,
    item_features: Tensor | None,
    device: torch.device | str | None,
) -> tuple[nn.Module, nn.Module | None]:
    """The recommender and the prototype of the noise models, from one random stream."""
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
    return recommender, noise_model


def _require_device(device: torch.device | str | None) -> None:
    try:
        kind = torch.device(device or "cpu").type
    except RuntimeError as error:
        raise ValueError(f"device must be like cpu, cuda or cuda:1, got {device}") from error
    if kind == "cuda" and not torch.cuda.is_available():
        raise ValueError(f"device is {device}, but torch finds no CUDA device here")
