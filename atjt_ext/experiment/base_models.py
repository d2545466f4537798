"""Base models by name, ready to be trained on the data of a cell."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any

import torch

from ..config import RunConfig
from ..data import Sequences, TrainingRows
from ..model_config import MODELS, ModelConfig
from ..recommenders import pretrain
from ..runs import trainer_for
from ..trainer import JointTrainer

__all__ = ["base_model", "settings_by_model"]


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


def settings_by_model(models: Sequence[str], options: Mapping[str, Any]) -> dict[str, RunConfig]:
    """The settings of every model: its own defaults, changed by ``options`` by field name.

    An option of some of the models is theirs alone (``num_blocks`` means nothing to DIN).

    Raises:
        ValueError: no such model, an option that none of them has, or a value out of range.
    """
    shared = {one.name for part in (RunConfig().data, RunConfig().trainer) for one in fields(part)}
    own = {name: {one.name for one in fields(_config(name))} for name in models}
    for option in options:
        if option not in shared.union(*own.values()):
            raise ValueError(f"none of the models {', '.join(models)} has an option {option}")
    return {
        name: RunConfig.from_recipe(
            model=name, **{k: v for k, v in options.items() if k in shared | own[name]}
        )
        for name in models
    }


def _config(model: str) -> type[ModelConfig]:
    if model not in MODELS:
        raise ValueError(f"models must be among {', '.join(MODELS)}, got {model!r}")
    return MODELS[model]
