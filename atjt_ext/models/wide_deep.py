"""Wide & Deep: a linear model that memorises, beside an MLP that generalises.

Cheng et al., "Wide & Deep Learning for Recommender Systems", DLRS 2016 (arXiv:1606.07792).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ..data import Batch
from ._pointwise import (
    ItemEncoder,
    PointwiseModel,
    hidden_layers,
    in_tiles,
)
from .options import Activation, PointwiseConfig, at_least_zero

__all__ = ["WideDeep", "WideDeepConfig"]

# Odd, so that multiplying permutes 64-bit integers: Knuth's multiplicative hashing.
_MULTIPLIERS = (0x9E3779B97F4A7C15 - 2**64, 0xC2B2AE3D27D4EB4F - 2**64)


@dataclass(frozen=True, kw_only=True)
class WideDeepConfig(PointwiseConfig):
    """Sizes of Wide & Deep.

    Attributes:
        cross_buckets: number of weights that all pairs (item of the history, candidate) share by
            hashing; 0 leaves pairs out.
    """

    cross_buckets: int = at_least_zero(2**16)

    def build(self, num_items: int, **given: Any) -> WideDeep:
        return WideDeep(num_items, **self.arguments(**given))


class WideDeep(PointwiseModel):
    """One logit: the wide part's plus the deep part's.

    Meets the ``PointwiseRecommender`` protocol of :mod:`atjt_ext.models.protocols`. The wide part
    is linear in the candidate's id, its side features, and cross products "item a is in the history
    AND item b is the candidate", hashed into buckets. The original crosses installed and impressed
    apps. The deep part is an MLP on the embeddings of candidate and user and on the mean embedding
    of the history.

    Args:
        num_items: catalogue size; items are ``1..num_items`` and 0 is padding.
        item_features: ``[num_items + 1, F]`` int64, see :func:`atjt_ext.data.item_feature_table`.
        num_users: number of users, for an embedding of each; None leaves users out.

    The other arguments are the options of :class:`WideDeepConfig`.
    """

    def __init__(
        self,
        num_items: int,
        *,
        embedding_dim: int = WideDeepConfig.embedding_dim,
        hidden_dims: Sequence[int] = WideDeepConfig.hidden_dims,
        cross_buckets: int = WideDeepConfig.cross_buckets,
        activation: Activation = WideDeepConfig.activation,
        dropout: float = WideDeepConfig.dropout,
        item_features: Tensor | None = None,
        num_users: int | None = None,
    ) -> None:
        WideDeepConfig.check(locals())
        super().__init__(num_items, embedding_dim, item_features, num_users)
        self.cross_buckets = cross_buckets
        self.wide = ItemEncoder(num_items, 1, item_features)
        self.wide_user = None if num_users is None else nn.Embedding(num_users, 1)
        self.crosses = nn.Parameter(torch.zeros(cross_buckets))
        widths = [self.width, *hidden_dims]
        self.deep = hidden_layers(widths, activation, dropout)
        self.output = nn.Linear(widths[-1], 1)
        # The linear model starts empty.
        for embedding in (self.wide.item_embedding, self.wide.feature_embedding, self.wide_user):
            if embedding is not None:
                nn.init.zeros_(embedding.weight)
        self._widest = max(widths)

    def score(self, batch: Batch, candidates: Tensor) -> Tensor:
        """Logits ``[B, C]`` of ``candidates [B, C]`` int64 as the item after ``batch.inputs``."""
        history = batch.inputs
        context = self.context(batch)

        def scores(tile: Tensor) -> Tensor:
            logits: Tensor = self.output(self.deep(self.joined(tile, context))).squeeze(-1)
            logits = logits + self.wide(tile).sum(dim=-1) + self._crossed(history, tile)
            if self.wide_user is not None:
                logits = logits + self.wide_user(batch.users)
            return logits

        return in_tiles(scores, candidates, len(history) * max(self._widest, history.shape[1]))

    def _crossed(self, history: Tensor, candidates: Tensor) -> Tensor:
        """Sum of the weights of all pairs (item of the history, candidate): ``[B, C]``."""
        if not self.cross_buckets:
            return candidates.new_zeros((), dtype=self.crosses.dtype)
        rows, columns = (history != 0).nonzero(as_tuple=True)
        pairs = history[rows, columns][:, None] * _MULTIPLIERS[0] + candidates[rows]
        # The high half of the product: the low bits of a multiplicative hash are weak.
        buckets = ((pairs * _MULTIPLIERS[1]) >> 32) % self.cross_buckets
        summed = self.crosses.new_zeros(candidates.shape)
        return summed.index_add(0, rows, self.crosses[buckets])
