"""Ranking metrics as pure functions of ranks, and the AUC.

A rank is 1 for the best item. Ties count against the target: its rank is one more than the number
of other items that score at least as high, so a model that scores everything alike gets nothing.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

__all__ = [
    "RANKING_KS",
    "RANKING_METRICS",
    "hit_rate",
    "mrr",
    "ndcg",
    "paper_hit_rate",
    "paper_ndcg",
    "ranking_metrics",
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


RANKING_KS = (5, 10, 20)


RANKING_METRICS = tuple(f"{kind}@{k}" for k in RANKING_KS for kind in ("HR", "NDCG", "MRR"))
