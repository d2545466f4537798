"""The recipes: named sets of options, by field name of any part of a run's config."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..models.options import require_known

__all__ = ["AMOUNTS", "RECIPES", "merged", "recipe_options"]

# Three options for the amount of damage: giving one of them resets the others.
AMOUNTS = ("num_replacements", "replace_ratio", "replace_probability")

RECIPES: dict[str, dict[str, Any]] = {
    "default": {},
    "joint": {"weighting": "calibrated"},
    # Little damage in nearly all sequences, as in real data: the noise model must find items, not
    # sequences. With an exact share, the row's length would reveal how likely damage is.
    "joint_positions": {
        "weighting": "calibrated",
        "noise_model": "bidirectional",
        "sequence_fraction": 0.95,
        "num_replacements": None,
        "replace_ratio": None,
        "replace_probability": 0.2,
        "noise_learning_rate": 3e-3,
    },
    "equal_weights": {"weighting": "equal"},
    # Section 4 of arXiv:2409.17402 and its public code; docs/paper.md lists the differences.
    "paper": {
        "weighting": "clean_probability",
        "cross_fitting": "sequential",
        "noise_loss_weight": 100.0,
        "gradient_through_weights": True,
        "warmup_epochs": 0,
        "num_replacements": 1,
        "replace_ratio": None,
        "corrupt_target": False,
        "loss": "binary_cross_entropy",
        "max_length": 19,
        "window_stride": None,
        "batch_size": 256,
        "epochs": 4,
        "optimizer": "adagrad",
        "learning_rate": 8e-4,
        "noise_learning_rate": 0.024,
        "weight_decay": 5e-4,
        "patience": None,
        "embedding_dim": 8,
        "noise_model": "target_attention",
        "noise_embedding_dim": 8,
    },
}
"""The options that each recipe changes, by field name of any part of a run's config."""


def recipe_options(recipe: str) -> dict[str, Any]:
    """The options that ``recipe`` changes; ValueError if there is no such recipe."""
    require_known("recipe", recipe, RECIPES)
    return RECIPES[recipe]


def merged(*layers: Mapping[str, Any]) -> dict[str, Any]:
    """Options in layers: a later one overrides an earlier one, see also ``AMOUNTS``."""
    options: dict[str, Any] = {}
    for layer in layers:
        if any(layer.get(name) is not None for name in AMOUNTS):
            options.update(dict.fromkeys(AMOUNTS))
        options.update(layer)
    return options
