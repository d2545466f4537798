"""Scores of either kind of recommender, through one interface."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ..data import Batch
from .dropout import DropoutKey
from .protocols import PointwiseRecommender, Recommender, SequenceRecommender

__all__ = [
    "encode",
    "encode_last",
    "require_input_weight",
    "require_recommender",
    "score_candidates",
    "score_catalogue",
    "takes",
    "takes_input_weight",
]

# Number of candidates that a pointwise model scores at once: bounds its [B, C, D] intermediates.
_CANDIDATE_TILE = 4096


def require_recommender(recommender: object) -> None:
    """Raises TypeError unless ``recommender`` meets one of the two protocols."""
    if not isinstance(recommender, SequenceRecommender | PointwiseRecommender):
        raise TypeError(
            "recommender must have num_items and either encode(sequences) with item_table(), or "
            f"score(batch, candidates); {type(recommender).__name__} has neither"
        )


def takes_input_weight(recommender: object) -> bool:
    """Whether ``recommender.encode`` takes ``input_weight``."""
    return isinstance(recommender, SequenceRecommender) and takes(
        recommender.encode, "input_weight"
    )


def takes(method: Callable[..., object], name: str) -> bool:
    """Whether a method of a recommender takes an argument that not every recommender's takes."""
    return name in inspect.signature(method).parameters


def require_input_weight(recommender: object) -> None:
    """Raises TypeError unless ``recommender.encode`` takes ``input_weight``."""
    name = type(recommender).__name__
    if not isinstance(recommender, SequenceRecommender):
        raise TypeError(
            "weights on inputs need a recommender with encode(sequences, input_weight), "
            f"{name} has no encode"
        )
    if not takes_input_weight(recommender):
        raise TypeError(
            f"weights on inputs need a recommender whose encode takes input_weight, that of {name} "
            "does not"
        )


def encode(
    recommender: SequenceRecommender,
    sequences: Tensor,
    input_weight: Tensor | None,
    dropout_key: DropoutKey | None = None,
) -> Tensor:
    """``[B, L] -> [B, L, D]``; passes on ``input_weight [B, L]`` unless it is None, and
    ``dropout_key`` to a recommender that takes one."""
    options: dict[str, Any] = {}
    if input_weight is not None:
        options["input_weight"] = input_weight
    if dropout_key is not None and takes(recommender.encode, "dropout_key"):
        options["dropout_key"] = dropout_key
    return recommender.encode(sequences, **options)


def encode_last(
    recommender: SequenceRecommender, sequences: Tensor, input_weight: Tensor | None
) -> Tensor:
    """``encode(sequences, input_weight)[:, -1]``: ``[B, L] -> [B, D]``; by the recommender's own
    ``encode_last``, if it has one for this ``encode``."""
    own = getattr(recommender, "encode_last", None)
    method = recommender.encode
    if getattr(own, "last_of", None) is not getattr(method, "__func__", method):
        return encode(recommender, sequences, input_weight)[:, -1]
    options = {} if input_weight is None else {"input_weight": input_weight}
    last: Tensor = own(sequences, **options)  # type: ignore[misc]
    return last


def score_candidates(recommender: Recommender, batch: Batch, candidates: Tensor) -> Tensor:
    """Scores ``[B, C]`` of ``candidates [B, C]`` as the item after ``batch.inputs``."""
    if isinstance(recommender, SequenceRecommender):
        last = encode_last(recommender, batch.inputs, batch.input_weights)
        return torch.einsum("bd,bcd->bc", last, recommender.item_table()[candidates])
    return recommender.score(batch, candidates)


def score_catalogue(recommender: Recommender, batch: Batch) -> Tensor:
    """Scores ``[B, num_items]`` of items ``1..num_items`` as the item after ``batch.inputs``."""
    if isinstance(recommender, SequenceRecommender):
        last = encode_last(recommender, batch.inputs, batch.input_weights)
        return last @ recommender.item_table()[1:].T
    items = torch.arange(1, recommender.num_items + 1, device=batch.sequences.device)
    tiles = items.expand(len(batch), -1).split(_CANDIDATE_TILE, dim=1)
    return torch.cat([recommender.score(batch, tile) for tile in tiles], dim=1)
