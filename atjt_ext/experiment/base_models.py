"""Base models by name."""

from __future__ import annotations

from collections.abc import Callable

import torch

from ..config import RunConfig
from ..runs import build_trainer
from ..trainer import JointTrainer

__all__ = ["BASE_MODELS"]


def _sasrec(
    config: RunConfig, num_items: int, device: torch.device | str | None = None
) -> JointTrainer:
    return build_trainer(config, num_items, device=device)


BASE_MODELS: dict[str, Callable[[RunConfig, int, torch.device | str | None], JointTrainer]] = {
    "sasrec": _sasrec,
}
"""Each makes a trainer from (config, num_items, device), initialised from the config's seed."""
