"""The recommender's weighted loss, for either protocol and either loss."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from .data import Batch
from .ops import reweighted_cross_entropy
from .protocols import Recommender, SequenceRecommender

__all__ = ["recommender_loss"]


def recommender_loss(
    recommender: Recommender,
    batch: Batch,
    sample_weight: Tensor,
    *,
    loss: Literal["cross_entropy", "binary_cross_entropy"],
    num_negatives: int,
) -> Tensor:
    """``sum_i w_i * loss_i / sum_i w_i`` over the batch's targets (arXiv:2409.17402, the joint
    loss).

    A sequence recommender predicts every item that has a predecessor, a pointwise one the last
    item.

    Args:
        sample_weight: ``[B]`` (one weight per sequence) or ``[B, W]`` (one per position of
            ``batch.sequences``; a target takes its own position's).
        loss: softmax over the catalogue, or each positive against ``num_negatives`` uniform
            negatives.

    Returns:
        Scalar; 0 where all weights are 0.
    """
    if not isinstance(recommender, SequenceRecommender):
        targets = batch.targets[:, -1]
        weights = sample_weight if sample_weight.dim() == 1 else sample_weight[:, -1]
        if loss == "cross_entropy":
            everything = torch.arange(1, recommender.num_items + 1, device=targets.device)
            logits = recommender.score(batch, everything.expand(len(batch), -1))
            return _softmax_loss(logits, targets, weights)
        candidates = _with_negatives(targets, recommender.num_items, num_negatives)
        return _binary_loss(recommender.score(batch, candidates), weights)

    # Only valid positions go on: padding is most of the grid.
    valid = batch.is_target
    hidden = recommender.encode(batch.inputs)[valid]
    targets = batch.targets[valid]
    weights = (
        sample_weight[valid.nonzero()[:, 0]]
        if sample_weight.dim() == 1
        else sample_weight[:, 1:][valid]
    )
    table = recommender.item_table()
    if loss == "cross_entropy":
        return _softmax_loss(hidden @ table[1:].T, targets, weights)
    candidates = _with_negatives(targets, recommender.num_items, num_negatives)
    return _binary_loss(torch.einsum("nd,ncd->nc", hidden, table[candidates]), weights)


def _softmax_loss(logits: Tensor, targets: Tensor, weights: Tensor) -> Tensor:
    # Column v of the logits is item v + 1: padding is no class.
    return reweighted_cross_entropy(logits, targets - 1, weights, reduction="weighted_mean")


def _with_negatives(targets: Tensor, num_items: int, num_negatives: int) -> Tensor:
    """``[N, 1 + num_negatives]``: the target, then uniform items other than it."""
    if num_items < 2:
        raise ValueError("binary_cross_entropy needs at least two items to draw a negative from")
    drawn = torch.randint(1, num_items, (len(targets), num_negatives), device=targets.device)
    return torch.cat([targets[:, None], drawn + (drawn >= targets[:, None])], dim=1)


def _binary_loss(logits: Tensor, weights: Tensor) -> Tensor:
    """Column 0 positive, the others negative; one weight for all of a row, as in the paper."""
    labels = torch.zeros_like(logits)
    labels[:, 0] = 1.0
    losses = F.binary_cross_entropy_with_logits(logits, labels, reduction="none").mean(dim=1)
    total = weights.sum()
    nothing_counts = total == 0
    # The outer where makes the weights' gradient 0 too, the inner one keeps 0 / 0 out of it.
    mean = (weights * losses).sum() / torch.where(nothing_counts, 1.0, total)
    return torch.where(nothing_counts, 0.0, mean)
