"""The noise models by name. Importing this module imports no torch."""

from __future__ import annotations

from ...models.registry import ConfigTable

__all__ = ["NOISE_MODELS"]

NOISE_MODELS = ConfigTable(
    __name__.rpartition(".")[0],
    {
        "target_attention": "TargetAttentionConfig",
        "bidirectional": "BidirectionalConfig",
    },
)
"""The config class of each noise model, by the name on the command line and in a run's config."""
