"""Ranks and best items over a whole catalogue, in plain torch."""

from __future__ import annotations

import torch
from torch import Tensor


def _catalogue_scores(
    hidden: Tensor,
    item_embeddings: Tensor,
    bias: Tensor | None,
    exclude_rows: Tensor | None,
    exclude_items: Tensor | None,
) -> tuple[Tensor, Tensor]:
    """Scores ``[N, V]`` in float64, and a mask of the excluded pairs."""
    scores = hidden.double() @ item_embeddings.double().T
    if bias is not None:
        scores = scores + bias.double()
    excluded = torch.zeros_like(scores, dtype=torch.bool)
    if exclude_rows is not None and exclude_items is not None:
        excluded[exclude_rows, exclude_items] = True
    return scores, excluded


def target_ranks(
    hidden: Tensor,
    item_embeddings: Tensor,
    targets: Tensor,
    *,
    bias: Tensor | None = None,
    exclude_rows: Tensor | None = None,
    exclude_items: Tensor | None = None,
) -> Tensor:
    """The definition of :func:`atjt_ext.ops.target_ranks`, for scores that are exact in its
    dtype."""
    scores, excluded = _catalogue_scores(hidden, item_embeddings, bias, exclude_rows, exclude_items)
    own = scores.gather(1, targets[:, None])
    competes = ~excluded
    competes.scatter_(1, targets[:, None], True)
    competes |= own.isnan()
    return (competes & ~(scores < own)).sum(dim=1)


def top_k(
    hidden: Tensor,
    item_embeddings: Tensor,
    k: int,
    *,
    bias: Tensor | None = None,
    exclude_rows: Tensor | None = None,
    exclude_items: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """The definition of :func:`atjt_ext.ops.top_k`, in float64."""
    scores, excluded = _catalogue_scores(hidden, item_embeddings, bias, exclude_rows, exclude_items)
    scores = scores.masked_fill(excluded, -torch.inf)
    values, items = scores.sort(dim=1, descending=True, stable=True)
    return values[:, :k], items[:, :k]
