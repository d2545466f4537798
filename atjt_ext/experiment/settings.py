"""Options that the cells of a grid share, by base model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any

from ..models.registry import MODELS
from ..recognition.noise_models.registry import NOISE_MODELS
from ..runs.config import DataConfig, RunConfig
from ..training.config import JointTrainerConfig

__all__ = ["flat_options", "options_of", "settings_by_model"]


def settings_by_model(
    models: Sequence[str], options: Mapping[str, Any]
) -> dict[str, dict[str, Any]]:
    """The shared options of every base model, for :func:`~atjt_ext.experiment.run_grid`.

    ``options`` are values by field name, of any part of a :class:`~atjt_ext.runs.config.RunConfig`.
    An option that only some of the models have goes to those (DIN has no ``num_blocks``).

    Raises:
        ValueError: there is no such model, none of the models has an option, or a value is out of
            range.
    """
    if unknown := [name for name in models if name not in MODELS]:
        raise ValueError(f"models must be among {', '.join(MODELS)}, got {unknown[0]!r}")
    shared = {one.name for part in (DataConfig, JointTrainerConfig) for one in fields(part)}
    shared = shared.union(["noise_model"], *map(NOISE_MODELS.option_names, NOISE_MODELS))
    own = {name: shared.union(MODELS.option_names(name)) for name in models}
    for option in options:
        if option not in set().union(*own.values()):
            raise ValueError(f"none of the models {', '.join(models)} has an option {option}")
    settings = {
        name: {option: value for option, value in options.items() if option in own[name]}
        for name in models
    }
    for name, chosen in settings.items():
        RunConfig.from_recipe(model=name, shared=chosen)  # checks the ranges
    return settings


def flat_options(config: RunConfig) -> dict[str, Any]:
    """All options of ``config`` by field name, without the names of its models."""
    parts = [part for part in config.as_dict().values() if isinstance(part, dict)]
    return {name: value for part in parts for name, value in part.items() if name != "name"}


def options_of(settings: RunConfig | Mapping[str, Any], model: str) -> dict[str, Any]:
    """Shared options; those of a config are its differences from the default recipe.

    A config's ``weighting`` and ``seed`` are left out: the recipes and cells decide them.

    Raises:
        ValueError: a config of another model than ``model``.
    """
    if not isinstance(settings, RunConfig):
        return dict(settings)
    if settings.model.name != model:
        raise ValueError(
            f"settings must hold those of the model {model}, got those of {settings.model.name}"
        )
    usual = flat_options(RunConfig.from_recipe(model=model))
    return {
        name: value
        for name, value in flat_options(settings).items()
        if name not in ("weighting", "seed") and (name not in usual or value != usual[name])
    }
