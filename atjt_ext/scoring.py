"""One way to ask either kind of recommender for scores."""

from __future__ import annotations

import torch
from torch import Tensor

from .data import Batch
from .protocols import PointwiseRecommender, Recommender, SequenceRecommender

__all__ = ["require_recommender", "score_candidates", "score_catalogue"]

# Candidates that a pointwise model scores at once: bounds its [B, C, D] intermediates.
_CANDIDATE_TILE = 4096


def require_recommender(recommender: object) -> None:
    """Raises TypeError unless ``recommender`` meets one of the two protocols."""
    if not isinstance(recommender, SequenceRecommender | PointwiseRecommender):
        raise TypeError(
            "recommender must have num_items and either encode(sequences) with item_table(), or "
            f"score(batch, candidates); {type(recommender).__name__} has neither"
        )


def score_candidates(recommender: Recommender, batch: Batch, candidates: Tensor) -> Tensor:
    """Scores ``[B, C]`` of ``candidates [B, C]`` as the item after ``batch.inputs``."""
    if isinstance(recommender, SequenceRecommender):
        last = recommender.encode(batch.inputs)[:, -1]
        return torch.einsum("bd,bcd->bc", last, recommender.item_table()[candidates])
    return recommender.score(batch, candidates)


def score_catalogue(recommender: Recommender, batch: Batch) -> Tensor:
    """Scores ``[B, num_items]`` of all items as the item after ``batch.inputs``; column v is item v
    + 1."""
    if isinstance(recommender, SequenceRecommender):
        return recommender.encode(batch.inputs)[:, -1] @ recommender.item_table()[1:].T
    items = torch.arange(1, recommender.num_items + 1, device=batch.sequences.device)
    return torch.cat(
        [
            recommender.score(batch, tile.expand(len(batch), -1))
            for tile in items.split(_CANDIDATE_TILE)
        ],
        dim=1,
    )
