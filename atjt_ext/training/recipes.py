"""The recipes: named sets of choices, by field name of any part of a run's config."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["AMOUNTS", "RECIPES", "recipe_options"]

# Naming one of them in a recipe's changes takes the others back.
AMOUNTS = ("num_replacements", "replace_ratio", "replace_probability")

RECIPES: dict[str, dict[str, Any]] = {
    "default": {},
    "joint": {"weighting": "calibrated"},
    # Thin damage in nearly all sequences, as noise is: the model is to find items, not sequences.
    # By chance: with an exact share of each row its length would tell how likely damage is.
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
    # Section 4 of arXiv:2409.17402 and its public code; docs/paper.md says what differs.
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
        "min_steps": 0,  # nothing without patience; cells recorded before it keep their names
        "embedding_dim": 8,
        "noise_model": "target_attention",
        "noise_embedding_dim": 8,
    },
}
"""What each recipe changes, by field name of any part of :class:`RunConfig`."""


def recipe_options(recipe: str, changes: Mapping[str, Any]) -> dict[str, Any]:
    """The options of ``recipe`` under ``changes``, by field name of any part of a run's config.

    Raises:
        ValueError: no such recipe.
    """
    if recipe not in RECIPES:
        raise ValueError(f"recipe must be one of {', '.join(RECIPES)}, got {recipe!r}")
    options = {**RECIPES[recipe], **changes}
    if any(changes.get(name) is not None for name in AMOUNTS):
        options.update({name: None for name in AMOUNTS if name not in changes})
    return options
