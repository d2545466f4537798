"""How joint training runs: every choice by name, and the recipes that bundle them."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any, Literal

from .model_config import (
    MODEL_TRAINING,
    MODELS,
    ModelConfig,
    SASRecConfig,
)
from .model_config import require as _require
from .model_config import require_choices as _require_choices

__all__ = ["RECIPES", "DataConfig", "JointTrainerConfig", "RunConfig"]


RANKING_KS = (5, 10, 20)
RANKING_METRICS = tuple(f"{kind}@{k}" for k in RANKING_KS for kind in ("HR", "NDCG", "MRR"))


@dataclass(frozen=True, slots=True, kw_only=True)
class JointTrainerConfig:
    """Options of :class:`~atjt_ext.trainer.JointTrainer`; the defaults are the ``default`` recipe.

    Attributes:
        weighting: ``equal`` (all weights one), ``co_occurrence`` (P(clean) of each interaction, by
            :func:`atjt_ext.recognition.recognise_noise` before training begins), ``given`` (those
            that the training sequences carry), or by a noise model that is trained along:
            ``clean_probability`` (the paper's ``w = g(sequence)``) or ``calibrated``
            (``clip(1 - rho / odds, 0, 1)``, gated by ``gate_auc``).
        weights_act_on: ``targets`` (the loss of each predicted item), ``inputs`` (how much of each
            item the recommender reads, in training and, where they are given or by co-occurrence,
            in evaluation), ``both``, or ``drop`` (interactions of a weight below ``drop_below``
            leave the training sequences and the histories that are read in evaluation, and what
            stays counts alike). None is, under ``co_occurrence``, ``both`` if the recommender
            takes weights on them and else ``drop``, and ``targets`` under all others. Inputs need
            one weight per position, dropping needs weights that are known before training.
        drop_below: see ``weights_act_on``.
        adaptive_denoising: further weights made of the losses (arXiv:2006.04153): ``truncated``
            drops the largest of every batch, ``reweighted`` multiplies by ``p ** power``.
        truncated_share: largest share that ``truncated`` drops.
        truncation_epochs: epochs over which that share is reached.
        reweighting_power: the power of ``reweighted``.
        cross_fitting: ``simultaneous``: every batch holds all folds, each weighed by the noise
            model that trains on the others. ``sequential``, the paper's: one phase of ``epochs``
            per fold, in which the recommender learns on that fold only.
        num_folds: folds of users, at least 2: no noise model weighs a user whose damaged sequences
            it was trained on.
        noise_loss_weight: the paper's lambda.
        gradient_through_weights: let the recommender's loss train the noise model through the
            weights. The noise model then learns from the users it weighs, too.
        warmup_epochs: first epochs (of each phase, where sequential), in which the noise model
            learns while all weights are one.
        gate_auc: under ``calibrated``, weights stay one while the noise model's held-out AUC is
            below.
        sequence_fraction: share of the sequences of a batch that are damaged for the noise model.
        num_replacements: items replaced in each damaged sequence, or (when None)
        replace_ratio: share of its items.
        corrupt_target: let the last item of a sequence (the target) be replaced as well.
        loss: ``cross_entropy`` over the whole catalogue at every position, or
            ``binary_cross_entropy`` of each positive against ``num_negatives`` uniform ones (the
            paper's, with one).
        softmax: how ``cross_entropy`` is computed: from ``logits [N, num_items]``; ``linear``:
            without them, from hidden states and item table, in memory that does not grow with
            their product; ``auto``: whichever suits the catalogue
            (:func:`atjt_ext.objectives.softmax_route`). The same up to rounding.
        num_negatives: negatives per positive of ``binary_cross_entropy``.
        max_length: longest history that a model reads; longer ones are cut into windows.
        window_stride: how far apart a user's windows end. None means max_length, so that each
            interaction is a target once; 1 makes each the last target of a window, for models that
            predict no other.
        batch_size: sequences per step.
        epochs: passes over the training data (of each phase, where sequential).
        optimizer: ``adam`` or ``adagrad``, for both models.
        learning_rate: the recommender's.
        noise_learning_rate: the noise model's.
        weight_decay: L2 penalty of both optimizers.
        clip_grad_norm: largest gradient norm of the recommender, None for no clipping.
        valid_metric: what early stopping watches, e.g. ``NDCG@10``.
        patience: epochs without a better ``valid_metric`` before training stops; None trains all
            ``epochs``. Training never stops in the first ``min_epochs``.
        min_epochs: see ``patience``.
        seed: decides everything random.
    """

    weighting: Literal["equal", "co_occurrence", "given", "clean_probability", "calibrated"] = (
        "co_occurrence"
    )
    weights_act_on: Literal["targets", "inputs", "both", "drop"] | None = None
    drop_below: float = 0.6
    adaptive_denoising: Literal["none", "truncated", "reweighted"] = "none"
    truncated_share: float = 0.2
    truncation_epochs: int = 5
    reweighting_power: float = 0.2
    cross_fitting: Literal["simultaneous", "sequential"] = "simultaneous"
    num_folds: int = 2
    noise_loss_weight: float = 1.0
    gradient_through_weights: bool = False
    warmup_epochs: int = 2
    gate_auc: float = 0.55
    sequence_fraction: float = 0.5
    num_replacements: int | None = None
    replace_ratio: float | None = 0.3
    corrupt_target: bool = True
    loss: Literal["cross_entropy", "binary_cross_entropy"] = "cross_entropy"
    softmax: Literal["auto", "logits", "linear"] = "auto"
    num_negatives: int = 1
    max_length: int = 50
    window_stride: int | None = None
    batch_size: int = 128
    epochs: int = 60
    optimizer: Literal["adam", "adagrad"] = "adam"
    learning_rate: float = 1e-3
    noise_learning_rate: float = 1e-3
    weight_decay: float = 0.0
    clip_grad_norm: float | None = None
    valid_metric: str = "NDCG@10"
    patience: int | None = 6
    min_epochs: int = 10
    seed: int = 0

    def __post_init__(self) -> None:
        _require_choices(self)
        for name in ("num_negatives", "max_length", "batch_size", "epochs"):
            _require(name, getattr(self, name), "at least 1", getattr(self, name) >= 1)
        if self.cross_fitting == "sequential" and self.patience is not None:
            raise ValueError(
                "patience must be None under cross_fitting='sequential', got "
                f"{self.patience}: stopping early would leave out whole folds"
            )
        if self.valid_metric not in RANKING_METRICS:
            raise ValueError(
                f"valid_metric must be one of {', '.join(RANKING_METRICS)}, got {self.valid_metric}"
            )
        for name in (
            "warmup_epochs",
            "truncation_epochs",
            "reweighting_power",
            "min_epochs",
            "seed",
            "noise_loss_weight",
            "weight_decay",
        ):
            _require(name, getattr(self, name), "at least 0", getattr(self, name) >= 0)
        for name in ("learning_rate", "noise_learning_rate"):
            _require(name, getattr(self, name), "above 0", getattr(self, name) > 0)
        # Larger seeds would overflow the 64 bits of (seed, step).
        _require("seed", self.seed, "below 2**32", self.seed < 2**32)
        _require("num_folds", self.num_folds, "at least 2", self.num_folds >= 2)
        _require(
            "truncated_share", self.truncated_share, "in [0, 1)", 0 <= self.truncated_share < 1
        )
        for name in ("gate_auc", "drop_below"):
            value = getattr(self, name)
            _require(name, value, "in [0, 1]", 0 <= value <= 1)
        if self.learns_noise and self.weights_act_on == "drop":
            raise ValueError(
                "weights_act_on='drop' needs weights that are known before training "
                f"(weighting='co_occurrence' or 'given'), got weighting={self.weighting!r}"
            )
        _require(
            "sequence_fraction", self.sequence_fraction, "in (0, 1)", 0 < self.sequence_fraction < 1
        )
        if (self.num_replacements is None) == (self.replace_ratio is None):
            raise ValueError(
                "exactly one of num_replacements and replace_ratio must be given, got "
                f"num_replacements={self.num_replacements}, replace_ratio={self.replace_ratio}"
            )
        if self.num_replacements is not None:
            _require(
                "num_replacements", self.num_replacements, "at least 1", self.num_replacements >= 1
            )
        if self.replace_ratio is not None:
            _require("replace_ratio", self.replace_ratio, "in (0, 1]", 0 < self.replace_ratio <= 1)
        if self.window_stride is not None:
            _require(
                "window_stride",
                self.window_stride,
                f"in 1..{self.max_length} (max_length)",
                1 <= self.window_stride <= self.max_length,
            )
        if self.patience is not None:
            _require("patience", self.patience, "at least 1", self.patience >= 1)
        if self.clip_grad_norm is not None:
            _require("clip_grad_norm", self.clip_grad_norm, "above 0", self.clip_grad_norm > 0)

    @staticmethod
    def from_recipe(recipe: str = "default", **changes: Any) -> JointTrainerConfig:
        """The training part of a recipe, with ``changes`` by field name.

        Raises:
            ValueError: no such recipe, or a value out of range.
        """
        return RunConfig.from_recipe(recipe, **changes).trainer

    @property
    def total_epochs(self) -> int:
        """Epochs over all phases."""
        return self.epochs * (self.num_folds if self.cross_fitting == "sequential" else 1)

    @property
    def learns_noise(self) -> bool:
        """Whether a noise model is trained along."""
        return self.weighting in ("clean_probability", "calibrated")

    @property
    def judges_noise(self) -> bool:
        """Whether weights come from what is recognised in the training data."""
        return self.learns_noise or self.weighting == "co_occurrence"

    def decided(self, *, takes_input_weight: bool) -> JointTrainerConfig:
        """The same with ``weights_act_on`` decided.

        Args:
            takes_input_weight: whether the recommender reads inputs under weights.
        """
        if self.weights_act_on is not None:
            return self
        if self.weighting != "co_occurrence":
            return replace(self, weights_act_on="targets")
        return replace(self, weights_act_on="both" if takes_input_weight else "drop")

    @property
    def weighs_inputs(self) -> bool:
        """Whether weights decide how much of an item the recommender reads."""
        return self.weighting != "equal" and self.weights_act_on in ("inputs", "both")

    @property
    def changes_reading(self) -> bool:
        """Whether histories are read under weights, or without what those drop."""
        return self.weighs_inputs or self.drops

    @property
    def drops(self) -> bool:
        """Whether interactions of low weight leave the training sequences."""
        return self.weighting != "equal" and self.weights_act_on == "drop"


@dataclass(frozen=True, slots=True, kw_only=True)
class DataConfig:
    """Which interactions to read.

    Attributes:
        format: auto decides by name and content.
        user_column: name of the user column where columns have names; None guesses.
        item_column: name of the item column; None guesses.
        time_column: name of the time column; None guesses.
        rating_column: name of the rating column; None guesses. Ratings are read, not used.
        item_file: table of the items' features where it does not lie in the folder of the
            interactions: RecBole .item, MovieLens, Amazon, Yelp, or JSON {item: [value, ...]}.
        item_columns: features that models see; none means all whose values items share, so no
            titles.
        k_core: drop users and items with fewer interactions, until none is left; 0 keeps all.
        latest: of every user, use the latest so many interactions only (counted after ``k_core``);
            0 uses all.
    """

    format: Literal[
        "auto", "recbole", "movielens", "amazon", "yelp", "csv", "parquet", "sequences"
    ] = "auto"
    user_column: str | None = None
    item_column: str | None = None
    time_column: str | None = None
    rating_column: str | None = None
    item_file: str | None = None
    item_columns: tuple[str, ...] = ()
    k_core: int = 0
    latest: int = 0

    def __post_init__(self) -> None:
        _require_choices(self)
        _require("k_core", self.k_core, "at least 0", self.k_core >= 0)
        # Leave-one-out needs three.
        _require("latest", self.latest, "0 or at least 3", self.latest == 0 or self.latest >= 3)


# Naming one of a pair in a recipe's changes takes the other back.
_EXCLUSIVE = (("num_replacements", "replace_ratio"), ("replace_ratio", "num_replacements"))

RECIPES: dict[str, dict[str, Any]] = {
    "default": {},
    "joint": {"weighting": "calibrated"},
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
        "embedding_dim": 8,
        "noise_embedding_dim": 8,
    },
}
"""What each recipe changes, by field name of any part of :class:`RunConfig`."""


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
    data: DataConfig = DataConfig()
    model: ModelConfig = field(default_factory=SASRecConfig)
    trainer: JointTrainerConfig = JointTrainerConfig()

    @staticmethod
    def from_recipe(recipe: str = "default", *, model: str = "sasrec", **changes: Any) -> RunConfig:
        """The recipe for a model, with ``changes`` by field name of any part.

        Raises:
            ValueError: no such recipe or model, or a value out of range.
            TypeError: no part has such a field.
        """
        if recipe not in RECIPES:
            raise ValueError(f"recipe must be one of {', '.join(RECIPES)}, got {recipe!r}")
        if model not in MODELS:
            raise ValueError(f"model must be one of {', '.join(MODELS)}, got {model!r}")
        values = {**MODEL_TRAINING.get(model, {}), **RECIPES[recipe], **changes}
        for given, other in _EXCLUSIVE:
            if changes.get(given) is not None and other not in changes:
                values[other] = None
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
