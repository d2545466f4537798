"""Drop-in loss modules with one weight per example, over logits, a catalogue or sampled items.

Each module holds the options of a function of :mod:`atjt_ext.ops`, which documents gradients,
dtypes, memory, edge cases and errors. All have ``reduction="weighted_mean"`` by default:
``sum(w * l) / sum(w)``, the paper's normaliser.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from . import (
    Reduction,
    gbce_beta,
    linear_reweighted_cross_entropy,
    reweighted_binary_cross_entropy,
    reweighted_cross_entropy,
    sampled_binary_cross_entropy,
    sampled_cross_entropy,
)
from ._checks import (
    check_beta,
    check_label_smoothing,
    check_reduction,
    check_temperature,
    check_z_loss,
)

__all__ = [
    "LinearReweightedCrossEntropyLoss",
    "ReweightedBinaryCrossEntropyLoss",
    "ReweightedCrossEntropyLoss",
    "SampledBinaryCrossEntropyLoss",
    "SampledCrossEntropyLoss",
]


class _Loss(nn.Module):
    """Options of a function as checked attributes, shown by ``repr``."""

    def __init__(self, **options: Any) -> None:
        super().__init__()
        check_reduction(options["reduction"])
        check_label_smoothing(options.get("label_smoothing", 0.0))
        check_temperature(options.get("temperature", 1.0), torch.float64)
        check_z_loss(options.get("z_loss", 0.0))
        check_beta(options.get("beta", 1.0))
        self._names = tuple(options)
        for name, value in options.items():
            setattr(self, name, value)

    def options(self) -> dict[str, Any]:
        """The options now, as keyword arguments of the function."""
        return {name: getattr(self, name) for name in self._names}

    def extra_repr(self) -> str:
        return ", ".join(f"{name}={value!r}" for name, value in self.options().items())


class ReweightedCrossEntropyLoss(_Loss):
    """Softmax cross-entropy with one weight per example; replaces ``nn.CrossEntropyLoss``.

    Args:
        ignore_index: rows with this target have loss and gradient 0 and do not count.
        label_smoothing: share of every target that is spread over all classes, in ``[0, 1]``.
        reduction: ``weighted_mean`` (default): ``sum(w * l) / sum(w)``; ``mean``: divided by the
            number of examples that are not ignored; ``sum``; ``none``.
        inplace_gradient: the backward pass writes the gradient over the logits, which saves one of
            two tensors of that size.

    Shapes:
        logits ``[N, V]``; targets ``[N]`` int64 in ``0..V-1``; sample_weight ``[N]``, or None for
        ones. Returns a scalar, or ``[N]`` for ``none``.

    See :func:`atjt_ext.ops.reweighted_cross_entropy`.
    """

    def __init__(
        self,
        *,
        ignore_index: int = -100,
        label_smoothing: float = 0.0,
        reduction: Reduction = "weighted_mean",
        inplace_gradient: bool = False,
    ) -> None:
        super().__init__(
            ignore_index=ignore_index,
            label_smoothing=label_smoothing,
            reduction=reduction,
            inplace_gradient=inplace_gradient,
        )

    def forward(
        self, logits: Tensor, targets: Tensor, sample_weight: Tensor | None = None
    ) -> Tensor:
        return reweighted_cross_entropy(logits, targets, sample_weight, **self.options())


class ReweightedBinaryCrossEntropyLoss(_Loss):
    """Sigmoid cross-entropy with one weight per example; replaces ``nn.BCEWithLogitsLoss``.

    Args:
        label_smoothing: targets move this share of the way to 1/2, in ``[0, 1]``.
        reduction: ``weighted_mean`` (default): ``sum(w_i * l_ic) / sum(w_i * C)``; ``mean``:
            divided by the number of logits; ``sum``; ``none``.
        inplace_gradient: the backward pass writes the gradient over the logits.

    Shapes:
        logits ``[N]`` or ``[N, C]``, e.g. a positive and a negative item per row; targets of the
        same shape, bool or floating point; sample_weight ``[N]``, or None for ones. Returns a
        scalar, or the shape of the logits for ``none``.

    See :func:`atjt_ext.ops.reweighted_binary_cross_entropy`.
    """

    def __init__(
        self,
        *,
        label_smoothing: float = 0.0,
        reduction: Reduction = "weighted_mean",
        inplace_gradient: bool = False,
    ) -> None:
        super().__init__(
            label_smoothing=label_smoothing, reduction=reduction, inplace_gradient=inplace_gradient
        )

    def forward(
        self, logits: Tensor, targets: Tensor, sample_weight: Tensor | None = None
    ) -> Tensor:
        return reweighted_binary_cross_entropy(logits, targets, sample_weight, **self.options())


class LinearReweightedCrossEntropyLoss(_Loss):
    """Softmax cross-entropy over a whole catalogue, with one weight per example and without stored
    logits; replaces a product with the item table and ``nn.CrossEntropyLoss``.

    Args:
        temperature: logits are divided by it.
        label_smoothing: share of every target that is spread over all items, in ``[0, 1]``.
        z_loss: factor of the squared log-sum-exp, which is added to each loss.
        ignore_index: rows with this target have loss and gradient 0, do not count and cost nothing.
        reduction: as in :class:`ReweightedCrossEntropyLoss`.

    Shapes:
        hidden ``[..., D]``; item_embeddings ``[V, D]``; targets ``[...]`` int64 in ``0..V-1``;
        sample_weight ``[...]``, or None for ones; bias ``[V]`` or None. Returns a scalar, or
        ``[...]`` for ``none``.

    See :func:`atjt_ext.ops.linear_reweighted_cross_entropy`.
    """

    def __init__(
        self,
        *,
        temperature: float = 1.0,
        label_smoothing: float = 0.0,
        z_loss: float = 0.0,
        ignore_index: int = -100,
        reduction: Reduction = "weighted_mean",
    ) -> None:
        super().__init__(
            temperature=temperature,
            label_smoothing=label_smoothing,
            z_loss=z_loss,
            ignore_index=ignore_index,
            reduction=reduction,
        )

    def forward(
        self,
        hidden: Tensor,
        item_embeddings: Tensor,
        targets: Tensor,
        sample_weight: Tensor | None = None,
        bias: Tensor | None = None,
    ) -> Tensor:
        loss: Tensor = linear_reweighted_cross_entropy(
            hidden, item_embeddings, targets, sample_weight, bias=bias, **self.options()
        )
        return loss


class SampledCrossEntropyLoss(_Loss):
    """Softmax cross-entropy over the target and sampled negatives, with one weight per example.

    Args:
        mask_accidental_hits: leaves out negatives that are the row's target.
        temperature: scores are divided by it.
        ignore_index: rows with this target have loss and gradient 0 and do not count.
        reduction: as in :class:`ReweightedCrossEntropyLoss`.
        sparse_gradient: the gradient of the item embeddings is sparse.

    Shapes:
        hidden ``[N, D]``; item_embeddings ``[V, D]``; targets ``[N]`` int64 in ``0..V-1``;
        negatives ``[N, k]``, or ``[k]`` for all rows; sample_weight ``[N]``, or None for ones;
        negative_log_probs, for the logQ correction: the negatives' shape, ``[k]`` or a number.
        Returns a scalar, or ``[N]`` for ``none``.

    See :func:`atjt_ext.ops.sampled_cross_entropy`.
    """

    def __init__(
        self,
        *,
        mask_accidental_hits: bool = True,
        temperature: float = 1.0,
        ignore_index: int = -100,
        reduction: Reduction = "weighted_mean",
        sparse_gradient: bool = False,
    ) -> None:
        super().__init__(
            mask_accidental_hits=mask_accidental_hits,
            temperature=temperature,
            ignore_index=ignore_index,
            reduction=reduction,
            sparse_gradient=sparse_gradient,
        )

    def forward(
        self,
        hidden: Tensor,
        item_embeddings: Tensor,
        targets: Tensor,
        negatives: Tensor,
        sample_weight: Tensor | None = None,
        *,
        negative_log_probs: Tensor | float | None = None,
    ) -> Tensor:
        return sampled_cross_entropy(
            hidden,
            item_embeddings,
            targets,
            negatives,
            sample_weight,
            negative_log_probs=negative_log_probs,
            **self.options(),
        )


class SampledBinaryCrossEntropyLoss(_Loss):
    """Binary cross-entropy over the target and sampled negatives, with one weight per example.

    Args:
        beta: power of the positive probability: 1 (default) is BCE, a smaller one gBCE.
        t: instead of ``beta``: how far gBCE calibrates, in ``[0, 1]``. ``t``, ``num_items`` and the
            number of negatives give ``beta`` (:func:`atjt_ext.ops.gbce_beta`, arXiv:2308.07192).
        num_items: size of the catalogue without padding; for ``t``.
        mask_accidental_hits, temperature, ignore_index, reduction, sparse_gradient: as in
            :class:`SampledCrossEntropyLoss`.

    Shapes:
        hidden ``[N, D]``; item_embeddings ``[V, D]``; targets ``[N]`` int64 in ``0..V-1``;
        negatives ``[N, k]``, or ``[k]`` for all rows; sample_weight ``[N]``, or None for ones.
        Returns a scalar, or ``[N]`` for ``none``.

    See :func:`atjt_ext.ops.sampled_binary_cross_entropy`.
    """

    def __init__(
        self,
        *,
        beta: float = 1.0,
        t: float | None = None,
        num_items: int | None = None,
        mask_accidental_hits: bool = True,
        temperature: float = 1.0,
        ignore_index: int = -100,
        reduction: Reduction = "weighted_mean",
        sparse_gradient: bool = False,
    ) -> None:
        if (t is None) != (num_items is None):
            raise ValueError(f"t and num_items go together, got t={t}, num_items={num_items}")
        if t is not None and beta != 1.0:
            raise ValueError(f"at most one of beta and t may be given, got beta={beta}, t={t}")
        if t is not None and not 0 <= t <= 1:
            raise ValueError(f"t must be in [0, 1], got {t}")
        power = {"beta": beta} if t is None else {"t": t, "num_items": num_items}
        super().__init__(
            **power,
            mask_accidental_hits=mask_accidental_hits,
            temperature=temperature,
            ignore_index=ignore_index,
            reduction=reduction,
            sparse_gradient=sparse_gradient,
        )
        self.beta, self.t, self.num_items = beta, t, num_items

    def forward(
        self,
        hidden: Tensor,
        item_embeddings: Tensor,
        targets: Tensor,
        negatives: Tensor,
        sample_weight: Tensor | None = None,
    ) -> Tensor:
        options = self.options()
        if "t" in options:
            options["beta"] = gbce_beta(
                options.pop("t"), negatives.shape[-1], options.pop("num_items")
            )
        return sampled_binary_cross_entropy(
            hidden, item_embeddings, targets, negatives, sample_weight, **options
        )
