"""Base models by name, ready to be trained on the data of a cell."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any

from ..models.options import ModelConfig
from ..models.registry import MODELS
from ..runs.config import RunConfig

__all__ = ["settings_by_model"]


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
