"""What is compared: recipes of training, and the one that each is judged against."""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from typing import Any

from ..runs.config import RunConfig
from ..training.recipes import RECIPES

__all__ = ["BASELINE", "ExperimentRecipe", "recipe_names"]

BASELINE = "equal_weights"

SOURCES = {
    "oracle": "the planted noise itself: what perfect recognition would bring",
    "co_occurrence": "co-occurrence with the rest of the sequence (atjt_ext.recognition)",
    "shuffled": "the weights of co_occurrence dealt out at random: no information",
    "popularity": "the weights of co_occurrence dealt out by popularity, the rarest lowest",
    "loss": "the weights of co_occurrence dealt out by a pilot's loss, the largest lowest",
    "column": "your own: the column that weight_column names",
}
"""Where given weights come from."""

WITHOUT_RECOGNITION = ("oracle", "column")
"""Sources that are known, and cost nothing."""

ACTS_ON = ("targets", "inputs", "both", "drop")
"""What given weights do; ``drop`` takes interactions below ``drop_below`` out of the sequences."""

_TRAINED: dict[str, dict[str, Any]] = {
    BASELINE: {"weighting": "equal"},
    "more_epochs": {"weighting": "equal"},
    "default": {"weighting": "co_occurrence"},
    "joint": RECIPES["joint"],
    "joint_positions": RECIPES["joint_positions"],
    "truncated_loss": {"weighting": "equal", "adaptive_denoising": "truncated"},
    "reweighted_loss": {"weighting": "equal", "adaptive_denoising": "reweighted"},
    "default_reweighted_loss": {"weighting": "co_occurrence", "adaptive_denoising": "reweighted"},
}
# At the paper's own settings, whatever the grid's are, with a baseline of their own.
_PAPER = {"paper": "clean_probability", "paper_equal_weights": "equal"}


@dataclass(frozen=True, slots=True)
class ExperimentRecipe:
    """One way to train.

    Attributes:
        name: as on the command line.
        baseline: name of the recipe that it is compared with; None for a baseline.
        source: where given weights come from; None where none are given.
        acts_on: what they do; None where none are given.
        changes: fields of the trainer's and the model's configs that it sets.
    """

    name: str
    baseline: str | None = BASELINE
    source: str | None = None
    acts_on: str | None = None
    changes: dict[str, Any] = field(default_factory=dict)

    @property
    def recognises(self) -> bool:
        """Whether the trainer itself recognises noise by co-occurrence, as ``default`` does."""
        return self.changes.get("weighting") == "co_occurrence"

    @staticmethod
    def named(name: str) -> ExperimentRecipe:
        """The recipe of that name.

        Raises:
            ValueError: there is none; the message lists those that there are.
        """
        if name in _TRAINED:
            baseline = None if name == BASELINE else BASELINE
            return ExperimentRecipe(name, baseline, changes=_TRAINED[name])
        if name in _PAPER:
            baseline = "paper_equal_weights" if name == "paper" else None
            return ExperimentRecipe(name, baseline, changes={"weighting": _PAPER[name]})
        source, _, acts_on = name.rpartition("-")
        if source in SOURCES and acts_on in ACTS_ON:
            # Dropped interactions are gone: what is left counts alike.
            changes: dict[str, Any] = {"weighting": "equal"}
            if acts_on != "drop":
                changes = {"weighting": "given", "weights_act_on": acts_on}
            return ExperimentRecipe(name, BASELINE, source, acts_on, changes)
        raise ValueError(f"recipe must be one of {', '.join(recipe_names())}, got {name!r}")

    def config(self, settings: RunConfig, *, seed: int, more_epochs: int) -> RunConfig:
        """The settings as this recipe has them.

        Args:
            settings: what all recipes but the paper's share.
            seed: of the run.
            more_epochs: how many times the epochs, patience and least number of steps of the
                ``more_epochs`` recipe.
        """
        if self.name in _PAPER:
            paper = RunConfig.from_recipe(
                "paper", model=settings.model.name, seed=seed, **self.changes
            )
            # What the paper says of sizes and training goes before the grid; where it says nothing
            # of a model (depth, dropout, pre-training) the grid's options hold.
            said = {one.name for one in fields(paper.model)} & RECIPES["paper"].keys()
            model = replace(settings.model, **{name: getattr(paper.model, name) for name in said})
            return replace(paper, recipe=self.name, data=settings.data, model=model)
        of_model = {one.name for one in fields(settings.model)} & self.changes.keys()
        of_trainer = {key: self.changes[key] for key in self.changes.keys() - of_model}
        model = replace(settings.model, **{key: self.changes[key] for key in of_model})
        trainer = replace(settings.trainer, seed=seed, **of_trainer)
        if self.name == "more_epochs":
            patience = None if trainer.patience is None else trainer.patience * more_epochs
            trainer = replace(
                trainer,
                epochs=trainer.epochs * more_epochs,
                patience=patience,
                min_steps=trainer.min_steps * more_epochs,
            )
        return replace(settings, recipe=self.name, model=model, trainer=trainer)


def recipe_names() -> list[str]:
    """Every recipe's name."""
    given = [f"{source}-{acts_on}" for source in SOURCES for acts_on in ACTS_ON]
    return [*_TRAINED, *_PAPER, *given]
