"""JOINT LOSS over sampled items: drop-in modules for large catalogues."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from . import Reduction, gbce_beta, sampled_binary_cross_entropy, sampled_cross_entropy
from ._row_losses import check_temperature

__all__ = ["SampledBinaryCrossEntropyLoss", "SampledCrossEntropyLoss"]


class _SampledLoss(nn.Module):
    """The options that both have."""

    def __init__(
        self,
        mask_accidental_hits: bool,
        temperature: float,
        ignore_index: int,
        reduction: Reduction,
        sparse_gradient: bool,
    ) -> None:
        super().__init__()
        if reduction not in ("none", "sum", "mean", "weighted_mean"):
            raise ValueError(
                f"reduction must be none, sum, mean or weighted_mean, got {reduction!r}"
            )
        check_temperature(temperature, torch.float64)
        self.mask_accidental_hits = mask_accidental_hits
        self.temperature = temperature
        self.ignore_index = ignore_index
        self.reduction = reduction
        self.sparse_gradient = sparse_gradient

    def extra_repr(self) -> str:
        return (
            f"mask_accidental_hits={self.mask_accidental_hits}, temperature={self.temperature}, "
            f"ignore_index={self.ignore_index}, reduction={self.reduction!r}, "
            f"sparse_gradient={self.sparse_gradient}"
        )


class SampledCrossEntropyLoss(_SampledLoss):
    """Softmax cross-entropy over the target and sampled negatives, with one weight per example.

    Args:
        mask_accidental_hits: leaves out negatives that are the row's target.
        temperature: scores are divided by it.
        ignore_index: targets with this value add nothing and get no gradient.
        reduction: ``weighted_mean`` (default) is ``sum(w * l) / sum(w)``; ``mean`` divides by the
            number of examples that are not ignored; ``sum``; ``none``.
        sparse_gradient: the gradient of the item embeddings is sparse.

    Shapes:
        hidden ``[N, D]``; item_embeddings ``[V, D]``; targets ``[N]`` int64 in ``0..V-1``;
        negatives ``[N, k]``, or ``[k]`` shared by all; sample_weight ``[N]``, or None for ones;
        negative_log_probs: for the logQ correction, of the negatives' shape, ``[k]`` or a number.
        Returns a scalar, or ``[N]`` under ``none``.

    See :func:`atjt_ext.ops.sampled_cross_entropy` for the formula, dtypes, edge cases and errors.
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
            mask_accidental_hits, temperature, ignore_index, reduction, sparse_gradient
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
            mask_accidental_hits=self.mask_accidental_hits,
            temperature=self.temperature,
            ignore_index=self.ignore_index,
            reduction=self.reduction,
            sparse_gradient=self.sparse_gradient,
        )


class SampledBinaryCrossEntropyLoss(_SampledLoss):
    """Binary cross-entropy of the target and sampled negatives, with one weight per example.

    Args:
        beta: power of the positive probability: 1 (default) is plain BCE, below it is gBCE.
        t: instead of ``beta``, how far gBCE calibrates, in ``[0, 1]``; together with ``num_items``
            and the number of negatives it gives ``beta`` (arXiv:2308.07192).
        num_items: of the catalogue, without padding; for ``t``.
        mask_accidental_hits: leaves out negatives that are the row's target.
        temperature: scores are divided by it.
        ignore_index: targets with this value add nothing and get no gradient.
        reduction: ``weighted_mean`` (default) is ``sum(w * l) / sum(w)``; ``mean`` divides by the
            number of examples that are not ignored; ``sum``; ``none``.
        sparse_gradient: the gradient of the item embeddings is sparse.

    Shapes:
        hidden ``[N, D]``; item_embeddings ``[V, D]``; targets ``[N]`` int64 in ``0..V-1``;
        negatives ``[N, k]``, or ``[k]`` shared by all; sample_weight ``[N]``, or None for ones.
        Returns a scalar, or ``[N]`` under ``none``.

    See :func:`atjt_ext.ops.sampled_binary_cross_entropy` for the formula, dtypes, edge cases and
    errors.
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
        super().__init__(
            mask_accidental_hits, temperature, ignore_index, reduction, sparse_gradient
        )
        if not 0 < beta < float("inf"):
            raise ValueError(f"beta must be positive and finite, got {beta}")
        if (t is None) != (num_items is None):
            raise ValueError(f"t and num_items go together, got t={t}, num_items={num_items}")
        if t is not None and beta != 1.0:
            raise ValueError(f"at most one of beta and t may be given, got beta={beta}, t={t}")
        if t is not None and not 0 <= t <= 1:
            raise ValueError(f"t must be in [0, 1], got {t}")
        self.beta, self.t, self.num_items = beta, t, num_items

    def extra_repr(self) -> str:
        power = f"beta={self.beta}" if self.t is None else f"t={self.t}, num_items={self.num_items}"
        return f"{power}, {super().extra_repr()}"

    def forward(
        self,
        hidden: Tensor,
        item_embeddings: Tensor,
        targets: Tensor,
        negatives: Tensor,
        sample_weight: Tensor | None = None,
    ) -> Tensor:
        beta = self.beta
        if self.t is not None and self.num_items is not None:
            beta = gbce_beta(self.t, negatives.shape[-1], self.num_items)
        return sampled_binary_cross_entropy(
            hidden,
            item_embeddings,
            targets,
            negatives,
            sample_weight,
            beta=beta,
            mask_accidental_hits=self.mask_accidental_hits,
            temperature=self.temperature,
            ignore_index=self.ignore_index,
            reduction=self.reduction,
            sparse_gradient=self.sparse_gradient,
        )
