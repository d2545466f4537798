"""Losses over rows of logits, a whole catalogue or sampled items, in plain torch."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def reweighted_cross_entropy(
    logits: Tensor,
    targets: Tensor,
    sample_weight: Tensor | None = None,
    *,
    ignore_index: int = -100,
    label_smoothing: float = 0.0,
    reduction: str = "mean",
) -> Tensor:
    """The definition of :func:`atjt_ext.ops.reweighted_cross_entropy`."""
    kept = targets != ignore_index
    losses = torch.nn.functional.cross_entropy(
        logits,
        targets,
        ignore_index=ignore_index,
        label_smoothing=label_smoothing,
        reduction="none",
    )
    return _reduced_kept(losses, kept, sample_weight, reduction)


def linear_reweighted_cross_entropy(
    hidden: Tensor,
    item_embeddings: Tensor,
    targets: Tensor,
    sample_weight: Tensor | None = None,
    *,
    bias: Tensor | None = None,
    temperature: float = 1.0,
    label_smoothing: float = 0.0,
    z_loss: float = 0.0,
    ignore_index: int = -100,
    reduction: str = "mean",
    return_lse: bool = False,
) -> Tensor | tuple[Tensor, Tensor]:
    """The definition of :func:`atjt_ext.ops.linear_reweighted_cross_entropy`."""
    kept = targets != ignore_index
    logits = hidden @ item_embeddings.T
    if bias is not None:
        logits = logits + bias
    logits = logits / temperature
    lse = torch.where(kept, logits.logsumexp(-1), 0)
    at_target = logits.gather(-1, torch.where(kept, targets, 0)[..., None])[..., 0]
    losses = lse - at_target
    if label_smoothing:
        losses = (1 - label_smoothing) * losses + label_smoothing * (lse - logits.mean(-1))
    loss = _reduced_kept(losses + z_loss * lse**2, kept, sample_weight, reduction)
    return (loss, lse) if return_lse else loss


def reweighted_binary_cross_entropy(
    logits: Tensor,
    targets: Tensor,
    sample_weight: Tensor | None = None,
    *,
    label_smoothing: float = 0.0,
    reduction: str = "mean",
) -> Tensor:
    """The definition of :func:`atjt_ext.ops.reweighted_binary_cross_entropy`."""
    targets = (1 - label_smoothing) * targets.to(logits.dtype) + label_smoothing / 2
    losses = torch.nn.functional.binary_cross_entropy_with_logits(logits, targets, reduction="none")
    weight = torch.ones_like(logits)
    if sample_weight is not None:
        weight = sample_weight.reshape(-1, *[1] * (logits.dim() - 1)).expand(logits.shape)
    return _reduced(losses, weight, logits.numel(), reduction)


def candidate_scores(
    hidden: Tensor, item_embeddings: Tensor, candidates: Tensor, *, ignore_index: int = -100
) -> Tensor:
    """The definition of :func:`atjt_ext.ops.candidate_scores`."""
    ignored = candidates == ignore_index
    gathered = item_embeddings[candidates.masked_fill(ignored, 0)]
    return torch.einsum("nd,ncd->nc", hidden, gathered).masked_fill(ignored, 0)


def _sampled_scores(
    hidden: Tensor,
    item_embeddings: Tensor,
    targets: Tensor,
    negatives: Tensor,
    mask_accidental_hits: bool,
    temperature: float,
    ignore_index: int,
) -> tuple[Tensor, Tensor, Tensor]:
    """Scores of the targets and the negatives, and which negatives count."""
    if negatives.dim() == 1:
        negatives = negatives.expand(len(hidden), -1)
    options = {"ignore_index": ignore_index}
    positive = candidate_scores(hidden, item_embeddings, targets[:, None], **options)[:, 0]
    negative = candidate_scores(hidden, item_embeddings, negatives, **options)
    counts = negatives != ignore_index
    if mask_accidental_hits:
        counts = counts & (negatives != targets[:, None])
    return positive / temperature, negative / temperature, counts


def sampled_cross_entropy(
    hidden: Tensor,
    item_embeddings: Tensor,
    targets: Tensor,
    negatives: Tensor,
    sample_weight: Tensor | None = None,
    *,
    negative_log_probs: Tensor | float | None = None,
    mask_accidental_hits: bool = True,
    temperature: float = 1.0,
    ignore_index: int = -100,
    reduction: str = "mean",
) -> Tensor:
    """The definition of :func:`atjt_ext.ops.sampled_cross_entropy`."""
    scored = (hidden, item_embeddings, targets, negatives)
    positive, negative, counts = _sampled_scores(
        *scored, mask_accidental_hits, temperature, ignore_index
    )
    if negative_log_probs is not None:
        negative = negative - negative_log_probs - math.log(negatives.shape[-1])
    negative = torch.where(counts, negative, -torch.inf)
    losses = torch.logsumexp(torch.cat([positive[:, None], negative], dim=1), dim=1) - positive
    return _reduced_kept(losses, targets != ignore_index, sample_weight, reduction)


def sampled_binary_cross_entropy(
    hidden: Tensor,
    item_embeddings: Tensor,
    targets: Tensor,
    negatives: Tensor,
    sample_weight: Tensor | None = None,
    *,
    beta: float = 1.0,
    mask_accidental_hits: bool = True,
    temperature: float = 1.0,
    ignore_index: int = -100,
    reduction: str = "mean",
) -> Tensor:
    """The definition of :func:`atjt_ext.ops.sampled_binary_cross_entropy`."""
    scored = (hidden, item_embeddings, targets, negatives)
    positive, negative, counts = _sampled_scores(
        *scored, mask_accidental_hits, temperature, ignore_index
    )
    logsigmoid = torch.nn.functional.logsigmoid
    losses = -beta * logsigmoid(positive) - torch.where(counts, logsigmoid(-negative), 0).sum(dim=1)
    losses = losses / (1 + negatives.shape[-1])
    return _reduced_kept(losses, targets != ignore_index, sample_weight, reduction)


def _reduced_kept(
    losses: Tensor, kept: Tensor, sample_weight: Tensor | None, reduction: str
) -> Tensor:
    weight = torch.ones_like(losses) if sample_weight is None else sample_weight
    weight = torch.where(kept, weight, 0)
    return _reduced(torch.where(kept, losses, 0), weight, kept.sum(), reduction)


def _reduced(losses: Tensor, weight: Tensor, number: Tensor | int, reduction: str) -> Tensor:
    if reduction == "weighted_mean" and weight.any():
        weight = weight / weight.detach().abs().amax()  # the sum may be beyond the dtype
    # A row of weight 0 does not count, even if its loss is infinite.
    weighted = weight * torch.where((weight == 0) & ~losses.isfinite(), 0, losses)
    if reduction == "none":
        return weighted
    total = weighted.sum()
    if reduction == "sum":
        return total
    divisor = number if reduction == "mean" else weight.sum()
    return total / divisor if divisor != 0 else 0 * total
