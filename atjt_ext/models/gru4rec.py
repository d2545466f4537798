"""GRU4Rec: a recurrent network over item sequences.

Hidasi et al., "Session-based Recommendations with Recurrent Neural Networks", ICLR 2016
(arXiv:1511.06939), in the form that comparisons use (Tan et al., DLRS 2016, arXiv:1606.08117):
sequences of users instead of session-parallel mini-batches, item embeddings with dropout instead of
one-hot input, and an output layer back to the width of a tied item table. The trainer does not
offer the ranking losses of the original (BPR, TOP1).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from ._packing import unpacked
from .dropout import Dropout, DropoutKey
from .options import ModelConfig, require_positive, share, size

__all__ = ["GRU4Rec", "GRU4RecConfig"]


@dataclass(frozen=True, kw_only=True)
class GRU4RecConfig(ModelConfig):
    """Sizes of GRU4Rec.

    Attributes:
        embedding_dim: width D of the item table and of the hidden states.
        hidden_dim: width of the recurrent state.
        num_layers: recurrent layers.
        dropout: on item embeddings and between layers, in [0, 1).
    """

    embedding_dim: int = size(64)
    hidden_dim: int = size(128)
    num_layers: int = size(1)
    dropout: float = share(0.3)

    def build(self, num_items: int, **_: Any) -> GRU4Rec:
        return GRU4Rec(num_items, **self.options())


class GRU4Rec(nn.Module):
    """Gated recurrent units over item sequences with a tied item table.

    Meets the ``SequenceRecommender`` protocol of :mod:`atjt_ext.models.protocols`. It never reads
    padding, on which an ordinary GRU's state at the first item of a row would depend.

    Args:
        num_items: catalogue size; items are ``1..num_items`` and 0 is padding.

    The other arguments are the options of :class:`GRU4RecConfig`.
    """

    def __init__(
        self,
        num_items: int,
        *,
        embedding_dim: int = GRU4RecConfig.embedding_dim,
        hidden_dim: int = GRU4RecConfig.hidden_dim,
        num_layers: int = GRU4RecConfig.num_layers,
        dropout: float = GRU4RecConfig.dropout,
    ) -> None:
        super().__init__()
        GRU4RecConfig.check(locals())
        require_positive(num_items=num_items)
        self.num_items = num_items
        self.item_embedding = nn.Embedding(num_items + 1, embedding_dim, padding_idx=0)
        self.dropout = Dropout(dropout)
        self.gru = nn.GRU(
            embedding_dim,
            hidden_dim,
            num_layers,
            batch_first=True,
            dropout=dropout if num_layers > 1 else 0.0,  # torch warns if it has no effect
        )
        self.output = nn.Linear(hidden_dim, embedding_dim)
        nn.init.xavier_normal_(self.item_embedding.weight)
        with torch.no_grad():
            self.item_embedding.weight[0].zero_()
        for name, parameter in self.gru.named_parameters():
            initialise = nn.init.xavier_uniform_ if "weight" in name else nn.init.zeros_
            initialise(parameter)

    def item_table(self) -> Tensor:
        """The item embeddings ``[num_items + 1, D]``; row 0 is padding."""
        return self.item_embedding.weight

    def encode(self, sequences: Tensor, *, dropout_key: DropoutKey | None = None) -> Tensor:
        """Hidden states after every item: ``[B, L]`` int64 (0 = padding) -> ``[B, L, D]``.

        The state at position t depends on items up to t only; more padding on the left changes
        nothing; states at padding are zero.

        ``dropout_key`` decides the masks of the embeddings in training. Those between layers, and
        all without it, come from torch's generator.
        """
        valid = sequences != 0
        filled = valid.any(dim=1)
        lengths = valid.sum(dim=1)[filled]
        if not len(lengths):
            width = self.item_embedding.embedding_dim
            return self.item_embedding.weight.new_zeros(*sequences.shape, width)
        # Recurrent layers expect rows on the left. A boolean mask walks both grids row by row, so
        # positions keep their order.
        moved = torch.arange(sequences.shape[1], device=sequences.device) < lengths[:, None]
        keys = None
        if dropout_key is not None:
            rows, columns = valid.nonzero().unbind(1)
            keys = dropout_key.of_tokens(rows, sequences.shape[1] - 1 - columns)
        embedded = unpacked(self.dropout(self.item_embedding(sequences[valid]), keys), moved)
        packed = pack_padded_sequence(
            embedded, lengths.cpu(), batch_first=True, enforce_sorted=False
        )
        states, _ = pad_packed_sequence(
            self.gru(packed)[0], batch_first=True, total_length=sequences.shape[1]
        )
        return unpacked(self.output(states[moved]), valid)

    def last_state(self, sequences: Tensor) -> Tensor:
        """``encode(sequences)[:, -1]``: ``[B, L] -> [B, D]``, as a graph that can be exported.

        For a model in evaluation mode. It runs over whole rows, moved to the left, so that no shape
        depends on the data.
        """
        length = sequences.shape[1]
        lengths = (sequences != 0).sum(dim=1)
        columns = torch.arange(length, device=sequences.device)
        source = columns + (length - lengths)[:, None]
        source = torch.where(source < length, source, source - length)
        states, _ = self.gru(self.item_embedding(sequences.gather(1, source)))
        rows = torch.arange(len(sequences), device=sequences.device)
        last = self.output(states[rows, (lengths - 1).clamp(min=0)])
        return torch.where(lengths[:, None] > 0, last, 0.0)
