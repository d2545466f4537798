"""How well a noise model recognises damage on users that it did not learn from."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Protocol

import torch
from torch import Tensor, nn

from ..corruption import Corruption, CorruptionOutput
from ..data import Batch
from ..evaluation.auc import auc
from .weighting import estimate_noise_rate

__all__ = ["Calibration", "Rows", "calibrate", "labelled"]

# The step of the corruption for held-out AUCs. Training counts its steps from 0, so it never meets
# these draws.
_HELD_OUT_STEP = 2**32 - 1
_SCORING_BATCH = 1024


class Rows(Protocol):
    """Rows to calibrate on: ``TrainingRows``, or some of them."""

    @property
    def users(self) -> Tensor:
        """``[R]`` int64."""
        ...

    def gather(self, rows: Tensor) -> Batch:
        """The rows ``rows`` (``[B]`` int64)."""
        ...


@dataclass(frozen=True, slots=True)
class Calibration:
    """The quality of one noise model on users that it did not learn from.

    Attributes:
        auc: AUC of separating damaged from original sequences (or positions); None if only one
            kind occurs.
        artificial_rate: share of damaged sequences (or positions).
        noise_rate: upper bound on the noise in the original data, see ``estimate_noise_rate``.
        trusted: whether the model's weights are used.
    """

    auc: float | None
    artificial_rate: float
    noise_rate: float
    trusted: bool


def calibrate(
    model: nn.Module,
    rows: Rows,
    own: Tensor,
    corruption: Corruption,
    *,
    seed: int,
    gate_auc: float,
    last_target_only: bool,
) -> Calibration:
    """Measures ``model``, in evaluation mode, on the rows ``own [R]``, whose users it did not learn
    from, once damaged and once as they are. For the other arguments see ``CrossFittedNoiseModels``.
    """

    def logits_of(batch: Batch) -> Tensor:
        logits: Tensor = model(batch)
        return logits[:, -1:] if last_target_only and logits.dim() == 2 else logits

    scores, labels, originals = [], [], []
    for chunk in own.split(_SCORING_BATCH):
        batch = rows.gather(chunk)
        noisy = corruption(batch.sequences, seed=seed, step=_HELD_OUT_STEP, row_keys=batch.rows)
        damaged = logits_of(replace(batch, sequences=noisy.sequences))
        score, label = labelled(damaged, noisy, torch.arange(len(batch), device=chunk.device))
        scores.append(score)
        labels.append(label)
        original = logits_of(batch)
        if original.dim() == 2:
            original = original[batch.sequences[:, -original.shape[1] :] != 0]
        originals.append(original)
    label = torch.cat(labels)
    area, rate = auc(torch.cat(scores).float(), label), float(label.double().mean())
    if area is None:
        return Calibration(None, rate, 0.0, trusted=False)
    bound = estimate_noise_rate(torch.cat(originals), artificial_rate=rate)
    return Calibration(area, rate, bound, trusted=area >= gate_auc)


def labelled(logits: Tensor, noisy: CorruptionOutput, rows: Tensor) -> tuple[Tensor, Tensor]:
    """Logits of the damaged ``rows`` and their labels (true = damaged), both flat.

    Logits ``[B]`` have a label per sequence. Logits ``[B, K]`` belong to the last K columns and
    have a label per valid position.
    """
    if logits.dim() == 1:
        return logits, noisy.noise_labels[rows]
    columns = slice(-logits.shape[1], None)
    valid = noisy.sequences[rows, columns] != 0
    return logits[valid], noisy.replaced[rows, columns][valid]
