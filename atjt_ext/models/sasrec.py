"""SASRec: self-attentive sequential recommendation.

Kang and McAuley, "Self-Attentive Sequential Recommendation", ICDM 2018 (arXiv:1808.09781), in the
form that current comparisons use: pre-normalisation blocks, one item table tied between input and
output, and a softmax over the whole catalogue as training loss (the loss itself is the trainer's
business).

Padding costs nothing here: only attention itself sees the padded ``[B, L]`` grid. Every other layer
runs on the valid positions packed into one ``[tokens, D]`` matrix; on common data sets nine tenths
of the grid is padding.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

__all__ = ["SASRec"]


class _Block(nn.Module):
    """Causal self-attention and a feed-forward layer, each pre-normalised with a residual."""

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

    def forward(self, packed: Tensor, valid: Tensor, attention_mask: Tensor) -> Tensor:
        """``packed [T, D]``, ``valid [B, L]`` with T true, ``attention_mask [B, 1, L, L]`` bool or
        added to the scores."""
        packed = packed + self.dropout(self._attend(packed, valid, attention_mask))
        output: Tensor = packed + self.dropout(self.feed_forward(packed))
        return output

    def _attend(self, packed: Tensor, valid: Tensor, attention_mask: Tensor) -> Tensor:
        batch, length = valid.shape
        projected = self.query_key_value(self.attention_norm(packed))
        grid = projected.new_zeros(batch, length, projected.shape[-1])
        grid[valid] = projected
        query, key, value = (
            part.unflatten(-1, (self.num_heads, -1)).transpose(1, 2)
            for part in grid.chunk(3, dim=-1)
        )
        attended = F.scaled_dot_product_attention(query, key, value, attn_mask=attention_mask)
        output: Tensor = self.attention_output(attended.transpose(1, 2).flatten(2)[valid])
        return output


class SASRec(nn.Module):
    """A causal transformer over item sequences with a tied item table.

    Meets the ``SequenceRecommender`` protocol of :mod:`atjt_ext.trainer`.

    Args:
        num_items: catalogue size; items are ``1..num_items`` and 0 is padding.
        max_length: longest sequence that :meth:`encode` takes (earlier items are the caller's to
            drop).
        embedding_dim: width D of the item table and of the hidden states.
        num_blocks: transformer blocks.
        num_heads: attention heads; must divide ``embedding_dim``.
        dropout: on embeddings and on both residual branches of a block, in ``[0, 1)``.
    """

    def __init__(
        self,
        num_items: int,
        *,
        max_length: int = 50,
        embedding_dim: int = 64,
        num_blocks: int = 2,
        num_heads: int = 1,
        dropout: float = 0.5,
    ) -> None:
        super().__init__()
        if num_items < 1:
            raise ValueError(f"num_items must be at least 1, got {num_items}")
        if max_length < 1:
            raise ValueError(f"max_length must be at least 1, got {max_length}")
        if num_blocks < 1:
            raise ValueError(f"num_blocks must be at least 1, got {num_blocks}")
        if embedding_dim < 1 or num_heads < 1 or embedding_dim % num_heads:
            raise ValueError(
                f"num_heads must divide embedding_dim, got num_heads={num_heads}, "
                f"embedding_dim={embedding_dim}"
            )
        if not 0.0 <= dropout < 1.0:
            raise ValueError(f"dropout must be in [0, 1), got {dropout}")
        self.num_items = num_items
        self.max_length = max_length
        self.item_embedding = nn.Embedding(num_items + 1, embedding_dim, padding_idx=0)
        self.position_embedding = nn.Embedding(max_length, embedding_dim)
        self.blocks = nn.ModuleList(
            _Block(embedding_dim, num_heads, dropout) for _ in range(num_blocks)
        )
        self.final_norm = nn.LayerNorm(embedding_dim)
        self.dropout = nn.Dropout(dropout)
        self._initialise()

    def _initialise(self) -> None:
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

    def encode(self, sequences: Tensor, input_weight: Tensor | None = None) -> Tensor:
        """Hidden states after every item: ``[B, L]`` int64 (0 = padding) -> ``[B, L, D]``.

        The state at position t depends on items up to t only. Positions are counted from the end,
        so that more padding on the left changes nothing; states at padding are zero.

        An item of ``input_weight [B, L]`` w (in [0, 1]) enters as w times its embedding, and later
        positions attend to it as if it stood there w times (log w is added to the scores). So
        weight 1 changes nothing, and weight 0 leaves a bare position that nothing later looks at.

        Raises:
            ValueError: ``L`` exceeds ``max_length``.
        """
        length = sequences.shape[1]
        if length > self.max_length:
            raise ValueError(
                f"sequences have length {length}, at most max_length={self.max_length}"
            )
        valid = sequences != 0
        causal = torch.ones(length, length, dtype=torch.bool, device=sequences.device).tril()
        # A padded query may look at itself: a row with nothing to attend to would be NaN.
        itself = torch.eye(length, dtype=torch.bool, device=sequences.device)
        attention_mask = ((causal & valid[:, None, :]) | itself).unsqueeze(1)
        if input_weight is not None:
            attention_mask = _weighted_mask(attention_mask, itself, input_weight)

        from_end = torch.arange(length - 1, -1, -1, device=sequences.device).expand_as(sequences)
        packed = self.item_embedding(sequences[valid]) * self.item_embedding.embedding_dim**0.5
        if input_weight is not None:
            packed = packed * input_weight[valid][:, None]
        packed = self.dropout(packed + self.position_embedding(from_end[valid]))
        for block in self.blocks:
            packed = block(packed, valid, attention_mask)
        packed = self.final_norm(packed)
        hidden: Tensor = packed.new_zeros(*sequences.shape, packed.shape[-1])
        hidden[valid] = packed
        return hidden


def _weighted_mask(mask: Tensor, itself: Tensor, input_weight: Tensor) -> Tensor:
    """What to add to the scores ``[B, 1, L, L]``: log of the key's weight, but 0 for a query's own.

    Its own embedding is scaled already, and a query has to have something to attend to.
    """
    # log(0) would give its weight a gradient of 0 * inf.
    positive = input_weight > 0
    log_weight = torch.where(positive, torch.where(positive, input_weight, 1.0).log(), -torch.inf)
    scores = torch.where(itself, 0.0, log_weight[:, None, :]).unsqueeze(1)
    return torch.where(mask, scores, -torch.inf)
