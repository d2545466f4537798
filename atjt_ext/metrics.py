"""Ranking metrics as pure functions of ranks, and the AUC.

A rank is 1 for the best item. Ties count against the target: its rank is one more than the number
of other items that score at least as high, so a model that scores everything alike gets nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

__all__ = [
    "auc",
    "equal_strata",
    "hit_rate",
    "mean_of_known",
    "mrr",
    "ndcg",
    "paper_hit_rate",
    "paper_ndcg",
    "ranking_metrics",
    "roc_curve",
    "stratified_auc",
    "user_gains",
]


def hit_rate(ranks: Tensor, k: int) -> float:
    """HR@k: share of ``ranks [U]`` (1-based) that are at most k."""
    return float((ranks <= k).double().mean())


def ndcg(ranks: Tensor, k: int) -> float:
    """NDCG@k with one relevant item: mean of ``1 / log2(rank + 1)`` where rank <= k, else 0."""
    gains = 1.0 / torch.log2(ranks.double() + 1.0)
    return float(torch.where(ranks <= k, gains, 0.0).mean())


def mrr(ranks: Tensor, k: int) -> float:
    """MRR@k: mean of ``1 / rank`` where rank <= k, else 0."""
    return float(torch.where(ranks <= k, 1.0 / ranks.double(), 0.0).mean())


def paper_hit_rate(ranks: Tensor, target_logits: Tensor, k: int) -> float:
    """HR@k as the code of arXiv:2409.17402 has it: a hit must also be predicted to be one.

    Args:
        ranks: ``[U]``, in which ties count for the target.
        target_logits: ``[U]``; a probability above one half is a logit above zero.
        k: how far down the list.
    """
    return float(((ranks <= k) & (target_logits > 0)).double().mean())


def paper_ndcg(ranks: Tensor, k: int) -> float:
    """NDCG@k as the code of arXiv:2409.17402 has it: mean of ``1 / log2(rank + 2)`` where ``ranks
    [U]`` (in which ties count for the target) are at most k, over the sum of that for ranks 1 to k.

    The first place is discounted, and the ideal list holds k relevant items where there is one: at
    k = 5 nobody gets more than 0.274.
    """
    ideal = float((1.0 / torch.log2(torch.arange(1, k + 1, dtype=torch.float64) + 2.0)).sum())
    gains = 1.0 / torch.log2(ranks.double() + 2.0)
    return float(torch.where(ranks <= k, gains, 0.0).mean()) / ideal


def ranking_metrics(ranks: Tensor, ks: tuple[int, ...] = (5, 10, 20)) -> dict[str, float]:
    """``{"HR@5": ..., "NDCG@5": ..., "MRR@5": ..., "HR@10": ...}`` of ``ranks [U]``, one per user.

    Raises:
        ValueError: no ranks, or a rank below 1.
    """
    if ranks.numel() == 0:
        raise ValueError("ranks must not be empty")
    if int(ranks.min()) < 1:
        raise ValueError(f"ranks start at 1, got {int(ranks.min())}")
    metrics = {}
    for k in ks:
        metrics[f"HR@{k}"] = hit_rate(ranks, k)
        metrics[f"NDCG@{k}"] = ndcg(ranks, k)
        metrics[f"MRR@{k}"] = mrr(ranks, k)
    return metrics


def user_gains(ranks: npt.NDArray[np.integer[Any]], metric: str) -> npt.NDArray[np.float64]:
    """What each user's rank adds to HR@k, NDCG@k or MRR@k: ``[U]``, whose mean is the metric."""
    kind, _, k = metric.partition("@")
    rank = ranks.astype(np.float64)
    gains = {"HR": np.ones_like(rank), "NDCG": 1.0 / np.log2(rank + 1.0), "MRR": 1.0 / rank}
    if kind not in gains or not k.isdecimal():
        raise ValueError(f"metric must be HR@k, NDCG@k or MRR@k, got {metric}")
    return np.where(rank <= int(k), gains[kind], 0.0)


def auc(scores: Tensor, labels: Tensor) -> float | None:
    """Area under the ROC curve: P(score of a true label > score of a false one), ties counting
    half.

    Args:
        scores: ``[N]`` floating.
        labels: ``[N]`` bool.

    Returns:
        The area, or None where one of the classes is empty and so there is none.
    """
    if scores.shape != labels.shape or scores.dim() != 1:
        raise ValueError(
            f"scores and labels must both be [N], got {list(scores.shape)} and {list(labels.shape)}"
        )
    positives = int(labels.sum())
    negatives = labels.numel() - positives
    if not positives or not negatives:
        return None
    _, inverse, counts = torch.unique(scores.double(), return_inverse=True, return_counts=True)
    # Mid-ranks (1-based) make a tie count half.
    last = counts.cumsum(0).double()
    midrank = last - (counts.double() - 1.0) / 2.0
    rank_sum = float(midrank[inverse][labels].sum())
    return (rank_sum - positives * (positives + 1) / 2.0) / (positives * negatives)


def stratified_auc(scores: Tensor, labels: Tensor, strata: Tensor) -> float | None:
    """The AUC among pairs of one stratum: what ``scores [N]`` know beyond ``strata [N]``.

    The strata's AUCs, weighed by their numbers of pairs (true, false). None where no stratum holds
    both kinds.
    """
    total, pairs = 0.0, 0
    for stratum in strata.unique():
        inside = strata == stratum
        area = auc(scores[inside], labels[inside])
        if area is not None:
            count = int(labels[inside].sum()) * int((~labels[inside]).sum())
            total += area * count
            pairs += count
    return total / pairs if pairs else None


def equal_strata(values: Tensor, count: int) -> Tensor:
    """Which of at most ``count`` strata of about equal size each of ``values [N]`` falls into:
    ``[N]`` int64. Equal values are of one stratum, so there may be fewer."""
    cuts = torch.arange(1, count) * (len(values) - 1) // count
    return torch.searchsorted(values.sort().values[cuts].unique(), values)


def mean_of_known(values: Iterable[float | None]) -> float | None:
    """Mean of what is not None; None where nothing is known."""
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def roc_curve(scores: Tensor, labels: Tensor) -> tuple[list[float], list[float]]:
    """False and true positive rates as the threshold falls through the distinct scores.

    Args:
        scores: ``[N]`` floating.
        labels: ``[N]`` bool.

    Returns:
        Two lists from 0 to 1, one longer than there are distinct scores; all 0 where one of the
        classes is empty.
    """
    thresholds, inverse = torch.unique(-scores.double(), return_inverse=True)
    # In float64: float32 counts no further than 2**24.
    zeros = torch.zeros(len(thresholds), dtype=torch.float64)
    found = zeros.index_add(0, inverse, labels.double()).cumsum(0)
    flagged = zeros.index_add(0, inverse, (~labels).double()).cumsum(0)
    rates = [counts / counts[-1].clamp(min=1) for counts in (flagged, found)]
    return [0.0, *rates[0].tolist()], [0.0, *rates[1].tolist()]
