"""Errors and warnings raised during training: diverging losses, collapsed weights."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from ..data import Batch
from .history import EpochRecord

__all__ = [
    "TrainingDivergedError",
    "WeightsCollapsedWarning",
    "require_finite",
    "warn_if_collapsed",
]


class TrainingDivergedError(RuntimeError):
    """The loss became NaN or infinite."""


class WeightsCollapsedWarning(UserWarning):
    """All weights are alike, so reweighting changes nothing."""


def require_finite(loss: Tensor, batch: Batch, step: int, checkpoint: Path | None) -> None:
    """Raises TrainingDivergedError for an infinite or NaN loss."""
    if not bool(torch.isfinite(loss)):
        rows = batch.rows.tolist()
        more = ", ..." if len(rows) > 8 else ""
        raise TrainingDivergedError(
            f"loss is {loss.item()} at step {step} (training rows {rows[:8]}{more}); "
            "a lower learning_rate or clip_grad_norm usually helps; "
            f"last good checkpoint: {checkpoint or 'none kept'}"
        )


def warn_if_collapsed(history: Sequence[EpochRecord]) -> None:
    """Warns the caller of the caller if the last weights used are all alike."""
    used = [record.weights for record in history if record.weights_used != "none"]
    if used and (weights := used[-1]).collapsed:
        warnings.warn(
            f"weights have collapsed to {weights.mean:.3f} ± {weights.std:.4f}: normalised by "
            "their sum, they act like equal weights. The noise model has usually learned nothing: "
            "replace more items per sequence (replace_ratio), train longer, or raise "
            "noise_learning_rate",
            WeightsCollapsedWarning,
            stacklevel=3,
        )
