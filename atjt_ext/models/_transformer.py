"""Transformer layers that padding costs nothing: what SASRec and its relatives are made of.

Only attention itself sees the padded ``[B, L]`` grid. Every other layer runs on the valid positions
packed into one ``[T, D]`` matrix; on common data sets nine tenths of the grid is padding.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def unpacked(packed: Tensor, valid: Tensor) -> Tensor:
    """``packed [T, D]`` on the grid of ``valid [B, L]`` with T true: ``[B, L, D]``, 0 elsewhere."""
    grid = packed.new_zeros(*valid.shape, packed.shape[-1])
    grid[valid] = packed
    return grid


def positions_from_end(valid: Tensor) -> Tensor:
    """``[T]`` int64, how far before its row's end each valid position lies.

    Counted from the end, so that more padding on the left changes nothing.
    """
    length = valid.shape[1]
    return torch.arange(length - 1, -1, -1, device=valid.device).expand_as(valid)[valid]


def attention_mask(valid: Tensor, *, causal: bool = True) -> Tensor:
    """``[B, 1, L, L]`` bool: which keys (last axis) each query may look at."""
    length = valid.shape[1]
    # A padded query may look at itself: a row with nothing to attend to would be NaN.
    itself = torch.eye(length, dtype=torch.bool, device=valid.device)
    allowed = valid[:, None, :]
    if causal:
        allowed = allowed & torch.ones_like(itself).tril()
    return (allowed | itself).unsqueeze(1)


def weighted_mask(mask: Tensor, input_weight: Tensor) -> Tensor:
    """What to add to the scores ``[B, 1, L, L]``: log of the key's weight ``[B, L]``, but 0 for a
    query's own, and -inf where ``mask`` is false.

    Its own embedding is scaled already, and a query has to have something to attend to.
    """
    itself = torch.eye(mask.shape[-1], dtype=torch.bool, device=mask.device)
    # log(0) would give its weight a gradient of 0 * inf.
    positive = input_weight > 0
    log_weight = torch.where(positive, torch.where(positive, input_weight, 1.0).log(), -torch.inf)
    scores = torch.where(itself, 0.0, log_weight[:, None, :]).unsqueeze(1)
    return torch.where(mask, scores, -torch.inf)


class TransformerBlock(nn.Module):
    """Self-attention and a feed-forward layer, each pre-normalised with a residual."""

    def __init__(self, embedding_dim: int, num_heads: int, dropout: float) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.attention_norm = nn.LayerNorm(embedding_dim)
        self.query_key_value = nn.Linear(embedding_dim, 3 * embedding_dim)
        self.attention_output = nn.Linear(embedding_dim, embedding_dim)
        self.feed_forward = feed_forward(embedding_dim, dropout)
        self.dropout = nn.Dropout(dropout)

    def forward(self, packed: Tensor, valid: Tensor, mask: Tensor) -> Tensor:
        """``packed [T, D]``, ``valid [B, L]`` with T true, ``mask [B, 1, L, L]`` bool or added to
        the scores."""
        packed = packed + self.dropout(self._attend(packed, valid, mask))
        output: Tensor = packed + self.dropout(self.feed_forward(packed))
        return output

    def _attend(self, packed: Tensor, valid: Tensor, mask: Tensor) -> Tensor:
        grid = unpacked(self.query_key_value(self.attention_norm(packed)), valid)
        query, key, value = (
            part.unflatten(-1, (self.num_heads, -1)).transpose(1, 2)
            for part in grid.chunk(3, dim=-1)
        )
        attended = F.scaled_dot_product_attention(query, key, value, attn_mask=mask)
        output: Tensor = self.attention_output(attended.transpose(1, 2).flatten(2)[valid])
        return output


def feed_forward(embedding_dim: int, dropout: float) -> nn.Sequential:
    """The position-wise half of a block, its normalisation first."""
    return nn.Sequential(
        nn.LayerNorm(embedding_dim),
        nn.Linear(embedding_dim, embedding_dim),
        nn.ReLU(),
        nn.Dropout(dropout),
        nn.Linear(embedding_dim, embedding_dim),
    )


def initialise(model: nn.Module, item_embedding: nn.Embedding) -> None:
    """Truncated normal weights of deviation 0.02, zero biases, zero padding row."""
    for module in model.modules():
        if isinstance(module, nn.Linear | nn.Embedding):
            nn.init.trunc_normal_(module.weight, std=0.02, a=-0.04, b=0.04)
        if isinstance(module, nn.Linear):
            nn.init.zeros_(module.bias)
    with torch.no_grad():
        item_embedding.weight[0].zero_()
