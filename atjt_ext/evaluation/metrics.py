"""Ranking metrics as functions of ranks, and their names. Importing this module imports no torch.

A rank is 1 for the best item. Ties count against the target: its rank is one more than the number
of other items that score at least as high, so a model with constant scores gets nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    import numpy.typing as npt
    from torch import Tensor

# Users' gains (float64) at the ranks of their one relevant item, for the cutoff k. A metric is the
# mean gain, where ranks beyond k gain 0. A line here adds a metric to results and to the options
# valid_metric and metric; SHOWN_METRICS chooses the metrics that tables and pages show by default.
_GAINS: dict[str, Callable[[Tensor, int], Tensor]] = {
    "HR": lambda rank, k: rank**0,
    "NDCG": lambda rank, k: 1.0 / (rank + 1.0).log2(),
    "MRR": lambda rank, k: 1.0 / rank,
}

RANKING_KS = (5, 10, 20)
RANKING_METRICS = tuple(f"{kind}@{k}" for k in RANKING_KS for kind in _GAINS)
SHOWN_METRICS = ("HR@5", "NDCG@5", "HR@10", "NDCG@10", "MRR@10", "HR@20", "NDCG@20")
"""Tables and pages of runs show these metrics and ``valid_metric``; files hold all metrics."""
SAMPLED_METRICS = ("AUC", "HR@5", "NDCG@5", "paper_HR@5", "paper_NDCG@5")
"""The metrics of the paper's protocol: :func:`atjt_ext.evaluation.sampled.sampled_evaluate`."""


def _gains(ranks: Tensor, kind: str, k: int) -> Tensor:
    return _GAINS[kind](ranks.double(), k).masked_fill(ranks > k, 0.0)


def hit_rate(ranks: Tensor, k: int) -> float:
    """HR@k: share of ``ranks [U]`` (1-based) that are at most k."""
    return float(_gains(ranks, "HR", k).mean())


def ndcg(ranks: Tensor, k: int) -> float:
    """NDCG@k of ``ranks [U]``: mean of ``1 / log2(rank + 1)``, 0 beyond rank k."""
    return float(_gains(ranks, "NDCG", k).mean())


def mrr(ranks: Tensor, k: int) -> float:
    """MRR@k of ``ranks [U]``: mean of ``1 / rank``, 0 beyond rank k."""
    return float(_gains(ranks, "MRR", k).mean())


def paper_hit_rate(ranks: Tensor, target_logits: Tensor, k: int) -> float:
    """HR@k as the code of arXiv:2409.17402 computes it: a hit also needs a positive prediction,
    ``target_logits [U]`` above 0. ``ranks [U]`` count ties for the target."""
    return float(((ranks <= k) & (target_logits > 0)).double().mean())


def paper_ndcg(ranks: Tensor, k: int) -> float:
    """NDCG@k as the code of arXiv:2409.17402 computes it: mean of ``1 / log2(rank + 2)`` (0 beyond
    rank k), divided by the sum of ``1 / log2(rank + 2)`` over ranks 1 to k.

    The formula discounts the first place too, and its ideal list holds k relevant items although
    there is one. At k = 5 the maximum is therefore 0.274. ``ranks [U]`` count ties for the target.
    """
    places = ranks.new_tensor(range(1, k + 1)).double()
    ideal = float((1.0 / (places + 2.0).log2()).sum())
    gains = 1.0 / (ranks.double() + 2.0).log2()
    return float(gains.masked_fill(ranks > k, 0.0).mean()) / ideal


def ranking_metrics(ranks: Tensor, ks: tuple[int, ...] = RANKING_KS) -> dict[str, float]:
    """All ranking metrics of ``ranks [U]``, one rank per user: ``{"HR@5": ..., "NDCG@5": ...}``.

    Raises:
        ValueError: ``ranks`` is empty or holds a rank below 1.
    """
    if ranks.numel() == 0:
        raise ValueError("ranks must not be empty")
    if int(ranks.min()) < 1:
        raise ValueError(f"ranks start at 1, got {int(ranks.min())}")
    return {f"{kind}@{k}": float(_gains(ranks, kind, k).mean()) for k in ks for kind in _GAINS}


def user_gains(ranks: npt.NDArray[np.integer[Any]], metric: str) -> npt.NDArray[np.float64]:
    """Each user's gain ``[U]``, float64: the mean of the gains is ``metric``, e.g. ``NDCG@10``.

    Raises:
        ValueError: ``metric`` is no name of a metric.
    """
    import torch  # here, so that the names of the metrics load without it

    kind, _, k = metric.partition("@")
    if kind not in _GAINS or not k.isdecimal():
        *names, last = (f"{name}@k" for name in _GAINS)
        raise ValueError(f"metric must be {', '.join(names)} or {last}, got {metric}")
    gains: npt.NDArray[np.float64] = _gains(
        torch.from_numpy(ranks.astype("float64")), kind, int(k)
    ).numpy()
    return gains
