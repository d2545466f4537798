"""The noise-recognition model of the paper: one logit per sequence.

Liu et al., "Enhancing Recommendation with Denoising Auxiliary Task", JCST 39(5) 2024,
arXiv:2409.17402. It tells sequences with replaced items from original ones by target attention over
the history as in DIN (Zhou et al., KDD 2018, arXiv:1706.06978) and an MLP.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from ...data import Batch
from ...models.options import ModelConfig, require_positive, size, sizes

__all__ = ["TargetAttentionConfig", "TargetAttentionNoiseModel"]


@dataclass(frozen=True, kw_only=True)
class TargetAttentionConfig(ModelConfig):
    """Sizes of the target-attention noise model.

    Attributes:
        noise_embedding_dim: width of the noise model's item table.
        noise_hidden_dims: widths of the hidden layers of its classifier.
    """

    noise_embedding_dim: int = size(32)
    noise_hidden_dims: tuple[int, ...] = sizes(256, 64)

    def build(self, num_items: int, **_: Any) -> TargetAttentionNoiseModel:
        return TargetAttentionNoiseModel(num_items, **self.options("noise_"))


def _mlp(widths: Sequence[int]) -> nn.Sequential:
    """Linear layers with PReLU between them and none after the last."""
    layers: list[nn.Module] = []
    for index, (fan_in, fan_out) in enumerate(pairwise(widths)):
        if index:
            layers.append(nn.PReLU())
        layers.append(nn.Linear(fan_in, fan_out))
    return nn.Sequential(*layers)


class TargetAttentionNoiseModel(nn.Module):
    """Does this sequence hold replaced items? One logit per sequence.

    Target attention pools the history by each item's affinity with the last item (the target). An
    MLP reads the pooled history, the target and, with ``num_users``, the user. The model has no
    dropout, so it draws no random numbers.

    Args:
        num_items: catalogue size; items are ``1..num_items`` and 0 is padding.
        embedding_dim: width of the model's own item table (the paper: 8).
        hidden_dims: widths of the MLP (the paper: 256, 64).
        attention_dims: widths of the attention's MLP.
        num_users: number of users, for an embedding of each, as in the paper; None leaves users
            out. Under cross-fitting it adds nothing: the model judges users that it never saw.
    """

    def __init__(
        self,
        num_items: int,
        *,
        embedding_dim: int = TargetAttentionConfig.noise_embedding_dim,
        hidden_dims: Sequence[int] = TargetAttentionConfig.noise_hidden_dims,
        attention_dims: Sequence[int] = (64, 16),
        num_users: int | None = None,
    ) -> None:
        super().__init__()
        require_positive(num_items=num_items, embedding_dim=embedding_dim)
        self.num_items = num_items
        self.item_embedding = nn.Embedding(num_items + 1, embedding_dim, padding_idx=0)
        self.user_embedding = None if num_users is None else nn.Embedding(num_users, embedding_dim)
        self.attention = _mlp([4 * embedding_dim, *attention_dims, 1])
        parts = 3 if num_users is None else 4
        self.classifier = _mlp([parts * embedding_dim, *hidden_dims, 1])
        for embedding in (self.item_embedding, self.user_embedding):
            if embedding is not None:
                nn.init.normal_(embedding.weight, std=embedding_dim**-0.5)
        with torch.no_grad():
            self.item_embedding.weight[0].zero_()

    def forward(self, batch: Batch) -> Tensor:
        """Noise logits ``[B]`` of ``batch.sequences [B, W]``; > 0 means that items are replaced."""
        history, target = batch.sequences[:, :-1], batch.sequences[:, -1]
        rows, columns = (history != 0).nonzero(as_tuple=True)
        # Attention runs on the valid positions only, packed: [T, D].
        item = self.item_embedding(history[rows, columns])
        target_item = self.item_embedding(target)
        query = target_item[rows]
        affinity = self.attention(torch.cat([item, query, item - query, item * query], dim=-1))
        # As in DIN, affinities are not normalised: their sum shows how much of the history fits.
        pooled = torch.zeros_like(target_item).index_add(0, rows, affinity * item)
        features = [pooled, target_item, pooled * target_item]
        if self.user_embedding is not None:
            features.append(self.user_embedding(batch.users))
        logits: Tensor = self.classifier(torch.cat(features, dim=-1)).squeeze(-1)
        return logits
