"""Transformer layers that spend no work on padding: the parts of SASRec and its relatives.

Only attention sees the padded ``[B, L]`` grid. Every other layer runs on the valid positions,
packed into one ``[T, D]`` matrix. On common data sets nine tenths of the grid are padding.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .options import require_heads, require_positive


def unpacked(packed: Tensor, valid: Tensor) -> Tensor:
    """``packed [T, D]`` at the T true positions of ``valid [B, L]``: ``[B, L, D]``, 0 elsewhere."""
    grid = packed.new_zeros(*valid.shape, packed.shape[-1])
    grid[valid] = packed
    return grid


def positions_from_end(valid: Tensor) -> Tensor:
    """``[T]`` int64: the distance of each valid position from the end, whatever the padding."""
    length = valid.shape[1]
    return torch.arange(length - 1, -1, -1, device=valid.device).expand_as(valid)[valid]


def attention_mask(valid: Tensor, *, causal: bool = True) -> Tensor:
    """``[B, 1, L, L]`` bool: the keys (last axis) that each query may attend to."""
    length = valid.shape[1]
    # A padded query may attend to itself: a row without any key would be NaN.
    itself = torch.eye(length, dtype=torch.bool, device=valid.device)
    allowed = valid[:, None, :]
    if causal:
        allowed = allowed & torch.ones_like(itself).tril()
    return (allowed | itself).unsqueeze(1)


def weighted_mask(mask: Tensor, input_weight: Tensor) -> Tensor:
    """Summands ``[B, 1, L, L]`` for attention scores: the log of the key's weight ``[B, L]``, 0 for
    the query's own key, -inf where ``mask`` is false.

    The query's own embedding is scaled already, and every query needs a key to attend to.
    """
    itself = torch.eye(mask.shape[-1], dtype=torch.bool, device=mask.device)
    # The gradient of log(0) would be 0 * inf.
    positive = input_weight > 0
    log_weight = torch.where(positive, torch.where(positive, input_weight, 1.0).log(), -torch.inf)
    scores = torch.where(itself, 0.0, log_weight[:, None, :]).unsqueeze(1)
    return torch.where(mask, scores, -torch.inf)


class TransformerBlock(nn.Module):
    """Self-attention and a feed-forward layer, each with pre-normalisation and a residual."""

    def __init__(self, embedding_dim: int, num_heads: int, dropout: float) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.attention_norm = nn.LayerNorm(embedding_dim)
        self.query_key_value = nn.Linear(embedding_dim, 3 * embedding_dim)
        self.attention_output = nn.Linear(embedding_dim, embedding_dim)
        self.feed_forward = nn.Sequential(
            nn.LayerNorm(embedding_dim),
            nn.Linear(embedding_dim, embedding_dim),
            nn.ReLU(),
            nn.Dropout(dropout),
            nn.Linear(embedding_dim, embedding_dim),
        )
        self.dropout = nn.Dropout(dropout)

    def forward(self, packed: Tensor, valid: Tensor, mask: Tensor) -> Tensor:
        """``packed [T, D]``, ``valid [B, L]`` with T true, ``mask [B, 1, L, L]`` bool, or float
        summands for the scores."""
        grid = unpacked(self.query_key_value(self.attention_norm(packed)), valid)
        attended = self.attention_output(self.attend(grid, mask)[valid])
        packed = packed + self.dropout(attended)
        output: Tensor = packed + self.dropout(self.feed_forward(packed))
        return output

    def attend(self, grid: Tensor, mask: Tensor) -> Tensor:
        """Queries, keys and values ``[B, L, 3 * D]`` -> ``[B, L, D]``."""
        query, key, value = (
            part.unflatten(-1, (self.num_heads, -1)).transpose(1, 2)
            for part in grid.chunk(3, dim=-1)
        )
        attended = F.scaled_dot_product_attention(query, key, value, attn_mask=mask)
        return attended.transpose(1, 2).flatten(2)


class Transformer(nn.Module):
    """Embeddings of items and positions, ``blocks``, and a last normalisation.

    A block has the arguments of :class:`TransformerBlock`. Positions count from the end of a row.
    """

    def __init__(
        self,
        num_items: int,
        max_length: int,
        embedding_dim: int,
        num_heads: int,
        dropout: float,
        blocks: Iterable[nn.Module],
    ) -> None:
        super().__init__()
        require_positive(num_items=num_items, max_length=max_length)
        require_heads(embedding_dim, num_heads)
        self.num_items = num_items
        self.max_length = max_length
        self.item_embedding = nn.Embedding(num_items + 1, embedding_dim, padding_idx=0)
        self.position_embedding = nn.Embedding(max_length, embedding_dim)
        self.blocks = nn.ModuleList(blocks)
        self.final_norm = nn.LayerNorm(embedding_dim)
        self.dropout = nn.Dropout(dropout)

    def initialise(self) -> None:
        """Truncated normal weights with standard deviation 0.02, zero biases, zero padding row."""
        for module in self.modules():
            if isinstance(module, nn.Linear | nn.Embedding):
                nn.init.trunc_normal_(module.weight, std=0.02, a=-0.04, b=0.04)
            if isinstance(module, nn.Linear):
                nn.init.zeros_(module.bias)
        with torch.no_grad():
            self.item_embedding.weight[0].zero_()

    def item_table(self) -> Tensor:
        """The item embeddings ``[num_items + 1, D]``; row 0 is padding."""
        return self.item_embedding.weight

    def scaled(self, items: Tensor) -> Tensor:
        """Item vectors at the scale of the position embeddings."""
        scaled: Tensor = items * self.item_embedding.embedding_dim**0.5
        return scaled

    def states(self, scaled: Tensor, valid: Tensor, mask: Tensor) -> Tensor:
        """Hidden states ``[T, D]`` of item vectors ``[T, D]`` at the T true positions of
        ``valid [B, L]``; ``mask`` as in :class:`TransformerBlock`."""
        packed = self.dropout(scaled + self.position_embedding(positions_from_end(valid)))
        for block in self.blocks:
            packed = block(packed, valid, mask)
        output: Tensor = self.final_norm(packed)
        return output
