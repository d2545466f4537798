"""Shared parts of DIN, Wide & Deep and DCN, which score a candidate together with a history."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..data import Batch
from .options import Activation, require, require_positive, require_row_per_item

# Largest number of floats in a tensor while scoring without gradients: 2**22 are 16 MiB.
_MAX_CELLS = 2**22


class Dice(nn.Module):
    """DIN's activation ``p * x + alpha * (1 - p) * x`` with ``p = sigmoid(batchnorm(x))``.

    arXiv:1706.06978, section 5.3. alpha is learned, one per channel, and starts at 0.
    """

    running_mean: Tensor
    running_var: Tensor

    def __init__(self, num_channels: int) -> None:
        super().__init__()
        self.alpha = nn.Parameter(torch.zeros(num_channels))
        self.register_buffer("running_mean", torch.zeros(num_channels))
        self.register_buffer("running_var", torch.ones(num_channels))

    def forward(self, inputs: Tensor) -> Tensor:
        """``[..., num_channels]`` to the same shape."""
        flat = inputs.reshape(-1, inputs.shape[-1])
        # One row has no variance. There are no rows if all histories are empty.
        training = self.training and len(flat) > 1
        normal = F.batch_norm(
            flat, self.running_mean, self.running_var, training=training, momentum=0.1, eps=1e-8
        )
        gate = torch.sigmoid(normal).view_as(inputs)
        return inputs * (gate + self.alpha * (1.0 - gate))


def activation_layer(activation: Activation, width: int) -> nn.Module:
    """A new activation for ``width`` channels."""
    if activation == "dice":
        return Dice(width)
    return nn.PReLU() if activation == "prelu" else nn.ReLU()


def hidden_layers(widths: Sequence[int], activation: Activation, dropout: float) -> nn.Sequential:
    """Layers from ``widths[0]`` to ``widths[-1]`` channels, each with activation and dropout."""
    layers: list[nn.Module] = []
    for fan_in, fan_out in pairwise(widths):
        layers += [nn.Linear(fan_in, fan_out), activation_layer(activation, fan_out)]
        layers.append(nn.Dropout(dropout))
    return nn.Sequential(*layers)


class ItemEncoder(nn.Module):
    """Items as vectors of ``width`` floats: embeddings of the id and of every side feature.

    Features are looked up by item id. So batches carry none, and an item that a corruption inserts
    has its own features.
    """

    feature_codes: Tensor

    def __init__(self, num_items: int, embedding_dim: int, item_features: Tensor | None) -> None:
        super().__init__()
        require_positive(num_items=num_items, embedding_dim=embedding_dim)
        codes, num_codes = _shifted(item_features, num_items)
        self.width = embedding_dim * (1 + codes.shape[1])
        self.item_embedding = nn.Embedding(num_items + 1, embedding_dim, padding_idx=0)
        self.feature_embedding = nn.Embedding(num_codes, embedding_dim) if num_codes else None
        self.register_buffer("feature_codes", codes)
        for embedding in (self.item_embedding, self.feature_embedding):
            if embedding is not None:
                nn.init.normal_(embedding.weight, std=embedding_dim**-0.5)
        with torch.no_grad():
            self.item_embedding.weight[0].zero_()

    def forward(self, items: Tensor) -> Tensor:
        """``[...]`` int64 item ids -> ``[..., width]``."""
        vectors: Tensor = self.item_embedding(items)
        if self.feature_embedding is None:
            return vectors
        features = self.feature_embedding(self.feature_codes[items]).flatten(-2)
        return torch.cat([vectors, features], dim=-1)

    def history_mean(self, sequences: Tensor) -> Tensor:
        """``[B, L]`` int64 (0 = padding) -> mean vector of each row's items ``[B, width]``, 0 for a
        row without items."""
        valid = sequences != 0
        rows = valid.nonzero()[:, 0]
        total = self.item_embedding.weight.new_zeros(len(sequences), self.width)
        total = total.index_add(0, rows, self(sequences[valid]))
        return total / valid.sum(dim=1, keepdim=True).clamp(min=1)


def _shifted(item_features: Tensor | None, num_items: int) -> tuple[Tensor, int]:
    """Codes that no two columns share, and their number."""
    if item_features is None:
        return torch.zeros(num_items + 1, 0, dtype=torch.int64), 0
    require_row_per_item("item_features", item_features, num_items, "F")
    if item_features.dtype != torch.int64:
        raise ValueError(f"item_features must be torch.int64, got {item_features.dtype}")
    if item_features.numel():
        smallest = int(item_features.min())
        require("item_features", smallest, "at least 0", smallest >= 0)
    sizes = item_features.amax(dim=0) + 1
    return item_features + (sizes.cumsum(0) - sizes), int(sizes.sum())


class PointwiseModel(nn.Module):
    """Embeddings of items and users. The input, ``width`` floats, is candidate, history and user.

    Args:
        item_features: ``[num_items + 1, F]`` int64 codes from 0 (unknown); every column has its
            own vocabulary, and row 0 is padding. None means no features.
        num_users: None leaves users out.
    """

    def __init__(
        self,
        num_items: int,
        embedding_dim: int,
        item_features: Tensor | None,
        num_users: int | None,
    ) -> None:
        super().__init__()
        self.num_items = num_items
        self.items = ItemEncoder(num_items, embedding_dim, item_features)
        self.width = 2 * self.items.width
        self.user_embedding: nn.Embedding | None = None
        if num_users is not None:
            require_positive(num_users=num_users)
            self.user_embedding = nn.Embedding(num_users, embedding_dim)
            nn.init.normal_(self.user_embedding.weight, std=embedding_dim**-0.5)
            self.width += embedding_dim

    def context(self, batch: Batch) -> Tensor:
        """Mean vector of each history, and the user's: ``[B, width - items.width]``."""
        context = [self.items.history_mean(batch.inputs)]
        if self.user_embedding is not None:
            context.append(self.user_embedding(batch.users))
        return torch.cat(context, dim=-1)

    def joined(self, candidates: Tensor, context: Tensor) -> Tensor:
        """``candidates [B, C]`` int64, each with its row's context: ``[B, C, width]``."""
        known = context[:, None, :].expand(-1, candidates.shape[1], -1)
        return torch.cat([self.items(candidates), known], dim=-1)


def in_tiles(
    score: Callable[[Tensor], Tensor], candidates: Tensor, cells_per_column: int
) -> Tensor:
    """``score`` of ``candidates [B, C]``, in tiles of columns if no gradient is recorded.

    Args:
        score: ``[B, c]`` item ids -> logits ``[B, c]``.
        cells_per_column: floats in the largest tensor for one column of candidates.
    """
    # With gradients the graph holds every tile anyway, and candidates are few.
    if torch.is_grad_enabled():
        return score(candidates)
    columns = max(1, _MAX_CELLS // max(1, cells_per_column))
    return torch.cat([score(tile) for tile in candidates.split(columns, dim=1)], dim=1)
