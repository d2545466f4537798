"""The options of joint training. Importing this module imports no torch."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Literal

from ..evaluation.metrics import RANKING_METRICS
from ..models.options import (
    Effect,
    above_zero,
    at_least_zero,
    between_0_and_1,
    check_options,
    from_0_to_1,
    in_range,
    only_under,
    option,
    part,
    require,
    require_fields,
    share,
    size,
    with_effect,
)
from .recipes import AMOUNTS, merged, recipe_options

__all__ = ["TRAINS_NOISE_MODELS", "JointTrainerConfig"]

TRAINS_NOISE_MODELS = only_under("weighting", "clean_probability", "calibrated")
"""The condition under which noise models are trained together with the recommender."""

_DEALS_FOLDS = Effect(
    "weighting=clean_probability, calibrated or co_occurrence, or cross_fitting=sequential",
    lambda options: (
        options["weighting"] not in ("equal", "given") or options["cross_fitting"] == "sequential"
    ),
    ("weighting", "cross_fitting"),
)
_MAY_DROP = Effect(
    "weights_act_on=drop",
    # Under co_occurrence None becomes `drop` for recommenders that take no weights on inputs.
    lambda options: (
        options["weights_act_on"] == "drop"
        or (options["weights_act_on"] is None and options["weighting"] == "co_occurrence")
    ),
    ("weights_act_on", "weighting"),
)
_STOPS_EARLY = Effect("patience", lambda options: options["patience"] is not None, ("patience",))
_WEIGHS = only_under("weighting", "co_occurrence", "given", "clean_probability", "calibrated")
_HAS_GATE = only_under("weighting", "calibrated", "co_occurrence")
_TRUNCATES = only_under("adaptive_denoising", "truncated")


@dataclass(frozen=True, slots=True, kw_only=True)
class JointTrainerConfig:
    """Options of :class:`~atjt_ext.training.trainer.JointTrainer`; defaults: recipe ``default``.

    An option that has no effect with these other options is refused, unless it has its default.

    Attributes:
        weighting: the source of the weights. ``equal``: all weights are 1. ``co_occurrence``:
            P(clean) of each interaction, by :func:`atjt_ext.recognition.recognise_noise` before
            training. ``given``: the weights that the training sequences carry.
            ``clean_probability``: the paper's ``w = g(sequence)`` by a jointly trained model g.
            ``calibrated``: ``clip(1 - rho / odds, 0, 1)`` by such a model, gated by ``gate_auc``.
        weights_act_on: ``targets``: the loss of each predicted item. ``inputs``: how much of each
            item the recommender reads, in training and, for weights known before training, in
            evaluation; needs a weight per position. ``both``: targets and inputs. ``drop``:
            interactions with a weight below ``drop_below`` leave training and the histories read in
            evaluation, all others have weight 1; needs weights known before training. None: under
            ``co_occurrence`` ``both``, or ``drop`` if the recommender takes no weights on inputs;
            otherwise ``targets``.
        drop_below: the weight below which ``weights_act_on=drop`` drops an interaction.
        adaptive_denoising: further weights, made of the losses (arXiv:2006.04153): ``truncated``
            drops the largest losses of every batch, ``reweighted`` multiplies by ``p ** power``.
        truncated_share: largest share that ``truncated`` drops.
        truncation_epochs: epochs over which the dropped share rises to ``truncated_share``.
        reweighting_power: the power of ``reweighted``.
        cross_fitting: ``simultaneous``: every batch holds all folds, each weighed by the noise
            model that trains on the others. ``sequential``, the paper's: one phase of ``epochs``
            per fold, in which the recommender learns on that fold only, under every weighting.
        num_folds: folds of users, at least 2. No noise model or classifier judges a user whose
            damaged sequences it learned from. None: 5 for ``co_occurrence``, otherwise 2.
        noise_loss_weight: factor of the noise models' loss, the paper's lambda.
        gradient_through_weights: the recommender's loss trains the noise model through the weights,
            so the noise model learns from the users that it weighs, too.
        warmup_epochs: first epochs of a run or phase, in which the noise model learns while all
            weights are 1.
        gate_auc: weights stay 1 while the held-out AUC of recognising artificial noise is lower.
            None: 0.55 under ``calibrated``, 0.6 (beyond popularity) under ``co_occurrence``.
        sequence_fraction: share of the sequences of a batch that are damaged for the noise model,
            as an exact count: from 0.5 on, the sequence of a batch of one is always damaged.
        num_replacements: number of items replaced in each damaged sequence.
        replace_ratio: share of the items replaced in each damaged sequence.
        replace_probability: probability that an item of a damaged sequence is replaced. Give
            exactly one of num_replacements, replace_ratio and replace_probability.
        corrupt_target: also replace the last item of a sequence (the target).
        loss: ``cross_entropy`` over the whole catalogue at every position, or
            ``binary_cross_entropy`` of each positive against ``num_negatives`` uniform negatives
            (the paper's, with one negative).
        softmax: how to compute ``cross_entropy``. ``logits``: from ``[N, num_items]``. ``linear``:
            from hidden states and item table, in memory that does not grow with their product.
            ``auto``: whichever suits the catalogue and the batches
            (:func:`atjt_ext.training.objectives.softmax_route`). All agree up to rounding.
        num_negatives: negatives per positive of ``binary_cross_entropy``.
        max_length: longest history that a model reads; longer ones are cut into windows.
        window_stride: distance between the ends of a user's windows. None means max_length: each
            interaction is a target once. With 1 each is the last target of a window.
        batch_size: sequences per step.
        epochs: passes over the training data (of each phase under ``sequential``).
        optimizer: ``adam`` or ``adagrad``, for both models.
        learning_rate: learning rate of the recommender.
        noise_learning_rate: learning rate of the noise models; constant over all phases.
        schedule: the recommender's learning rate over all steps: constant, or falling to 0 along a
            line or half a cosine (:func:`atjt_ext.training.state.learning_rate_factor`).
        schedule_warmup_steps: steps in which the recommender's rate rises to ``learning_rate``.
        weight_decay: L2 penalty of both optimizers.
        clip_grad_norm: largest gradient norm of the recommender; None clips nothing.
        precision: dtype of matrix products in training, by ``torch.autocast``. Parameters, sums of
            losses, evaluation and recommendations stay float32; on a CPU, so do the losses over the
            catalogue. A CPU without instructions for bfloat16 trains in float32, which is faster.
        compile: train through ``torch.compile`` of the recommender's ``encode`` or ``score``. For
            your own models: the models of this package drop padding, which breaks their graphs and
            makes them slower on a CPU. Dropout masks from torch's generator then differ.
        valid_metric: the metric that early stopping watches, e.g. ``NDCG@10``.
        patience: epochs without a better ``valid_metric`` before training stops; None never stops.
        min_epochs: training never stops early in the first ``min_epochs`` epochs.
        min_steps: training never stops early in the first ``min_steps`` steps.
        seed: seed of all random choices.
    """

    weighting: Literal["equal", "co_occurrence", "given", "clean_probability", "calibrated"] = (
        "co_occurrence"
    )
    weights_act_on: Literal["targets", "inputs", "both", "drop"] | None = option(None, _WEIGHS)
    drop_below: float = from_0_to_1(0.6, _MAY_DROP)
    adaptive_denoising: Literal["none", "truncated", "reweighted"] = "none"
    truncated_share: float = share(0.2, _TRUNCATES)
    truncation_epochs: int = at_least_zero(5, _TRUNCATES)
    reweighting_power: float = at_least_zero(0.2, only_under("adaptive_denoising", "reweighted"))
    cross_fitting: Literal["simultaneous", "sequential"] = "simultaneous"
    num_folds: int | None = in_range(None, "at least 2", lambda value: value >= 2, _DEALS_FOLDS)
    noise_loss_weight: float = at_least_zero(1.0, TRAINS_NOISE_MODELS)
    gradient_through_weights: bool = option(False, TRAINS_NOISE_MODELS)
    warmup_epochs: int = at_least_zero(2, TRAINS_NOISE_MODELS)
    gate_auc: float | None = from_0_to_1(None, _HAS_GATE)
    sequence_fraction: float = between_0_and_1(0.5, TRAINS_NOISE_MODELS)
    num_replacements: int | None = size(None, TRAINS_NOISE_MODELS)
    replace_ratio: float | None = part(0.3, TRAINS_NOISE_MODELS)
    replace_probability: float | None = part(None, TRAINS_NOISE_MODELS)
    corrupt_target: bool = option(True, TRAINS_NOISE_MODELS)
    loss: Literal["cross_entropy", "binary_cross_entropy"] = "cross_entropy"
    softmax: Literal["auto", "logits", "linear"] = option(
        "auto", only_under("loss", "cross_entropy")
    )
    num_negatives: int = size(1, only_under("loss", "binary_cross_entropy"))
    max_length: int = size(50)
    window_stride: int | None = None
    batch_size: int = size(128)
    epochs: int = size(100)
    optimizer: Literal["adam", "adagrad"] = "adam"
    learning_rate: float = above_zero(1e-3)
    noise_learning_rate: float = above_zero(1e-3, TRAINS_NOISE_MODELS)
    schedule: Literal["constant", "cosine", "linear"] = "constant"
    schedule_warmup_steps: int = at_least_zero(0)
    weight_decay: float = at_least_zero(0.0)
    clip_grad_norm: float | None = above_zero(None)
    precision: Literal["float32", "bfloat16"] = "float32"
    compile: bool = False
    valid_metric: str = "NDCG@10"
    patience: int | None = size(6)
    min_epochs: int = at_least_zero(10, _STOPS_EARLY)
    min_steps: int = at_least_zero(2000, _STOPS_EARLY)
    # Larger ones would overflow the 64 bits of (seed, step).
    seed: int = in_range(0, "below 2**32 and at least 0", lambda value: 0 <= value < 2**32)

    def __post_init__(self) -> None:
        if self.precision == "float16":  # type: ignore[comparison-overlap]
            raise ValueError(
                "precision must be float32 or bfloat16, got 'float16': training in float16 was "
                "removed, bfloat16 runs on the same devices and needs no loss scaling"
            )
        check_options(self)
        if self.cross_fitting == "sequential" and self.patience is not None:
            raise ValueError(
                f"patience must be None under cross_fitting='sequential', got {self.patience}: "
                "stopping early would leave out whole folds"
            )
        known = f"one of {', '.join(RANKING_METRICS)}"
        require("valid_metric", self.valid_metric, known, self.valid_metric in RANKING_METRICS)
        if self.learns_noise and self.weights_act_on == "drop":
            raise ValueError(
                "weights_act_on='drop' needs weights that are known before training "
                f"(weighting='co_occurrence' or 'given'), got weighting={self.weighting!r}"
            )
        if list(self._amounts.values()).count(None) != len(AMOUNTS) - 1:
            found = ", ".join(f"{name}={value}" for name, value in self._amounts.items())
            raise ValueError(f"exactly one of {', '.join(AMOUNTS)} must be given, got {found}")
        if (stride := self.window_stride) is not None:
            wanted = f"in 1..{self.max_length} (max_length)"
            require("window_stride", stride, wanted, 1 <= stride <= self.max_length)

    @staticmethod
    def from_recipe(recipe: str = "default", **changes: Any) -> JointTrainerConfig:
        """The training part of a recipe under ``changes``; errors as in :meth:`under`."""
        own = {one.name for one in fields(JointTrainerConfig)}
        of_recipe = {name: value for name, value in recipe_options(recipe).items() if name in own}
        return _under(of_recipe, changes)

    def under(self, **changes: Any) -> JointTrainerConfig:
        """This config with ``changes``, without the options that have no effect with them.

        Raises:
            ValueError: a value is out of range, or one of ``changes`` has no effect.
            TypeError: one of ``changes`` is no option of training.
        """
        return _under(asdict(self), changes)

    @staticmethod
    def from_dict(values: Mapping[str, Any], *, earlier: bool = False) -> JointTrainerConfig:
        """The config that a run folder or a checkpoint holds as ``values`` by field name.

        Args:
            values: absent options have their defaults.
            earlier: the values are from a release that took options without effect, and in which
                ``num_folds`` and ``gate_auc`` belonged to noise models only.

        Raises:
            ValueError: a value is out of range or no longer offered.
            TypeError: there is no such option, or a value has another type.
        """
        if not isinstance(values, Mapping):
            raise TypeError(f"an object with options wanted, got {type(values).__name__}")
        options = dict(values)
        if earlier:
            of_noise_models = TRAINS_NOISE_MODELS.holds({"weighting": "co_occurrence", **options})
            sequential = options.get("cross_fitting") == "sequential"
            if options.get("num_folds") == 2 or not (of_noise_models or sequential):
                options.pop("num_folds", None)
            if options.get("gate_auc") == 0.55 or not of_noise_models:
                options.pop("gate_auc", None)
            options = with_effect(JointTrainerConfig, options)
        require_fields(JointTrainerConfig, options)
        return JointTrainerConfig(**options)

    def decided(self, *, takes_input_weight: bool) -> JointTrainerConfig:
        """This config with ``weights_act_on`` decided for a recommender."""
        if self.weights_act_on is not None or not self.weighs:
            return self
        if self.weighting != "co_occurrence":
            return replace(self, weights_act_on="targets")
        decided = self.under(weights_act_on="both" if takes_input_weight else "drop")
        if decided.drop_below != self.drop_below:
            warnings.warn(
                f"drop_below={self.drop_below} has an effect only under weights_act_on=drop, "
                "but the default for this recommender is weights_act_on=both",
                stacklevel=2,
            )
        return decided

    def resolved(self) -> dict[str, Any]:
        """Values by field name, equal for configs that train alike: noise models' defaults stand
        for None."""
        values = asdict(self)
        if self.weighting != "co_occurrence":
            values.update(num_folds=self.fold_count, gate_auc=self.gate)
        return values

    @property
    def fold_count(self) -> int:
        """Folds of noise models and phases: ``num_folds``, or their default."""
        return 2 if self.num_folds is None else self.num_folds

    @property
    def gate(self) -> float:
        """The AUC from which a noise model is trusted: ``gate_auc``, or its default."""
        return 0.55 if self.gate_auc is None else self.gate_auc

    @property
    def total_epochs(self) -> int:
        """Epochs over all phases."""
        return self.epochs * (self.fold_count if self.cross_fitting == "sequential" else 1)

    @property
    def damage(self) -> dict[str, Any]:
        """How sequences are damaged: options of :class:`atjt_ext.RandomReplacement`."""
        return {
            "sequence_fraction": self.sequence_fraction,
            "include_target": self.corrupt_target,
            **self._amounts,
        }

    @property
    def _amounts(self) -> dict[str, float | None]:
        return {name: getattr(self, name) for name in AMOUNTS}

    @property
    def weighs(self) -> bool:
        """Whether weights other than 1 can act."""
        return self.weighting != "equal"

    @property
    def learns_noise(self) -> bool:
        """Whether noise models are trained."""
        return TRAINS_NOISE_MODELS.holds({"weighting": self.weighting})

    @property
    def takes_given_weights(self) -> bool:
        """Whether the training sequences carry the weights."""
        return self.weighting == "given"

    @property
    def weighs_inputs(self) -> bool:
        """Whether weights decide how much of an item the recommender reads."""
        return self.weighs and self.weights_act_on in ("inputs", "both")

    @property
    def drops(self) -> bool:
        """Whether interactions with a low weight leave the training sequences."""
        return self.weighs and self.weights_act_on == "drop"

    @property
    def changes_reading(self) -> bool:
        """Whether weights or dropped interactions change the histories that are read."""
        return self.weighs_inputs or self.drops


def _under(options: Mapping[str, Any], changes: Mapping[str, Any]) -> JointTrainerConfig:
    options = merged(options, changes)
    return JointTrainerConfig(**with_effect(JointTrainerConfig, options, keep=changes))
