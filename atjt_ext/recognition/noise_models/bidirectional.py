"""A noise model that judges every item of a sequence by all other items, also by later ones.

Replaced-token detection as in ELECTRA (Clark et al., ICLR 2020, arXiv:2003.10555), with the random
replacement of arXiv:2409.17402 as generator.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ...data import Batch
from ...models._packing import PackedRows
from ...models._transformer import Transformer, TransformerBlock
from ...models.options import ModelConfig, require, require_length, require_positive, size

__all__ = ["BidirectionalConfig", "BidirectionalNoiseModel"]


@dataclass(frozen=True, kw_only=True)
class BidirectionalConfig(ModelConfig):
    """Sizes of the bidirectional noise model.

    Attributes:
        noise_embedding_dim: width of the noise model's item table and of its states.
        noise_num_blocks: transformer blocks.
        noise_num_heads: attention heads; must divide noise_embedding_dim.
    """

    noise_embedding_dim: int = size(32)
    noise_num_blocks: int = size(2)
    noise_num_heads: int = size(2)

    def __post_init__(self) -> None:
        super().__post_init__()
        require(
            "noise_num_heads",
            self.noise_num_heads,
            f"a divisor of {self.noise_embedding_dim} (noise_embedding_dim)",
            self.noise_embedding_dim % self.noise_num_heads == 0,
        )

    def build(self, num_items: int, *, max_length: int, **_: Any) -> BidirectionalNoiseModel:
        options = self.options("noise_")
        return BidirectionalNoiseModel(num_items, max_length=max_length, **options)


class BidirectionalNoiseModel(Transformer):
    """Which items of this sequence are replaced? One logit per position.

    A transformer without a causal mask: later items say as much about an item as earlier ones, and
    history and target are judged alike. It has no dropout, so it draws no random numbers.

    Damage most sequences, and each of their items with a small probability, as the recipe
    ``joint_positions`` does. If half of the sequences stay whole, the model learns to recognise
    damaged *sequences*, and finds planted noise worse than rarity alone does.

    Args:
        num_items: catalogue size; items are ``1..num_items`` and 0 is padding.
        max_length: longest history, not counting the target after it.
        embedding_dim: width of the model's own item table and of its states.
        num_blocks: transformer blocks.
        num_heads: attention heads; must divide ``embedding_dim``.
    """

    def __init__(
        self,
        num_items: int,
        *,
        max_length: int = 50,
        embedding_dim: int = BidirectionalConfig.noise_embedding_dim,
        num_blocks: int = BidirectionalConfig.noise_num_blocks,
        num_heads: int = BidirectionalConfig.noise_num_heads,
    ) -> None:
        require_positive(max_length=max_length, num_blocks=num_blocks)
        blocks = (
            TransformerBlock(embedding_dim, num_heads, dropout=0.0) for _ in range(num_blocks)
        )
        super().__init__(num_items, max_length + 1, embedding_dim, num_heads, 0.0, blocks)
        self.max_length = max_length
        self.classifier = nn.Sequential(
            nn.Linear(2 * embedding_dim, embedding_dim), nn.ReLU(), nn.Linear(embedding_dim, 1)
        )
        self.initialise()

    def forward(self, batch: Batch) -> Tensor:
        """Noise logits ``[B, W]`` of ``batch.sequences [B, W]``; > 0 means replaced, padding has 0.

        Raises:
            ValueError: ``W`` exceeds ``max_length + 1``.
        """
        require_length(batch.sequences.shape[1] - 1, self.max_length)
        rows = PackedRows(batch.sequences != 0, causal=False)
        items = self.scaled(self.item_embedding(rows.packed(batch.sequences)))
        states = self.states(items, rows)
        # The product compares the item with its surroundings.
        logits = self.classifier(torch.cat([states, states * items], dim=-1))
        return rows.unpacked(logits).squeeze(-1)
