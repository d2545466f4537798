"""Everything that a training run depends on. Importing this module imports no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from ..data.formats import Format, Quoting
from ..models.options import (
    ModelConfig,
    at_least_zero,
    check_options,
    in_range,
    only_under,
    refuse_without_effect,
    require_fields,
    require_known,
    with_effect,
)
from ..models.registry import MODELS, ConfigTable
from ..recognition.noise_models.registry import NOISE_MODELS
from ..training.config import TRAINS_NOISE_MODELS, JointTrainerConfig
from ..training.recipes import merged, recipe_options

__all__ = ["DataConfig", "RunConfig"]


@dataclass(frozen=True, slots=True, kw_only=True)
class DataConfig:
    """The interactions to read.

    Attributes:
        format: format of the file; auto recognises it by name and content.
        quoting: what ``"`` means in CSV and TSV: csv quotes fields with it, none takes it as an
            ordinary character, auto sees which of both the file fits.
        user_column: name of the user column, for files with column names; by default guessed.
        item_column: name of the item column; by default guessed.
        time_column: name of the time column; by default guessed. An empty name keeps the order of
            the file.
        rating_column: name of the rating column; by default guessed. Ratings are read but not used.
        weight_column: name of a column of weights in [0, 1] for ``weighting=given``: your belief
            that an interaction is clean. By default no weights are read.
        item_file: table of the items' features, if it is not in the folder of the
            interactions: RecBole .item, MovieLens, Amazon, Yelp, or JSON {item: [value, ...]}.
        item_columns: names of the features that models and noise recognition use. Empty means all,
            for models only those whose values items share (no titles).
        k_core: repeatedly drop users and items with fewer interactions; 0 keeps all.
        min_length: then drop users with fewer interactions (items may fall below ``k_core``).
        latest: then keep only this number of each user's latest interactions; 0 keeps all.
    """

    format: Format = "auto"
    quoting: Quoting = "auto"
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
    """Everything that a training run from a file depends on, except the file.

    Attributes:
        recipe: name of the recipe that the run started from; the parts hold the options.
        data: the interactions to read.
        model: the recommender and its sizes.
        noise_model: the noise model and its sizes, by default ``target_attention``; None unless the
            training learns one.
        trainer: the training.
    """

    recipe: str = "default"
    data: DataConfig = field(default_factory=DataConfig)
    model: ModelConfig = field(default_factory=lambda: MODELS["sasrec"]())
    noise_model: ModelConfig | None = None
    trainer: JointTrainerConfig = field(default_factory=JointTrainerConfig)

    def __post_init__(self) -> None:
        if self.trainer.learns_noise and self.noise_model is None:
            object.__setattr__(self, "noise_model", NOISE_MODELS[_NOISE_MODEL]())
        if self.noise_model is not None and not self.trainer.learns_noise:
            beside = {"weighting": self.trainer.weighting}
            name = self.noise_model.name
            refuse_without_effect("noise_model", name, TRAINS_NOISE_MODELS, beside)

    @staticmethod
    def from_recipe(
        recipe: str = "default",
        *,
        model: str = "sasrec",
        shared: Mapping[str, Any] | None = None,
        **changes: Any,
    ) -> RunConfig:
        """The recipe for a model, with ``changes`` by field name of any part.

        Args:
            recipe: its name.
            model: name of the recommender; the recipe overrides its own training defaults.
            shared: options that override the recipe; those that this config lacks, or that have no
                effect, are left out.
            changes: override everything else.

        Raises:
            ValueError: there is no such recipe or model, a value is out of range, or one of
                ``changes`` has no effect.
            TypeError: one of ``changes`` is no option of any part.
        """
        require_known("model", model, MODELS)
        layers = merged(MODELS[model].training, recipe_options(recipe), shared or {}, changes)
        return _assembled(recipe, model, layers, changes)

    def under(self, **changes: Any) -> RunConfig:
        """This run with ``changes``, without the options that have no effect with them; errors as
        in :meth:`from_recipe`."""
        noise: dict[str, Any] = {}
        if self.noise_model is not None:
            noise = {"noise_model": self.noise_model.name, **self.noise_model.options()}
        parts = (asdict(self.data), self.model.options(), noise, asdict(self.trainer))
        return _assembled(self.recipe, self.model.name, merged(*parts, changes), changes)

    def with_equal_weights(self) -> RunConfig:
        """The same run with all weights 1: the baseline that reweighting is compared with."""
        return self.under(weighting="equal")

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        values = asdict(self)
        values["model"] = {"name": self.model.name, **values["model"]}
        if self.noise_model is not None:
            values["noise_model"] = {"name": self.noise_model.name, **values["noise_model"]}
        return values

    @staticmethod
    def from_dict(values: Mapping[str, Any]) -> RunConfig:
        """The inverse of :meth:`as_dict`, also after a round trip through JSON.

        Earlier releases wrote noise-model options into those of the model, and options without
        effect, which are left out.

        Raises:
            KeyError: a part is missing.
            ValueError: there is no such model, or a value is out of range or no longer offered.
            TypeError: there is no such option, or a part or a value has another type.
        """
        _require_parts(values)
        model, noise = dict(values["model"]), values.get("noise_model")
        earlier = "noise_model" not in values
        trainer = JointTrainerConfig.from_dict(values["trainer"], earlier=earlier)
        if earlier:
            moved = {name: model.pop(name) for name in list(model) if name.startswith("noise_")}
            if trainer.learns_noise:
                kind = moved.get("noise_model", _NOISE_MODEL)
                require_known("noise_model", kind, NOISE_MODELS)
                own = [name for name in NOISE_MODELS.option_names(kind) if name in moved]
                noise = {"name": kind, **{name: moved[name] for name in own}}
        return RunConfig(
            recipe=values["recipe"],
            data=_from_file(DataConfig, values["data"]),
            model=_named("model", {"name": "sasrec", **model}, MODELS),
            noise_model=None if noise is None else _named("noise_model", noise, NOISE_MODELS),
            trainer=trainer,
        )

    def differences(self, other: RunConfig) -> list[str]:
        """Options that differ in ``other``, as ``part.option: value here -> value there``, without
        the recipe's name."""
        ours, theirs = (
            one.as_dict() | {"trainer": one.trainer.resolved()} for one in (self, other)
        )
        return [
            f"{part}.{name}: {one.get(name)!r} -> {two.get(name)!r}"
            for part in ("data", "model", "noise_model", "trainer")
            for one, two in [(ours[part] or {}, theirs[part] or {})]
            for name in dict.fromkeys([*one, *two])
            if one.get(name) != two.get(name)
        ]


_NOISE_MODEL = "target_attention"


def _assembled(
    recipe: str, model: str, options: Mapping[str, Any], changes: Mapping[str, Any]
) -> RunConfig:
    """A config of ``options``; those among ``changes`` are refused where they have no effect."""

    def part(config: type[Any]) -> Any:
        own = {one.name: options[one.name] for one in fields(config) if one.name in options}
        return config(**with_effect(config, own, keep=changes))

    kind = options.get("noise_model", _NOISE_MODEL)
    require_known("noise_model", kind, NOISE_MODELS)
    config = RunConfig(
        recipe=recipe,
        data=part(DataConfig),
        model=part(MODELS[model]),
        trainer=(trainer := part(JointTrainerConfig)),
        noise_model=part(NOISE_MODELS[kind]) if trainer.learns_noise else None,
    )
    known = {one.name for made in (config.data, config.model, trainer) for one in fields(made)}
    unknown = [name for name in changes if name not in known]
    if strange := [name for name in unknown if name != "noise_model" and not _owners(name)]:
        raise TypeError(f"no such option: {', '.join(strange)}")
    for name in unknown:
        _require_noise_effect(name, changes[name], config)
    return config


def _require_noise_effect(name: str, value: object, config: RunConfig) -> None:
    """Raises ValueError for a noise-model option that differs from its default without effect."""
    used, owners = config.noise_model, _owners(name)
    usual = getattr(NOISE_MODELS[owners[0]], name) if owners else _NOISE_MODEL
    if value == usual or (used is not None and used.name in (owners or NOISE_MODELS)):
        return
    only = TRAINS_NOISE_MODELS if used is None else only_under("noise_model", *owners)
    beside = {"weighting": config.trainer.weighting, "noise_model": used and used.name}
    refuse_without_effect(name, value, only, beside)


def _owners(name: str) -> list[str]:
    """The noise models with the option ``name``."""
    return [kind for kind in NOISE_MODELS if name in NOISE_MODELS.option_names(kind)]


def _named(part: str, values: Mapping[str, Any], table: ConfigTable) -> ModelConfig:
    require_known(part, values["name"], table)
    own = dict(values)
    config: ModelConfig = _from_file(table[own.pop("name")], own)
    return config


def _require_parts(values: Mapping[str, Any]) -> None:
    """Raises TypeError unless each part of a config from a file has its type."""
    if not isinstance(values, Mapping):
        raise TypeError(f"an object with the parts of a config wanted, got {type(values).__name__}")
    kinds = {"recipe": str, "data": dict, "model": dict, "noise_model": dict | None}
    for part, kind in {**kinds, "trainer": dict}.items():
        if part in values and not isinstance(values[part], kind):
            wanted = "text" if kind is str else "an object with options"
            raise TypeError(f"{part} must be {wanted}, got {type(values[part]).__name__}")


def _from_file(config: type[Any], values: Mapping[str, Any]) -> Any:
    """A config of ``values``, with tuples for lists: JSON knows lists only."""
    require_fields(config, values)
    own = {one: tuple(value) if isinstance(value, list) else value for one, value in values.items()}
    return config(**own)
