"""How joint training runs, and everything else that a run depends on: every choice by name."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

from ..evaluation.metrics import RANKING_METRICS
from ..models.options import (
    above_zero,
    at_least_zero,
    check_options,
    in_range,
    require,
    share,
    size,
)
from .recipes import AMOUNTS, recipe_options

__all__ = [
    "JointTrainerConfig",
]


_FROM_0_TO_1 = ("in [0, 1]", lambda value: 0 <= value <= 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class JointTrainerConfig:
    """Options of :class:`~atjt_ext.training.trainer.JointTrainer`; the defaults are the ``default`` recipe.

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
            stays counts alike). None decides: under ``co_occurrence`` ``both``, or ``drop`` if
            the recommender takes no weights on inputs; ``targets`` under all others. Inputs need
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
            it was trained on. (``co_occurrence`` has folds and a gate of its own.)
        noise_loss_weight: the paper's lambda.
        gradient_through_weights: let the recommender's loss train the noise model through the
            weights. The noise model then learns from the users it weighs, too.
        warmup_epochs: first epochs (of each phase, where sequential), in which the noise model
            learns while all weights are one.
        gate_auc: under ``calibrated``, weights stay one while the noise model's held-out AUC is
            below.
        sequence_fraction: share of the sequences of a batch that are damaged for the noise model.
        num_replacements: items replaced in each damaged sequence, or
        replace_ratio: share of the items replaced in each, or
        replace_probability: chance of each of its items (exactly one of the three). Only this one
            damages items of short and of long sequences alike often.
        corrupt_target: let the last item of a sequence (the target) be replaced as well.
        loss: ``cross_entropy`` over the whole catalogue at every position, or
            ``binary_cross_entropy`` of each positive against ``num_negatives`` uniform ones (the
            paper's, with one).
        softmax: how ``cross_entropy`` is computed: from ``logits [N, num_items]``; ``linear``:
            without them, from hidden states and item table, in memory that does not grow with
            their product; ``auto``: whichever suits the catalogue
            (:func:`atjt_ext.training.objectives.softmax_route`). The same up to rounding.
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
        schedule: how the recommender's rate goes on from there: not at all, or to 0 over all steps,
            along a line or half a cosine (:func:`atjt_ext.training.schedule.learning_rate_factor`). That of
            the noise models stays: those of a later phase begin when little would be left of it.
        schedule_warmup_steps: first steps, over which the recommender's rate rises to
            ``learning_rate``.
        weight_decay: L2 penalty of both optimizers.
        clip_grad_norm: largest gradient norm of the recommender, None for no clipping.
        precision: of matrix products in training. ``bfloat16`` and ``float16`` run the models under
            ``torch.autocast``; parameters, sums of losses, evaluation and recommendations stay
            float32. ``float16`` scales the loss so that small gradients survive, and needs CUDA.
        compile: train through ``torch.compile`` of the recommender's ``encode`` or ``score``, for
            models of your own. Those here pack what is no padding, which breaks their graphs; on a
            CPU they are slower compiled. Dropout masks are others than those of an uncompiled run.
        valid_metric: what early stopping watches, e.g. ``NDCG@10``.
        patience: epochs without a better ``valid_metric`` before training stops; None trains all
            ``epochs``. Training never stops in the first ``min_epochs``, nor before ``min_steps``.
        min_epochs: see ``patience``.
        min_steps: see ``patience``. Small data make few steps of an epoch: where that is twenty,
            six epochs without a better one are no sign that there will be none.
        seed: decides everything random.
    """

    weighting: Literal["equal", "co_occurrence", "given", "clean_probability", "calibrated"] = (
        "co_occurrence"
    )
    weights_act_on: Literal["targets", "inputs", "both", "drop"] | None = None
    drop_below: float = in_range(0.6, *_FROM_0_TO_1)
    adaptive_denoising: Literal["none", "truncated", "reweighted"] = "none"
    truncated_share: float = share(0.2)
    truncation_epochs: int = at_least_zero(5)
    reweighting_power: float = at_least_zero(0.2)
    cross_fitting: Literal["simultaneous", "sequential"] = "simultaneous"
    num_folds: int = in_range(2, "at least 2", lambda value: value >= 2)
    noise_loss_weight: float = at_least_zero(1.0)
    gradient_through_weights: bool = False
    warmup_epochs: int = at_least_zero(2)
    gate_auc: float = in_range(0.55, *_FROM_0_TO_1)
    sequence_fraction: float = in_range(0.5, "in (0, 1)", lambda value: 0 < value < 1)
    num_replacements: int | None = size(None)
    replace_ratio: float | None = in_range(0.3, "in (0, 1]", lambda value: 0 < value <= 1)
    replace_probability: float | None = in_range(None, "in (0, 1]", lambda value: 0 < value <= 1)
    corrupt_target: bool = True
    loss: Literal["cross_entropy", "binary_cross_entropy"] = "cross_entropy"
    softmax: Literal["auto", "logits", "linear"] = "auto"
    num_negatives: int = size(1)
    max_length: int = size(50)
    window_stride: int | None = None
    batch_size: int = size(128)
    epochs: int = size(100)
    optimizer: Literal["adam", "adagrad"] = "adam"
    learning_rate: float = above_zero(1e-3)
    noise_learning_rate: float = above_zero(1e-3)
    schedule: Literal["constant", "cosine", "linear"] = "constant"
    schedule_warmup_steps: int = at_least_zero(0)
    weight_decay: float = at_least_zero(0.0)
    clip_grad_norm: float | None = above_zero(None)
    precision: Literal["float32", "bfloat16", "float16"] = "float32"
    compile: bool = False
    valid_metric: str = "NDCG@10"
    patience: int | None = size(6)
    min_epochs: int = at_least_zero(10)
    min_steps: int = at_least_zero(2000)
    # Larger ones would overflow the 64 bits of (seed, step).
    seed: int = in_range(0, "below 2**32 and at least 0", lambda value: 0 <= value < 2**32)

    def __post_init__(self) -> None:
        check_options(self)
        if self.cross_fitting == "sequential" and self.patience is not None:
            raise ValueError(
                "patience must be None under cross_fitting='sequential', got "
                f"{self.patience}: stopping early would leave out whole folds"
            )
        if self.valid_metric not in RANKING_METRICS:
            raise ValueError(
                f"valid_metric must be one of {', '.join(RANKING_METRICS)}, got {self.valid_metric}"
            )
        if self.learns_noise and self.weights_act_on == "drop":
            raise ValueError(
                "weights_act_on='drop' needs weights that are known before training "
                f"(weighting='co_occurrence' or 'given'), got weighting={self.weighting!r}"
            )
        amounts = self._amounts
        if list(amounts.values()).count(None) != len(amounts) - 1:
            raise ValueError(
                f"exactly one of {', '.join(AMOUNTS)} must be given, got "
                + ", ".join(f"{name}={value}" for name, value in amounts.items())
            )
        if self.window_stride is not None:
            require(
                "window_stride",
                self.window_stride,
                f"in 1..{self.max_length} (max_length)",
                1 <= self.window_stride <= self.max_length,
            )

    @staticmethod
    def from_recipe(recipe: str = "default", **changes: Any) -> JointTrainerConfig:
        """The training part of a recipe, with ``changes`` by field name.

        Raises:
            ValueError: no such recipe, or a value out of range.
        """
        own = JointTrainerConfig.__dataclass_fields__
        options = recipe_options(recipe, changes).items()
        return JointTrainerConfig(
            **{name: value for name, value in options if name in own or name in changes}
        )

    @property
    def total_epochs(self) -> int:
        """Epochs over all phases."""
        return self.epochs * (self.num_folds if self.cross_fitting == "sequential" else 1)

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
