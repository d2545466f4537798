"""TODO."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import nn

if TYPE_CHECKING:
    from ...runs.config import RunConfig
from . import BidirectionalNoiseModel, TargetAttentionNoiseModel

__all__ = ["build_noise_model"]


def build_noise_model(config: RunConfig, num_items: int) -> nn.Module | None:
    """The prototype of the noise models that ``config`` names, freshly initialised from torch's
    random stream; None where none is trained along."""
    model = config.model
    if not config.trainer.learns_noise:
        return None
    if model.noise_model == "bidirectional":
        return BidirectionalNoiseModel(
            num_items,
            max_length=config.trainer.max_length,
            embedding_dim=model.noise_embedding_dim,
            num_blocks=model.noise_num_blocks,
            num_heads=model.noise_num_heads,
        )
    return TargetAttentionNoiseModel(
        num_items, embedding_dim=model.noise_embedding_dim, hidden_dims=model.noise_hidden_dims
    )
