"""Noise models that never judge what they were trained on.

Users are dealt into folds. Each fold has its own noise model, which trains on damaged sequences of
all *other* folds and scores the untouched sequences of its own: two-fold cross-fitting in
arXiv:2409.17402, out-of-sample prediction elsewhere.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import torch
from torch import Tensor, nn

from ..corruption import Corruption, CorruptionOutput
from ..data import Batch
from ..evaluation.auc import auc, mean_of_known
from ..models.inference import inference
from ..models.precision import widened
from ..ops import (
    reweighted_binary_cross_entropy,
)
from ..training.config import JointTrainerConfig
from .weighting import calibrated_weights, clean_probability, estimate_noise_rate

__all__ = ["Calibration", "CrossFittedNoiseModels", "Rows", "noise_recognition_loss"]

# Step of the corruption that held-out AUCs are measured on. Training counts its steps from 0, so it
# never meets these draws.
_HELD_OUT_STEP = 2**32 - 1
_SCORING_BATCH = 1024


class Rows(Protocol):
    """What is calibrated on: ``TrainingRows``, or some of them."""

    @property
    def users(self) -> Tensor:
        """``[R]`` int64."""
        ...

    def gather(self, rows: Tensor) -> Batch:
        """The rows ``rows`` (``[B]`` int64)."""
        ...


@dataclass(frozen=True, slots=True)
class Calibration:
    """What one noise model is worth on users that it did not learn from.

    Attributes:
        auc: of telling damaged from original sequences; None where only one kind occurs.
        artificial_rate: share of damaged sequences (or positions) among those.
        noise_rate: upper bound on the noise in the original data, see ``estimate_noise_rate``.
        trusted: whether its weights are used.
    """

    auc: float | None
    artificial_rate: float
    noise_rate: float
    trusted: bool


class CrossFittedNoiseModels(nn.Module):
    """One copy of ``noise_model`` per fold.

    Args:
        noise_model: the prototype; every copy starts from its present parameters.
        folds: ``[num_users]`` int64, the fold of each user.
        config: weighting, folds, gate.
        last_target_only: of logits for positions only those of last items become weights, and are
            what is calibrated.
    """

    folds: Tensor

    def __init__(
        self,
        noise_model: nn.Module,
        folds: Tensor,
        config: JointTrainerConfig,
        *,
        last_target_only: bool = False,
    ) -> None:
        super().__init__()
        self.last_target_only = last_target_only
        self.models = nn.ModuleList(copy.deepcopy(noise_model) for _ in range(config.num_folds))
        self.config = config
        self.calibrations: list[Calibration | None] = [None] * config.num_folds
        self.register_buffer("folds", folds, persistent=False)

    def noise_loss(self, batch: Batch, noisy: CorruptionOutput, active: Sequence[int]) -> Tensor:
        """Mean over the ``active`` models of their loss on the damaged batch, each without its
        fold."""
        damaged = replace(batch, sequences=noisy.sequences)
        fold = self.folds[batch.users]
        losses = []
        for index in active:
            rows = (fold != index).nonzero().flatten()
            if len(rows):
                logits = self.models[index](damaged.select(rows))
                losses.append(noise_recognition_loss(*_labelled(logits, noisy, rows)))
        return (
            torch.stack(losses).mean()
            if losses
            else batch.sequences.new_zeros((), dtype=torch.float)
        )

    def logits(self, batch: Batch) -> Tensor:
        """Noise logits ``[B]`` or ``[B, W]`` of the batch, every row by the model of its own
        fold."""
        fold = self.folds[batch.users]
        parts, order = [], []
        for index, model in enumerate(self.models):
            rows = (fold == index).nonzero().flatten()
            if len(rows):
                parts.append(model(batch.select(rows)))
                order.append(rows)
        return torch.cat(parts)[torch.cat(order).argsort()]

    def weights(self, batch: Batch) -> Tensor:
        """Sample weights ``[B]`` or ``[B, W]``; ones for folds whose model is not trusted."""
        logits = widened(self.logits(batch))
        if self.config.weighting == "clean_probability":
            return clean_probability(logits)
        fold = self.folds[batch.users]
        weights = torch.ones_like(logits)
        for index, calibration in enumerate(self.calibrations):
            if calibration is not None and calibration.trusted:
                calibrated = calibrated_weights(
                    logits,
                    artificial_rate=calibration.artificial_rate,
                    noise_rate=calibration.noise_rate,
                )
                own = (fold == index).view(-1, *[1] * (logits.dim() - 1))
                weights = torch.where(own, calibrated, weights)
        return weights

    def calibrate(self, rows: Rows, corruption: Corruption, active: Sequence[int]) -> None:
        """Measures the ``active`` models on the users of their own folds, and sets what they are
        worth."""
        fold = self.folds[rows.users]
        with inference(self):
            for index in active:
                own = (fold == index).nonzero().flatten()
                if len(own):
                    self.calibrations[index] = self._calibration(index, own, rows, corruption)

    def _calibration(
        self, index: int, own: Tensor, rows: Rows, corruption: Corruption
    ) -> Calibration:
        scores, labels, originals = [], [], []
        for chunk in own.split(_SCORING_BATCH):
            batch = rows.gather(chunk)
            noisy = corruption(
                batch.sequences, seed=self.config.seed, step=_HELD_OUT_STEP, row_keys=batch.rows
            )
            every = torch.arange(len(batch), device=chunk.device)
            damaged = self._weighing(self.models[index](replace(batch, sequences=noisy.sequences)))
            score, label = _labelled(damaged, noisy, every)
            scores.append(score)
            labels.append(label)
            original = self._weighing(self.models[index](batch))
            if original.dim() == 2:
                original = original[batch.sequences[:, -original.shape[1] :] != 0]
            originals.append(original)
        label = torch.cat(labels)
        area = auc(torch.cat(scores).float(), label)
        if area is None:
            return Calibration(None, float(label.double().mean()), 0.0, trusted=False)
        rate = float(label.double().mean())
        return Calibration(
            auc=area,
            artificial_rate=rate,
            noise_rate=estimate_noise_rate(torch.cat(originals), artificial_rate=rate),
            trusted=area >= self.config.gate_auc,
        )

    def _weighing(self, logits: Tensor) -> Tensor:
        """Of logits ``[B, W]`` those that become weights of targets, ``[B, 1]`` or all."""
        return logits[:, -1:] if self.last_target_only and logits.dim() == 2 else logits

    def folds_weighed(self, active: Sequence[int]) -> str:
        """Whether ``all``, ``some`` or ``none`` of the ``active`` folds get weights other than
        one."""
        if self.config.weighting == "clean_probability":
            return "all"
        trusted = [c is not None and c.trusted for c in (self.calibrations[i] for i in active)]
        return "all" if all(trusted) else "some" if any(trusted) else "none"

    def gate_message(self, active: Sequence[int]) -> str:
        """Why some or all of the ``active`` folds keep equal weights."""
        areas = [c.auc for c in (self.calibrations[i] for i in active) if c is not None]
        shown = ", ".join("none" if area is None else f"{area:.3f}" for area in areas)
        return (
            f"equal weights for {'some' if self.folds_weighed(active) == 'some' else 'all'} folds: "
            f"a held-out AUC below gate_auc={self.config.gate_auc} (measured: {shown}) says that "
            "the noise model knows nothing to weigh by"
        )

    @property
    def held_out_auc(self) -> float | None:
        """Mean of the models' held-out AUCs; None before any was measured."""
        return mean_of_known(c.auc for c in self.calibrations if c is not None)

    def calibrations_as_tensor(self) -> Tensor:
        """``calibrations`` as ``[num_folds, 4]`` float64, -1 where there is none: for a
        ``state_dict``, of which many expect only tensors."""
        rows = [
            (-1.0,) * 4
            if c is None
            else (-1.0 if c.auc is None else c.auc, c.artificial_rate, c.noise_rate, c.trusted)
            for c in self.calibrations
        ]
        return torch.tensor(rows, dtype=torch.float64)

    def set_calibrations(self, values: Tensor) -> None:
        """Takes over what :meth:`calibrations_as_tensor` gave.

        Raises:
            ValueError: it is that of another number of folds.
        """
        if values.shape != (self.config.num_folds, 4):
            raise ValueError(
                f"calibrations must be [{self.config.num_folds}, 4], a row per fold, "
                f"got {list(values.shape)}"
            )
        self.calibrations = [
            None if rate < 0 else Calibration(None if auc < 0 else auc, rate, bound, bool(trusted))
            for auc, rate, bound, trusted in values.tolist()
        ]


def _labelled(logits: Tensor, noisy: CorruptionOutput, rows: Tensor) -> tuple[Tensor, Tensor]:
    """Logits of the damaged ``rows`` and what they should say, flat: per sequence, or per valid
    position of the last columns that there are logits of."""
    if logits.dim() == 1:
        return logits, noisy.noise_labels[rows]
    columns = slice(-logits.shape[1], None)
    valid = noisy.sequences[rows, columns] != 0
    return logits[valid], noisy.replaced[rows, columns][valid]


def noise_recognition_loss(noise_logits: Tensor, replaced: Tensor) -> Tensor:
    """Binary cross-entropy of ``noise_logits [N]`` against ``replaced [N]`` bool (true = damaged).

    The auxiliary task of arXiv:2409.17402. The paper labels the untouched 1; the sign of the logit
    is the only difference. No examples: 0.
    """
    return reweighted_binary_cross_entropy(noise_logits, replaced)
