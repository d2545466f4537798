"""Which interactions a run reads."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any, Literal

from ..models.options import (
    ModelConfig,
    at_least_zero,
    check_options,
    in_range,
)
from ..models.registry import MODEL_TRAINING, MODELS
from ..models.sasrec import SASRecConfig
from ..training.config import JointTrainerConfig
from ..training.recipes import recipe_options

__all__ = ["DataConfig", "RunConfig"]


@dataclass(frozen=True, slots=True, kw_only=True)
class DataConfig:
    """Which interactions to read.

    Attributes:
        format: auto decides by name and content.
        user_column: name of the user column where columns have names; None guesses.
        item_column: name of the item column; None guesses.
        time_column: name of the time column; None guesses, and an empty name keeps the order of the
            file.
        rating_column: name of the rating column; None guesses. Ratings are read, not used.
        weight_column: name of a column of weights in [0, 1], for ``weighting=given``: how clean you
            believe each interaction to be; None reads none.
        item_file: table of the items' features where it does not lie in the folder of the
            interactions: RecBole .item, MovieLens, Amazon, Yelp, or JSON {item: [value, ...]}.
        item_columns: features that are used, by models and as evidence of noise; none means all,
            of which models see those whose values items share, so no titles.
        k_core: drop users and items with fewer interactions, until none is left; 0 keeps all.
        min_length: drop users with fewer interactions, after ``k_core`` (which need not hold then).
        latest: of every user, use the latest so many interactions only (counted after ``k_core``);
            0 uses all.
    """

    format: Literal[
        "auto", "recbole", "movielens", "amazon", "yelp", "csv", "jsonl", "parquet", "sequences"
    ] = "auto"
    user_column: str | None = None
    item_column: str | None = None
    time_column: str | None = None
    rating_column: str | None = None
    weight_column: str | None = None
    item_file: str | None = None
    item_columns: tuple[str, ...] = ()
    k_core: int = at_least_zero(0)
    min_length: int = at_least_zero(0)
    # Leave-one-out needs three.
    latest: int = in_range(0, "0 or at least 3", lambda value: value == 0 or value >= 3)

    def __post_init__(self) -> None:
        check_options(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunConfig:
    """Everything that a training run from a file depends on, but the file.

    Attributes:
        recipe: the recipe that it started from (its name only: the choices are in the parts).
        data: what to read.
        model: which recommender, and its sizes.
        trainer: how to train.
    """

    recipe: str = "default"
    data: DataConfig = field(default_factory=DataConfig)
    model: ModelConfig = field(default_factory=SASRecConfig)
    trainer: JointTrainerConfig = field(default_factory=JointTrainerConfig)

    @staticmethod
    def from_recipe(recipe: str = "default", *, model: str = "sasrec", **changes: Any) -> RunConfig:
        """The recipe for a model, with ``changes`` by field name of any part.

        Raises:
            ValueError: no such recipe or model, or a value out of range.
            TypeError: no part has such a field.
        """
        if model not in MODELS:
            raise ValueError(f"model must be one of {', '.join(MODELS)}, got {model!r}")
        values = {**MODEL_TRAINING.get(model, {}), **recipe_options(recipe, changes)}
        parts: dict[str, Any] = {}
        for name, part in (
            ("data", DataConfig),
            ("model", MODELS[model]),
            ("trainer", JointTrainerConfig),
        ):
            own = [field.name for field in fields(part)]
            parts[name] = part(**{key: values.pop(key) for key in own if key in values})
        if values:
            raise TypeError(f"no such option: {', '.join(values)}")
        return RunConfig(recipe=recipe, **parts)

    def with_equal_weights(self) -> RunConfig:
        """The same run with all weights one: what reweighting is to be judged against."""
        return replace(self, trainer=replace(self.trainer, weighting="equal"))

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        values = asdict(self)
        return {**values, "model": {"name": self.model.name, **values["model"]}}

    @staticmethod
    def from_dict(values: dict[str, Any]) -> RunConfig:
        """The inverse of :meth:`as_dict`, also after a round trip through JSON."""
        model = _with_tuples(values["model"])
        name = model.pop("name", "sasrec")
        if name not in MODELS:
            raise ValueError(f"model must be one of {', '.join(MODELS)}, got {name!r}")
        return RunConfig(
            recipe=values["recipe"],
            data=DataConfig(**_with_tuples(values["data"])),
            model=MODELS[name](**model),
            trainer=JointTrainerConfig(**values["trainer"]),
        )


def _with_tuples(values: dict[str, Any]) -> dict[str, Any]:
    """JSON knows lists only."""
    return {
        name: tuple(value) if isinstance(value, list) else value for name, value in values.items()
    }
