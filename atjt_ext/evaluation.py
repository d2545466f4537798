"""RECOMMEND, measured: full ranking, the paper's sampled protocol, and top-k lists."""

from __future__ import annotations

import torch
from torch import Tensor

from .data import Batch, EvaluationBatch, EvaluationSet
from .inference import inference
from .metrics import hit_rate, ndcg, ranking_metrics
from .protocols import Recommender
from .scoring import require_recommender, score_candidates, score_catalogue

__all__ = ["evaluate", "full_ranks", "sampled_evaluate", "top_k"]

# Scores held at once: 2**24 floats are 64 MiB, whatever the size of the catalogue.
_MAX_SCORES = 2**24


def _check(recommender: Recommender, data: EvaluationSet) -> None:
    require_recommender(recommender)
    if not len(data):
        raise ValueError("data must hold at least one user, got none")
    if recommender.num_items != data.histories.num_items:
        raise ValueError(
            f"the recommender knows {recommender.num_items} items, "
            f"the evaluation set has {data.histories.num_items}"
        )


def _users_at_once(num_items: int) -> int:
    return max(1, min(1024, _MAX_SCORES // num_items))


def _as_batch(batch: EvaluationBatch) -> Batch:
    return Batch(
        rows=torch.full_like(batch.users, -1),
        users=batch.users,
        sequences=torch.cat([batch.inputs, batch.targets[:, None]], dim=1),
    )


def full_ranks(
    recommender: Recommender,
    data: EvaluationSet,
    *,
    max_length: int = 50,
    exclude_seen: bool = True,
) -> Tensor:
    """The rank of every user's target among all items: ``[U]`` int64 on the CPU, 1 is best.

    Ties, and scores that are NaN, count against the target. Seen items (the whole history, not only
    the part that the model reads) are no competitors when ``exclude_seen``.

    Raises:
        ValueError: no users, or recommender and data disagree about the catalogue.
    """
    _check(recommender, data)
    ranks = []
    with inference(recommender):
        for batch in data.batches(_users_at_once(recommender.num_items), max_length):
            scores = score_catalogue(recommender, _as_batch(batch))
            target_columns = batch.targets[:, None] - 1
            target_scores = scores.gather(1, target_columns)
            if exclude_seen:
                scores[batch.seen_rows, batch.seen_items - 1] = -torch.inf
                # A user may come back to a seen item; then it competes as target.
                scores.scatter_(1, target_columns, target_scores)
            # Not "better than": ties and NaN must not flatter. The target counts itself once.
            ranks.append((~(scores < target_scores)).sum(dim=1).cpu())
    return torch.cat(ranks)


def evaluate(
    recommender: Recommender,
    data: EvaluationSet,
    *,
    max_length: int = 50,
    ks: tuple[int, ...] = (5, 10, 20),
    exclude_seen: bool = True,
) -> dict[str, float]:
    """Full-ranking HR, NDCG and MRR at ``ks``: every user's target against the whole catalogue."""
    ranks = full_ranks(recommender, data, max_length=max_length, exclude_seen=exclude_seen)
    return ranking_metrics(ranks, ks)


def sampled_evaluate(
    recommender: Recommender,
    data: EvaluationSet,
    popularity: Tensor,
    *,
    num_negatives: int = 63,
    popularity_power: float = 0.75,
    max_length: int = 50,
    seed: int = 0,
) -> dict[str, float]:
    """The paper's protocol: the target against sampled negatives. Not comparable with full ranking.

    Negatives are drawn with replacement in proportion to ``popularity ** popularity_power``, never
    the target; seen items may be among them, as in the paper's code.

    Args:
        popularity: ``[num_items]``, how often each item occurs in training; column v is item v + 1.

    Returns:
        ``AUC`` (share of negatives below the target, ties half), ``HR@5`` and ``NDCG@5``, in their
        standard definitions.
    """
    _check(recommender, data)
    if popularity.shape != (recommender.num_items,):
        raise ValueError(
            f"popularity must be [{recommender.num_items}], got {list(popularity.shape)}"
        )
    mass = popularity.double().cpu() ** popularity_power
    if int((mass > 0).sum()) < 2:
        raise ValueError("popularity must be positive for at least two items")
    until = mass.cumsum(0)
    generator = torch.Generator().manual_seed(seed)
    areas, ranks = [], []
    with inference(recommender):
        for batch in data.batches(256, max_length):
            targets = batch.targets.cpu()
            # Inverse of the cumulative mass, with the target's own stretch cut out.
            own = mass[targets - 1][:, None]
            before = until[targets - 1][:, None] - own
            drawn = torch.rand(
                len(targets), num_negatives, dtype=torch.float64, generator=generator
            ) * (until[-1] - own)
            drawn = torch.where(drawn >= before, drawn + own, drawn)
            negatives = 1 + torch.searchsorted(until, drawn, right=True).clamp(max=len(mass) - 1)
            candidates = torch.cat([targets[:, None], negatives], dim=1).to(batch.targets.device)
            scores = score_candidates(recommender, _as_batch(batch), candidates).cpu()
            below = scores[:, 1:] < scores[:, :1]
            ties = scores[:, 1:] == scores[:, :1]
            areas.append((below.double() + 0.5 * ties.double()).mean(dim=1))
            ranks.append(1 + (~below).sum(dim=1))
    rank = torch.cat(ranks)
    return {
        "AUC": float(torch.cat(areas).mean()),
        "HR@5": hit_rate(rank, 5),
        "NDCG@5": ndcg(rank, 5),
    }


def top_k(
    recommender: Recommender,
    data: EvaluationSet,
    *,
    k: int = 10,
    max_length: int = 50,
    exclude_seen: bool = True,
) -> tuple[Tensor, Tensor]:
    """The k best items after each history: item codes ``[U, k]`` int64 and scores ``[U, k]``, best
    first.

    ``data.targets`` are not looked at. Where fewer than k items are unseen, seen ones fill the list
    with a score of ``-inf``.

    Raises:
        ValueError: ``k`` is not in ``1..num_items``.
    """
    _check(recommender, data)
    if not 1 <= k <= recommender.num_items:
        raise ValueError(f"k must be in 1..{recommender.num_items} (the items), got {k}")
    items, best = [], []
    with inference(recommender):
        for batch in data.batches(_users_at_once(recommender.num_items), max_length):
            scores = score_catalogue(recommender, _as_batch(batch))
            if exclude_seen:
                scores[batch.seen_rows, batch.seen_items - 1] = -torch.inf
            values, columns = scores.topk(k, dim=1)
            items.append(columns.cpu() + 1)
            best.append(values.cpu())
    return torch.cat(items), torch.cat(best)
