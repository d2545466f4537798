"""SASRec: self-attentive sequential recommendation.

Kang and McAuley, "Self-Attentive Sequential Recommendation", ICDM 2018 (arXiv:1808.09781), in the
form that current comparisons use: pre-normalised blocks, one item table for input and output, and a
softmax over the whole catalogue as training loss, which the trainer computes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor

from ._packing import PackedRows, put
from ._transformer import Transformer, TransformerBlock
from .dropout import DropoutKey
from .options import TransformerConfig, require_length, share, size
from .protocols import last_of

__all__ = ["SASRec", "SASRecConfig"]


@dataclass(frozen=True, kw_only=True)
class SASRecConfig(TransformerConfig):
    """Sizes of SASRec.

    Attributes:
        scale_embedding: item vectors enter times the root of embedding_dim, so that a state depends
            more on its item than on the items before.
    """

    num_heads: int = size(1)
    dropout: float = share(0.3)
    scale_embedding: bool = True

    def build(self, num_items: int, *, max_length: int, **_: Any) -> SASRec:
        return SASRec(num_items, max_length=max_length, **self.options())


class SASRec(Transformer):
    """A causal transformer over item sequences with a tied item table.

    Meets the ``SequenceRecommender`` protocol of :mod:`atjt_ext.models.protocols`.

    Args:
        num_items: catalogue size; items are ``1..num_items`` and 0 is padding.
        max_length: longest sequence that :meth:`encode` takes; the caller drops earlier items.

    The other arguments are the options of :class:`SASRecConfig`.
    """

    def __init__(
        self,
        num_items: int,
        *,
        max_length: int = 50,
        embedding_dim: int = SASRecConfig.embedding_dim,
        num_blocks: int = SASRecConfig.num_blocks,
        num_heads: int = SASRecConfig.num_heads,
        dropout: float = SASRecConfig.dropout,
        scale_embedding: bool = SASRecConfig.scale_embedding,
    ) -> None:
        SASRecConfig.check(locals())
        blocks = (TransformerBlock(embedding_dim, num_heads, dropout) for _ in range(num_blocks))
        super().__init__(
            *(num_items, max_length, embedding_dim, num_heads, dropout, blocks),
            scale_embedding=scale_embedding,
        )
        self.initialise()

    def encode(
        self,
        sequences: Tensor,
        input_weight: Tensor | None = None,
        *,
        dropout_key: DropoutKey | None = None,
    ) -> Tensor:
        """Hidden states after every item: ``[B, L]`` int64 (0 = padding) -> ``[B, L, D]``.

        The state at position t depends on items up to t only. Positions are counted from the end,
        so more padding on the left changes nothing. States at padding are zero.

        An item with weight w in ``input_weight [B, L]`` (in [0, 1]) enters as w times its
        embedding, and log w is added to its attention scores at later positions, as if it stood
        there w times. Weight 1 changes nothing; weight 0 hides the item from later positions.

        ``dropout_key`` decides the dropout masks in training; without it torch's generator does.

        Raises:
            ValueError: ``L`` exceeds ``max_length``.
        """
        rows, items = self._inputs(sequences, input_weight, dropout_key)
        return rows.unpacked(self.states(items, rows))

    @last_of(encode)
    def encode_last(self, sequences: Tensor, input_weight: Tensor | None = None) -> Tensor:
        """``encode(sequences, input_weight)[:, -1]``, without the work of the other states:
        ``[B, L]`` -> ``[B, D]``."""
        if not self.has_own_parts():
            return self.encode(sequences, input_weight)[:, -1]
        rows, items = self._inputs(sequences, input_weight, None)
        tokens, ends = rows.last_tokens()
        return put(self.states(items, rows, tokens), ends, len(sequences))

    def _inputs(
        self, sequences: Tensor, input_weight: Tensor | None, dropout_key: DropoutKey | None
    ) -> tuple[PackedRows, Tensor]:
        """The rows, and the item vectors ``[T, D]`` of their tokens."""
        require_length(sequences.shape[1], self.max_length)
        rows = PackedRows(sequences != 0, input_weight=input_weight, dropout_key=dropout_key)
        items = self.item_embedding(rows.packed(sequences))
        if input_weight is not None:
            items = items * rows.packed(input_weight)[:, None]
        return rows, self.scaled(items)
