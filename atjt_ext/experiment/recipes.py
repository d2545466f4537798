"""The recipes of an experiment: ways to train, each with the baseline that it is compared with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

from ..runs.config import RunConfig
from ..training.config import JointTrainerConfig
from ..training.recipes import RECIPES, merged

__all__ = ["BASELINE", "ExperimentRecipe", "recipe_names"]

BASELINE = "equal_weights"

SOURCES = {
    "oracle": "the planted noise itself: an upper bound for recognition",
    "co_occurrence": "co-occurrence in other users' sequences (atjt_ext.recognition)",
    "shuffled": "control: the weights of co_occurrence in random order",
    "popularity": "control: the weights of co_occurrence by popularity, the rarest item lowest",
    "loss": "control: the weights of co_occurrence by the loss of a pilot, the largest loss lowest",
    "column": "the column of the file that weight_column names",
}
"""The sources of given weights."""

WITHOUT_RECOGNITION = ("oracle", "column")
"""Sources that need no recognition."""

ACTS_ON = ("targets", "inputs", "both", "drop")
"""What given weights act on; ``drop`` removes interactions with a weight below ``drop_below``."""

_PAPER = ("paper", "paper_equal_weights")
_EQUAL, _USUAL = RECIPES["equal_weights"], JointTrainerConfig().weighting
_TRAINED: dict[str, dict[str, Any]] = {
    BASELINE: _EQUAL,
    "more_epochs": _EQUAL,
    # Explicit, because the shared options may come from a config with another weighting.
    "default": {"weighting": _USUAL, **RECIPES["default"]},
    "joint": RECIPES["joint"],
    "joint_positions": RECIPES["joint_positions"],
    "truncated_loss": {**_EQUAL, "adaptive_denoising": "truncated"},
    "reweighted_loss": {**_EQUAL, "adaptive_denoising": "reweighted"},
    "default_reweighted_loss": {"weighting": _USUAL, "adaptive_denoising": "reweighted"},
    "paper": {},
    "paper_equal_weights": _EQUAL,
}


@dataclass(frozen=True, slots=True)
class ExperimentRecipe:
    """One way to train.

    Attributes:
        name: name on the command line.
        baseline: name of the recipe to compare with; None for a baseline.
        source: source of given weights, one of ``SOURCES``, or None.
        acts_on: what given weights act on, one of ``ACTS_ON``, or None.
        changes: options that the recipe sets, by field name of any part of a run's config.
    """

    name: str
    baseline: str | None = BASELINE
    source: str | None = None
    acts_on: str | None = None
    changes: dict[str, Any] = field(default_factory=dict)

    @property
    def recognises(self) -> bool:
        """Whether training itself recognises noise by co-occurrence, as ``default`` does."""
        return self.changes.get("weighting") == "co_occurrence"

    @staticmethod
    def named(name: str) -> ExperimentRecipe:
        """The recipe with this name; ValueError lists the recipes if there is none."""
        if name in _TRAINED:
            baselines = {BASELINE: None, "paper_equal_weights": None, "paper": _PAPER[1]}
            return ExperimentRecipe(name, baselines.get(name, BASELINE), changes=_TRAINED[name])
        source, _, acts_on = name.rpartition("-")
        if source in SOURCES and acts_on in ACTS_ON:
            # Dropped interactions are gone; the others count alike.
            changes = _EQUAL
            if acts_on != "drop":
                changes = {"weighting": "given", "weights_act_on": acts_on}
            return ExperimentRecipe(name, BASELINE, source, acts_on, changes)
        raise ValueError(f"recipe must be one of {', '.join(recipe_names())}, got {name!r}")

    def config(
        self, model: str, options: Mapping[str, Any], *, seed: int, more_epochs: int
    ) -> RunConfig:
        """The config that this recipe trains with.

        Args:
            model: name of the base model.
            options: options that the recipes share, by field name; those that have no effect under
                this recipe are left out. ``paper`` takes its training from the paper and uses only
                the options about data and models that the paper leaves open.
            seed: the run's seed.
            more_epochs: factor for the epochs, patience and ``min_steps`` of ``more_epochs``.

        Raises:
            ValueError: a value is out of range.
        """
        if self.source != "column":
            options = {name: value for name, value in options.items() if name != "weight_column"}
        if self.name in _PAPER:
            decided = {one.name for one in fields(JointTrainerConfig)} | RECIPES["paper"].keys()
            left = {name: value for name, value in options.items() if name not in decided}
            config = RunConfig.from_recipe(
                "paper", model=model, shared=left, seed=seed, **self.changes
            )
        else:
            shared = merged(options, self.changes, {"seed": seed})
            config = RunConfig.from_recipe(model=model, shared=shared)
        if self.name == "more_epochs":
            trainer = config.trainer
            more = {"epochs": trainer.epochs * more_epochs}
            if trainer.patience is not None:
                more["patience"] = trainer.patience * more_epochs
                more["min_steps"] = trainer.min_steps * more_epochs
            config = config.under(**more)
        return replace(config, recipe=self.name)


def recipe_names() -> list[str]:
    """The names of all recipes."""
    given = [f"{source}-{acts_on}" for source in SOURCES for acts_on in ACTS_ON]
    return [*_TRAINED, *given]
