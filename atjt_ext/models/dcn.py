"""DCN: explicit feature crosses with bounded degree, beside an MLP.

Version 1: Wang et al., "Deep & Cross Network for Ad Click Predictions", ADKDD 2017
(arXiv:1708.05123). Version 2: Wang et al., "DCN V2", WWW 2021 (arXiv:2008.13535).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from ..data import Batch
from ._pointwise import (
    PointwiseModel,
    hidden_layers,
    in_tiles,
)
from .options import Activation, PointwiseConfig, size

__all__ = ["DCN", "DCNConfig"]


class _CrossLayer(nn.Module):
    """``x0 * weight(x) + bias + x``; ``weight(x)`` is a number in version 1, a vector in 2."""

    def __init__(self, width: int, version: Literal[1, 2]) -> None:
        super().__init__()
        self.version = version
        self.weight = nn.Linear(width, 1 if version == 1 else width, bias=version == 2)
        self.bias = nn.Parameter(torch.zeros(width)) if version == 1 else None

    def forward(self, first: Tensor, current: Tensor) -> Tensor:
        """Both ``[..., width]``."""
        crossed: Tensor = first * self.weight(current) + current
        # Version 1 adds its bias after the product, version 2 inside it.
        return crossed if self.bias is None else crossed + self.bias


@dataclass(frozen=True, kw_only=True)
class DCNConfig(PointwiseConfig):
    """Sizes of DCN.

    Attributes:
        num_cross_layers: layers of the cross network; l of them make crosses of degree up to l + 1.
        cross_version: 1 (a weight vector per layer) or 2 (a weight matrix: DCN V2, parallel).
    """

    num_cross_layers: int = size(3)
    cross_version: Literal[1, 2] = 1

    def build(self, num_items: int, **given: Any) -> DCN:
        return DCN(num_items, **self.arguments(**given))


class DCN(PointwiseModel):
    """A cross network and an MLP on the same input; one linear layer combines them.

    Meets the ``PointwiseRecommender`` protocol of :mod:`atjt_ext.models.protocols`. The input is
    the candidate's embeddings, the mean embedding of the history, and the user's embedding.

    Args:
        num_items: catalogue size; items are ``1..num_items`` and 0 is padding.
        item_features: ``[num_items + 1, F]`` int64, see :func:`atjt_ext.data.item_feature_table`.
        num_users: number of users, for an embedding of each; None leaves users out.

    The other arguments are the options of :class:`DCNConfig`.
    """

    def __init__(
        self,
        num_items: int,
        *,
        embedding_dim: int = DCNConfig.embedding_dim,
        hidden_dims: Sequence[int] = DCNConfig.hidden_dims,
        num_cross_layers: int = DCNConfig.num_cross_layers,
        cross_version: Literal[1, 2] = DCNConfig.cross_version,
        activation: Activation = DCNConfig.activation,
        dropout: float = DCNConfig.dropout,
        item_features: Tensor | None = None,
        num_users: int | None = None,
    ) -> None:
        DCNConfig.check(locals())
        super().__init__(num_items, embedding_dim, item_features, num_users)
        self.cross_layers = nn.ModuleList(
            _CrossLayer(self.width, cross_version) for _ in range(num_cross_layers)
        )
        widths = [self.width, *hidden_dims]
        self.deep = hidden_layers(widths, activation, dropout)
        # Without hidden layers the deep part is the input itself: a linear model.
        self.output = nn.Linear(self.width + widths[-1], 1)
        self._widest = max(self.width + widths[-1], *widths)

    def score(self, batch: Batch, candidates: Tensor) -> Tensor:
        """Logits ``[B, C]`` of ``candidates [B, C]`` int64 as the item after ``batch.inputs``."""
        context = self.context(batch)

        def scores(tile: Tensor) -> Tensor:
            crossed = first = self.joined(tile, context)
            for layer in self.cross_layers:
                crossed = layer(first, crossed)
            logits: Tensor = self.output(torch.cat([crossed, self.deep(first)], dim=-1))
            return logits.squeeze(-1)

        return in_tiles(scores, candidates, len(context) * self._widest)
