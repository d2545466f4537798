"""Transformer layers that spend no work on padding: the parts of SASRec and its relatives."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from ._packing import PackedRows, take
from .dropout import Dropout, number_places
from .options import require_heads, require_positive


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
            Dropout(dropout),
            nn.Linear(embedding_dim, embedding_dim),
        )
        self.attention_dropout = Dropout(dropout)
        self.output_dropout = Dropout(dropout)

    def forward(self, packed: Tensor, rows: PackedRows, only: Tensor | None = None) -> Tensor:
        """The tokens ``[T, D]`` of ``rows`` -> ``[T, D]``.

        With ``only [K]`` it returns ``[K, D]``, of these tokens; then ``rows`` has no dropout keys.
        """
        attended = self.attend(self.query_key_value(self.attention_norm(packed)), rows)
        keys = rows.dropout_keys
        if only is not None:  # the other tokens were keys and values, and have no further use
            attended, packed = take(attended, only), take(packed, only)
        packed = packed + self.attention_dropout(self.attention_output(attended), keys)
        norm, inner, activation, dropout, outer = self.feed_forward
        hidden = dropout(activation(inner(norm(packed))), keys)
        output: Tensor = packed + self.output_dropout(outer(hidden), keys)
        return output

    def attend(self, query_key_value: Tensor, rows: PackedRows) -> Tensor:
        """Queries, keys and values of the tokens, ``[T, 3 * D]`` -> ``[T, D]``."""
        return rows.attend(query_key_value, self.num_heads)


class Transformer(nn.Module):
    """Embeddings of items and positions, ``blocks``, and a last normalisation.

    A block has the arguments of :class:`TransformerBlock`. Positions count from the end of a row.
    With ``scale_embedding``, item vectors enter times the root of their width.
    """

    def __init__(
        self,
        num_items: int,
        max_length: int,
        embedding_dim: int,
        num_heads: int,
        dropout: float,
        blocks: Iterable[nn.Module],
        *,
        scale_embedding: bool = True,
    ) -> None:
        super().__init__()
        require_positive(num_items=num_items, max_length=max_length)
        require_heads(embedding_dim, num_heads)
        self.num_items = num_items
        self.max_length = max_length
        self.scale_embedding = scale_embedding
        self.item_embedding = nn.Embedding(num_items + 1, embedding_dim, padding_idx=0)
        self.position_embedding = nn.Embedding(max_length, embedding_dim)
        self.blocks = nn.ModuleList(blocks)
        self.final_norm = nn.LayerNorm(embedding_dim)
        self.dropout = Dropout(dropout)
        number_places(self)

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
        """Item vectors as they enter the first block, before positions are added."""
        if not self.scale_embedding:
            return items
        scaled: Tensor = items * self.item_embedding.embedding_dim**0.5
        return scaled

    def states(self, scaled: Tensor, rows: PackedRows, only: Tensor | None = None) -> Tensor:
        """Hidden states ``[T, D]`` of the item vectors ``[T, D]`` of the tokens of ``rows``, or
        ``[K, D]`` of ``only [K]`` tokens."""
        positions = self.position_embedding(rows.positions)
        packed = self.dropout(scaled + positions, rows.dropout_keys)
        *first, last = self.blocks
        for block in first:
            packed = block(packed, rows)
        packed = last(packed, rows) if only is None else last(packed, rows, only)
        output: Tensor = self.final_norm(packed)
        return output

    def has_own_parts(self) -> bool:
        """Whether :meth:`states` and the last block are those of this file, which know ``only``."""
        known = type(self).states is Transformer.states
        return known and type(self.blocks[-1]).forward is TransformerBlock.forward
