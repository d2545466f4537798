"""JOINT LOSS: drop-in loss modules and the loss of the noise model."""

from __future__ import annotations

from typing import Literal

from torch import Tensor, nn
from torch.nn import functional as F

from .ops import reweighted_cross_entropy

__all__ = ["ReweightedCrossEntropyLoss", "noise_recognition_loss"]

Reduction = Literal["none", "sum", "mean", "weighted_mean"]


class ReweightedCrossEntropyLoss(nn.Module):
    """Softmax cross-entropy with one weight per example; takes the place of
    ``nn.CrossEntropyLoss``.

    Args:
        ignore_index: targets with this value add nothing and get no gradient.
        reduction: ``weighted_mean`` (default) is ``sum(w * l) / sum(w)``, the paper's normaliser;
            ``mean`` divides by the number of examples that are not ignored; ``sum``; ``none``.

    Shapes:
        logits ``[N, V]``; targets ``[N]`` int64 in ``0..V-1``; sample_weight ``[N]``, or None for
        ones. Returns a scalar, or ``[N]`` under ``none``.

    See :func:`atjt_ext.ops.reweighted_cross_entropy` for gradients, dtypes, edge cases and errors.
    """

    def __init__(self, *, ignore_index: int = -100, reduction: Reduction = "weighted_mean") -> None:
        super().__init__()
        if reduction not in ("none", "sum", "mean", "weighted_mean"):
            raise ValueError(
                f"reduction must be none, sum, mean or weighted_mean, got {reduction!r}"
            )
        self.ignore_index = ignore_index
        self.reduction = reduction

    def extra_repr(self) -> str:
        return f"ignore_index={self.ignore_index}, reduction={self.reduction!r}"

    def forward(
        self, logits: Tensor, targets: Tensor, sample_weight: Tensor | None = None
    ) -> Tensor:
        return reweighted_cross_entropy(
            logits,
            targets,
            sample_weight,
            ignore_index=self.ignore_index,
            reduction=self.reduction,
        )


def noise_recognition_loss(noise_logits: Tensor, replaced: Tensor) -> Tensor:
    """Binary cross-entropy of ``noise_logits [N]`` against ``replaced [N]`` bool (true = damaged).

    The auxiliary task of arXiv:2409.17402. The paper labels the untouched 1; the sign of the logit
    is the only difference. No examples: 0.
    """
    if noise_logits.numel() == 0:
        return noise_logits.sum()
    return F.binary_cross_entropy_with_logits(noise_logits, replaced.to(noise_logits.dtype))
