"""JOINT LOSS: drop-in loss modules and the loss of the noise model."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from . import (
    Reduction,
    linear_reweighted_cross_entropy,
    reweighted_binary_cross_entropy,
    reweighted_cross_entropy,
)
from ._row_losses import check_temperature

__all__ = [
    "LinearReweightedCrossEntropyLoss",
    "ReweightedBinaryCrossEntropyLoss",
    "ReweightedCrossEntropyLoss",
]


class ReweightedCrossEntropyLoss(nn.Module):
    """Softmax cross-entropy with one weight per example; takes the place of
    ``nn.CrossEntropyLoss``.

    Args:
        ignore_index: targets with this value add nothing and get no gradient.
        label_smoothing: share of every target that is spread over all classes, in ``[0, 1]``.
        reduction: ``weighted_mean`` (default) is ``sum(w * l) / sum(w)``, the paper's normaliser;
            ``mean`` divides by the number of examples that are not ignored; ``sum``; ``none``.
        inplace_gradient: lets the backward pass write the gradient over the logits, to hold one
            tensor of that size instead of two.

    Shapes:
        logits ``[N, V]``; targets ``[N]`` int64 in ``0..V-1``; sample_weight ``[N]``, or None for
        ones. Returns a scalar, or ``[N]`` under ``none``.

    See :func:`atjt_ext.ops.reweighted_cross_entropy` for gradients, dtypes, edge cases and errors.
    """

    def __init__(
        self,
        *,
        ignore_index: int = -100,
        label_smoothing: float = 0.0,
        reduction: Reduction = "weighted_mean",
        inplace_gradient: bool = False,
    ) -> None:
        super().__init__()
        _check(reduction, label_smoothing)
        self.ignore_index = ignore_index
        self.label_smoothing = label_smoothing
        self.reduction = reduction
        self.inplace_gradient = inplace_gradient

    def extra_repr(self) -> str:
        return (
            f"ignore_index={self.ignore_index}, label_smoothing={self.label_smoothing}, "
            f"reduction={self.reduction!r}, inplace_gradient={self.inplace_gradient}"
        )

    def forward(
        self, logits: Tensor, targets: Tensor, sample_weight: Tensor | None = None
    ) -> Tensor:
        return reweighted_cross_entropy(
            logits,
            targets,
            sample_weight,
            ignore_index=self.ignore_index,
            label_smoothing=self.label_smoothing,
            reduction=self.reduction,
            inplace_gradient=self.inplace_gradient,
        )


class LinearReweightedCrossEntropyLoss(nn.Module):
    """Softmax cross-entropy over a whole catalogue, with one weight per example and without its
    logits; takes the place of a product with the item table and ``nn.CrossEntropyLoss``.

    Args:
        temperature: logits are divided by it.
        label_smoothing: share of every target that is spread over all items, in ``[0, 1]``.
        z_loss: factor of the squared log-sum-exp that is added to each loss.
        ignore_index: targets with this value add nothing, get no gradient and cost nothing.
        reduction: as in :class:`ReweightedCrossEntropyLoss`.

    Shapes:
        hidden ``[..., D]``; item_embeddings ``[V, D]``; targets ``[...]`` int64 in ``0..V-1``;
        sample_weight ``[...]``, or None for ones; bias ``[V]`` or None. Returns a scalar, or
        ``[...]`` under ``none``.

    See :func:`atjt_ext.ops.linear_reweighted_cross_entropy` for gradients, dtypes, memory, edge
    cases and errors.
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
        super().__init__()
        _check(reduction, label_smoothing)
        check_temperature(temperature, torch.float64)
        if not 0 <= z_loss < math.inf:
            raise ValueError(f"z_loss must be finite and at least 0, got {z_loss}")
        self.temperature = temperature
        self.label_smoothing = label_smoothing
        self.z_loss = z_loss
        self.ignore_index = ignore_index
        self.reduction = reduction

    def extra_repr(self) -> str:
        return (
            f"temperature={self.temperature}, label_smoothing={self.label_smoothing}, "
            f"z_loss={self.z_loss}, ignore_index={self.ignore_index}, reduction={self.reduction!r}"
        )

    def forward(
        self,
        hidden: Tensor,
        item_embeddings: Tensor,
        targets: Tensor,
        sample_weight: Tensor | None = None,
        bias: Tensor | None = None,
    ) -> Tensor:
        return linear_reweighted_cross_entropy(
            hidden,
            item_embeddings,
            targets,
            sample_weight,
            bias=bias,
            temperature=self.temperature,
            label_smoothing=self.label_smoothing,
            z_loss=self.z_loss,
            ignore_index=self.ignore_index,
            reduction=self.reduction,
        )


class ReweightedBinaryCrossEntropyLoss(nn.Module):
    """Sigmoid cross-entropy with one weight per example; takes the place of
    ``nn.BCEWithLogitsLoss``.

    Args:
        label_smoothing: targets move this share of the way to 1/2, in ``[0, 1]``.
        reduction: ``weighted_mean`` (default) is ``sum(w_i * l_ic) / sum(w_i * C)``; ``mean``
            divides by the number of logits; ``sum``; ``none``.
        inplace_gradient: lets the backward pass write the gradient over the logits.

    Shapes:
        logits ``[N]`` or ``[N, C]``, say a positive and a negative item per row; targets of the
        same shape, bool or floating point; sample_weight ``[N]``, or None for ones. Returns a
        scalar, or the shape of the logits under ``none``.

    See :func:`atjt_ext.ops.reweighted_binary_cross_entropy` for gradients, dtypes, edge cases and
    errors.
    """

    def __init__(
        self,
        *,
        label_smoothing: float = 0.0,
        reduction: Reduction = "weighted_mean",
        inplace_gradient: bool = False,
    ) -> None:
        super().__init__()
        _check(reduction, label_smoothing)
        self.label_smoothing = label_smoothing
        self.reduction = reduction
        self.inplace_gradient = inplace_gradient

    def extra_repr(self) -> str:
        return (
            f"label_smoothing={self.label_smoothing}, reduction={self.reduction!r}, "
            f"inplace_gradient={self.inplace_gradient}"
        )

    def forward(
        self, logits: Tensor, targets: Tensor, sample_weight: Tensor | None = None
    ) -> Tensor:
        return reweighted_binary_cross_entropy(
            logits,
            targets,
            sample_weight,
            label_smoothing=self.label_smoothing,
            reduction=self.reduction,
            inplace_gradient=self.inplace_gradient,
        )


def _check(reduction: str, label_smoothing: float) -> None:
    if reduction not in ("none", "sum", "mean", "weighted_mean"):
        raise ValueError(f"reduction must be none, sum, mean or weighted_mean, got {reduction!r}")
    if not 0 <= label_smoothing <= 1:
        raise ValueError(f"label_smoothing must be in [0, 1], got {label_smoothing}")
