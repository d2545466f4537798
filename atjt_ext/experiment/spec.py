"""The axes of a grid and its cells."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import product
from typing import TYPE_CHECKING

from ..evaluation.metrics import RANKING_METRICS
from .recipes import BASELINE, ExperimentRecipe

if TYPE_CHECKING:
    from ..data import PlantedNoise

__all__ = ["Cell", "ExperimentSpec", "parse_noise"]


def parse_noise(text: str) -> PlantedNoise:
    """``none``, ``diffuse:SHARE[:POWER]``, ``concentrated:USERS:ITEMS[:POWER]`` or
    ``shared:USERS:ITEMS``.

    SHARE is a share of all training interactions; USERS a share of the users, and ITEMS a share of
    the training interactions of each of them. ``shared`` replaces those by consecutive items
    of other users. POWER is ``popularity_power``: 0 (uniform, the default) to 1 (proportional to
    popularity).

    Raises:
        ValueError: another text, or a share outside [0, 1].
    """
    from ..data import PlantedNoise

    kind, *numbers = text.split(":")
    try:
        values = [float(number) for number in numbers]
    except ValueError:
        values = []
    if kind == "none" and not numbers:
        return PlantedNoise()
    if kind == "diffuse" and len(values) in (1, 2):
        return PlantedNoise(diffuse_share=values[0], popularity_power=(*values, 0.0)[1])
    if (kind, len(values)) in (("concentrated", 2), ("concentrated", 3), ("shared", 2)):
        return PlantedNoise(
            noisy_user_share=values[0],
            noisy_item_share=values[1],
            noisy_item_source="another_user" if kind == "shared" else "catalogue",
            popularity_power=(*values, 0.0)[2],
        )
    raise ValueError(
        "noise must be none, diffuse:SHARE[:POWER], concentrated:USERS:ITEMS[:POWER] or "
        f"shared:USERS:ITEMS, got {text!r}"
    )


@dataclass(frozen=True, slots=True)
class Cell:
    """A point of the grid: one training run."""

    file: str
    model: str
    noise: str
    seed: int
    recipe: str

    def as_dict(self) -> dict[str, str | int]:
        return asdict(self)

    def __str__(self) -> str:
        return f"{self.file} {self.model} {self.noise} seed {self.seed} {self.recipe}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ExperimentSpec:
    """Axes of the grid; every combination is one cell.

    Attributes:
        files: interactions, in any format that ``train`` reads.
        models: base models, by their names in ``atjt_ext/models/registry.py`` (``train --model``).
        noises: noise to plant into the training interactions: ``none``, ``diffuse:SHARE[:POWER]``,
            ``concentrated:USERS:ITEMS[:POWER]`` or ``shared:USERS:ITEMS`` (a second person at the
            account). The same noise and seed give every recipe the same data.
        seeds: a seed decides the noise, initial parameters, batches and dropout.
        recipes: recipes to compare; missing baselines are added. ``SOURCE-ACTS_ON`` gives weights:
            SOURCE is oracle, co_occurrence, shuffled, popularity, loss or column (weight_column of
            the file); ACTS_ON is targets, inputs, both or drop.
        metric: the metric to compare.
        against: a recipe of the grid with which a second table compares all others, with a
            correction of its own, e.g. ``popularity-both``: does a recipe gain more?
        clean_at_test: weights on inputs, and dropping, also act on a user's training history at
            validation and test. Otherwise they act in training only. The ranking always excludes
            all seen items.
        more_epochs: factor for the epochs, patience and min_steps of the recipe ``more_epochs``.
        pilot_epochs: epochs of the equally weighted run whose losses the source ``loss`` uses.
    """

    files: tuple[str, ...] = ()
    models: tuple[str, ...] = ("sasrec",)
    noises: tuple[str, ...] = ("none", "diffuse:0.2")
    seeds: tuple[int, ...] = (0, 1, 2)
    recipes: tuple[str, ...] = (
        "equal_weights",
        "default",
        "oracle-both",
        "popularity-both",
        "shuffled-both",
        "more_epochs",
    )
    metric: str = "NDCG@10"
    against: str | None = None
    clean_at_test: bool = True
    more_epochs: int = 2
    pilot_epochs: int = 5

    def __post_init__(self) -> None:
        for name in ("files", "models", "noises", "seeds", "recipes"):
            values = list(getattr(self, name))
            if not values or len(set(values)) < len(values):
                raise ValueError(f"{name} must hold different values, at least 1, got {values}")
        if self.metric not in RANKING_METRICS:
            raise ValueError(
                f"metric must be one of {', '.join(RANKING_METRICS)}, got {self.metric}"
            )
        for noise in self.noises:
            parse_noise(noise)
        for name in self.recipes:
            ExperimentRecipe.named(name)
        if self.against is not None and self.against not in self.recipes:
            raise ValueError(
                f"against must be one of the recipes {', '.join(self.recipes)}, got {self.against}"
            )
        for name in ("more_epochs", "pilot_epochs"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        if min(self.seeds) < 0:
            raise ValueError(f"seeds must be at least 0, got {min(self.seeds)}")

    @property
    def all_recipes(self) -> list[str]:
        """The recipes, baselines first."""
        baselines = [ExperimentRecipe.named(name).baseline or name for name in self.recipes]
        return list(dict.fromkeys([*sorted(baselines, key=BASELINE.__ne__), *self.recipes]))

    def cells(self) -> Iterator[Cell]:
        """All cells; cells of one file, noise and seed are adjacent, baselines first."""
        axes = product(self.files, self.noises, self.seeds, self.models, self.all_recipes)
        for file, noise, seed, model, recipe in axes:
            yield Cell(file, model, noise, seed, recipe)
