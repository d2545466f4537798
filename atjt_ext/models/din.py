"""DIN: the history is pooled anew for every candidate.

Zhou et al., "Deep Interest Network for Click-Through Rate Prediction", KDD 2018 (arXiv:1706.06978).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ..data import Batch
from ._pointwise import (
    PointwiseModel,
    activation_layer,
    hidden_layers,
    in_tiles,
)
from .options import Activation, PointwiseConfig, sizes

__all__ = ["DIN", "DINConfig"]


class _ActivationUnit(nn.Module):
    """The affinity of an item of the history with a candidate, from both and their product.

    The original also reads their difference, which adds parameters but no functions to its linear
    first layer. Here that layer is a sum of a part per item, one per candidate and one per pair,
    and only the last is as large as all pairs.
    """

    def __init__(self, width: int, hidden_dims: Sequence[int], activation: Activation) -> None:
        super().__init__()
        first = hidden_dims[0]
        self.of_item = nn.Linear(width, first)
        self.of_candidate = nn.Linear(width, first, bias=False)
        self.of_product = nn.Linear(width, first, bias=False)
        self.activation = activation_layer(activation, first)
        self.rest = nn.Sequential(
            hidden_layers(hidden_dims, activation, 0.0), nn.Linear(hidden_dims[-1], 1)
        )

    def forward(self, items: Tensor, rows: Tensor, candidates: Tensor) -> Tensor:
        """``items [T, E]`` of histories ``rows [T]``, ``candidates [B, c, E]`` -> ``[T, c]``."""
        hidden = self.of_product(items[:, None, :] * candidates[rows])
        hidden = hidden + self.of_item(items)[:, None, :] + self.of_candidate(candidates)[rows]
        affinities: Tensor = self.rest(self.activation(hidden)).squeeze(-1)
        return affinities


@dataclass(frozen=True, kw_only=True)
class DINConfig(PointwiseConfig):
    """Sizes of DIN.

    Attributes:
        attention_dims: hidden widths of the activation unit.
    """

    attention_dims: tuple[int, ...] = sizes(32)
    activation: Activation = "dice"

    def build(self, num_items: int, **given: Any) -> DIN:
        return DIN(num_items, **self.arguments(**given))


class DIN(PointwiseModel):
    """Target attention over the history, then an MLP.

    Meets the ``PointwiseRecommender`` protocol of :mod:`atjt_ext.models.protocols`. Affinities are
    not normalised: their sum shows how much of the history fits the candidate. The model has no
    positions, so the order of the history does not matter.

    Scoring costs ``B * C * L`` activation units, too many for a softmax over the whole catalogue:
    train it with ``binary_cross_entropy``.

    Args:
        num_items: catalogue size; items are ``1..num_items`` and 0 is padding.
        item_features: ``[num_items + 1, F]`` int64, see :func:`atjt_ext.data.item_feature_table`.
        num_users: number of users, for an embedding of each; None leaves users out.

    The other arguments are the options of :class:`DINConfig`.
    """

    def __init__(
        self,
        num_items: int,
        *,
        embedding_dim: int = DINConfig.embedding_dim,
        hidden_dims: Sequence[int] = DINConfig.hidden_dims,
        attention_dims: Sequence[int] = DINConfig.attention_dims,
        activation: Activation = DINConfig.activation,
        dropout: float = DINConfig.dropout,
        item_features: Tensor | None = None,
        num_users: int | None = None,
    ) -> None:
        DINConfig.check(locals())
        if not attention_dims:
            raise ValueError("attention_dims must hold at least one width, got none")
        super().__init__(num_items, embedding_dim, item_features, num_users)
        self.attention = _ActivationUnit(self.items.width, attention_dims, activation)
        widths = [self.width, *hidden_dims]
        self.mlp = hidden_layers(widths, activation, dropout)
        self.output = nn.Linear(widths[-1], 1)
        self._attention_width = max(self.items.width, *attention_dims)
        self._widest = max(widths)

    def score(self, batch: Batch, candidates: Tensor) -> Tensor:
        """Logits ``[B, C]`` of ``candidates [B, C]`` int64 as the item after ``batch.inputs``."""
        history = batch.inputs
        valid = history != 0
        rows = valid.nonzero()[:, 0]
        items = self.items(history[valid])
        grid = items.new_zeros(*history.shape, items.shape[-1])
        grid[valid] = items
        user = None if self.user_embedding is None else self.user_embedding(batch.users)

        def scores(tile: Tensor) -> Tensor:
            candidate = self.items(tile)
            packed = self.attention(items, rows, candidate)
            affinities = packed.new_zeros(*history.shape, tile.shape[1])
            affinities[valid] = packed
            parts = [affinities.transpose(1, 2) @ grid, candidate]
            if user is not None:
                parts.append(user[:, None, :].expand(-1, tile.shape[1], -1))
            logits: Tensor = self.output(self.mlp(torch.cat(parts, dim=-1))).squeeze(-1)
            return logits

        cells = max(len(items) * self._attention_width, len(history) * self._widest)
        return in_tiles(scores, candidates, cells)
