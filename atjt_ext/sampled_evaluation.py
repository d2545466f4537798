"""RECOMMEND, measured as in the paper: the target against sampled negatives."""

from __future__ import annotations

import torch
from torch import Tensor

from .data import EvaluationSet
from .evaluation import as_batch, require_same_catalogue
from .inference import inference
from .metrics import hit_rate, ndcg, paper_hit_rate, paper_ndcg
from .protocols import Recommender
from .scoring import require_input_weight, score_candidates

__all__ = ["sampled_evaluate"]


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

    Negatives are drawn with replacement in proportion to ``popularity ** popularity_power``, never
    the target; seen items may be among them, as in the paper's code. With ``weigh_inputs`` the
    model reads the histories under their ``weights``, where they have any.

    Args:
        popularity: ``[num_items]``, how often each item occurs in training; column v is item v + 1.

    Returns:
        ``AUC`` (share of negatives below the target, ties half), ``HR@5`` and ``NDCG@5`` in their
        standard definitions, and ``paper_HR@5`` and ``paper_NDCG@5`` in those of the paper's code
        (:func:`atjt_ext.metrics.paper_hit_rate`, :func:`atjt_ext.metrics.paper_ndcg`).

    Raises:
        ValueError: no users, recommender and data disagree about the catalogue, or there is nothing
            to draw. TypeError: ``weigh_inputs`` and the recommender takes no input weights.
    """
    require_same_catalogue(recommender, data)
    if weigh_inputs:
        require_input_weight(recommender)
    if popularity.shape != (recommender.num_items,):
        raise ValueError(
            f"popularity must be [{recommender.num_items}], got {list(popularity.shape)}"
        )
    mass = popularity.double().cpu() ** popularity_power
    if int((mass > 0).sum()) < 2:
        raise ValueError("popularity must be positive for at least two items")
    generator = torch.Generator().manual_seed(seed)
    scores = []
    with inference(recommender):
        for batch in data.batches(256, max_length):
            targets = batch.targets.cpu()
            negatives = _negatives(targets, mass, num_negatives, generator)
            candidates = torch.cat([targets[:, None], negatives], dim=1).to(batch.targets.device)
            scores.append(
                score_candidates(recommender, as_batch(batch, weigh_inputs), candidates).cpu()
            )
    return _metrics(torch.cat(scores))


def _negatives(
    targets: Tensor, mass: Tensor, num_negatives: int, generator: torch.Generator
) -> Tensor:
    """``[B, num_negatives]`` items in proportion to ``mass [num_items]``, never ``targets [B]``."""
    # Inverse of the cumulative mass, with the target's own stretch cut out.
    until = mass.cumsum(0)
    own = mass[targets - 1][:, None]
    before = until[targets - 1][:, None] - own
    uniform = torch.rand(len(targets), num_negatives, dtype=torch.float64, generator=generator)
    drawn = uniform * (until[-1] - own)
    drawn = torch.where(drawn >= before, drawn + own, drawn)
    return 1 + torch.searchsorted(until, drawn, right=True).clamp(max=len(mass) - 1)


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
