"""RECOMMEND, measured as in the paper: the target against sampled negatives."""

from __future__ import annotations

import torch
from torch import Tensor

from ..data import EvaluationBatch, EvaluationSet
from ..models.inference import inference
from ..models.protocols import Recommender
from ..models.scoring import require_input_weight, score_candidates
from .metrics import hit_rate, ndcg, paper_hit_rate, paper_ndcg
from .ranking import as_batch, require_same_catalogue

__all__ = ["sampled_evaluate"]

# Users whose negatives are drawn together: at most so many, and as many as these cells of [B, V]
# hold. Drawing costs less than the full ranking of the same users.
_MAX_USERS = 256
_MAX_CELLS = 2**23


def sampled_evaluate(
    recommender: Recommender,
    data: EvaluationSet,
    popularity: Tensor,
    *,
    num_negatives: int = 63,
    popularity_power: float = 0.75,
    max_length: int = 50,
    seed: int = 0,
    weigh_inputs: bool = False,
) -> dict[str, float]:
    """The paper's protocol: the target against sampled negatives. Not comparable with full ranking.

    Negatives are drawn with replacement in proportion to ``popularity ** popularity_power``, among
    items that the user has nowhere. With ``weigh_inputs`` the model reads the histories under their
    ``weights``, where they have any.

    Args:
        popularity: ``[num_items]``, how often each item occurs in training; column v is item v + 1.

    Returns:
        ``AUC`` (share of negatives below the target, ties half), ``HR@5`` and ``NDCG@5`` in their
        standard definitions, and ``paper_HR@5`` and ``paper_NDCG@5`` in those of the paper's code
        (:func:`~atjt_ext.evaluation.metrics.paper_hit_rate`,
        :func:`~atjt_ext.evaluation.metrics.paper_ndcg`).

    Raises:
        ValueError: no users, recommender and data disagree about the catalogue, or a user for whom
            there is nothing to draw. TypeError: ``weigh_inputs`` and the recommender takes no input
            weights.
    """
    require_same_catalogue(recommender, data)
    if weigh_inputs:
        require_input_weight(recommender)
    if popularity.shape != (recommender.num_items,):
        raise ValueError(
            f"popularity must be [{recommender.num_items}], got {list(popularity.shape)}"
        )
    mass = popularity.double().cpu() ** popularity_power
    generator = torch.Generator().manual_seed(seed)
    users = min(_MAX_USERS, max(1, _MAX_CELLS // recommender.num_items))
    scores = []
    with inference(recommender):
        for batch in data.batches(users, max_length):
            negatives = _negatives(batch, mass, num_negatives, generator)
            candidates = torch.cat([batch.targets[:, None].cpu(), negatives], dim=1)
            candidates = candidates.to(batch.targets.device)
            scores.append(
                score_candidates(recommender, as_batch(batch, weigh_inputs), candidates).cpu()
            )
    return _metrics(torch.cat(scores))


def _negatives(
    batch: EvaluationBatch, mass: Tensor, num_negatives: int, generator: torch.Generator
) -> Tensor:
    """``[B, num_negatives]`` items in proportion to ``mass [num_items]``, none that the row's user
    has."""
    allowed = mass.repeat(len(batch.users), 1)
    allowed[batch.seen_rows.cpu(), batch.seen_items.cpu() - 1] = 0.0
    allowed.scatter_(1, batch.targets.cpu()[:, None] - 1, 0.0)
    until = allowed.cumsum(1)
    total = until[:, -1:]
    if not bool((total > 0).all()):
        user = int(batch.users[int((total <= 0).flatten().nonzero()[0])])
        raise ValueError(
            "popularity must be positive for an item that the user has not, "
            f"it is for none of those of user {user}"
        )
    size = (len(batch.users), num_negatives)
    drawn = torch.rand(size, dtype=torch.float64, generator=generator) * total
    # Never past the end, where a product rounds up to the total: the last item that may be drawn.
    last = (until < total).sum(dim=1, keepdim=True)
    return 1 + torch.minimum(torch.searchsorted(until, drawn, right=True), last)


def _metrics(scores: Tensor) -> dict[str, float]:
    """Of logits ``[U, 1 + num_negatives]``, the target's first."""
    target, others = scores[:, :1], scores[:, 1:]
    below, ties = others < target, others == target
    rank = 1 + (~below).sum(dim=1)
    # Of equal scores the paper's code puts the first before the others, and that is the target.
    lenient_rank = 1 + (others > target).sum(dim=1)
    return {
        "AUC": float((below.double() + 0.5 * ties.double()).mean()),
        "HR@5": hit_rate(rank, 5),
        "NDCG@5": ndcg(rank, 5),
        "paper_HR@5": paper_hit_rate(lenient_rank, target[:, 0], 5),
        "paper_NDCG@5": paper_ndcg(lenient_rank, 5),
    }
