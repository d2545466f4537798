"""Noise models that never judge the users they were trained on.

Users are dealt into folds. Each fold has its own noise model, which trains on damaged sequences of
all *other* folds and scores the untouched sequences of its own fold: two-fold cross-fitting in
arXiv:2409.17402, out-of-sample prediction elsewhere.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from ..corruption import Corruption, CorruptionOutput
from ..data import Batch
from ..evaluation.auc import mean_of_known
from ..models.inference import inference
from ..models.precision import widened
from ..ops import reweighted_binary_cross_entropy
from .calibration import Calibration, Rows, calibrate, labelled
from .weighting import calibrated_weights, clean_probability

__all__ = ["CrossFittedNoiseModels", "noise_recognition_loss"]


class CrossFittedNoiseModels(nn.Module):
    """One copy of ``noise_model`` per fold.

    Args:
        noise_model: the prototype; every copy starts from its present parameters.
        folds: ``[num_users]`` int64, the fold of each user.
        num_folds: folds are ``0..num_folds - 1``.
        calibrated: weights are ``calibrated_weights``, and 1 in folds whose noise model is not
            trusted; otherwise they are ``clean_probability`` in all folds.
        gate_auc: a noise model is trusted from this held-out AUC on.
        seed: decides the damage that noise models are measured on.
        last_target_only: of logits per position, only the last one becomes a weight and is
            calibrated.
    """

    folds: Tensor

    def __init__(
        self,
        noise_model: nn.Module,
        folds: Tensor,
        *,
        num_folds: int,
        calibrated: bool,
        gate_auc: float,
        seed: int,
        last_target_only: bool = False,
    ) -> None:
        super().__init__()
        self.models = nn.ModuleList(copy.deepcopy(noise_model) for _ in range(num_folds))
        self.calibrated = calibrated
        self.gate_auc = gate_auc
        self.seed = seed
        self.last_target_only = last_target_only
        self.calibrations: list[Calibration | None] = [None] * num_folds
        self.register_buffer("folds", folds, persistent=False)

    def noise_loss(self, batch: Batch, noisy: CorruptionOutput, active: Sequence[int]) -> Tensor:
        """Mean loss of the ``active`` models on the damaged batch, each without its own fold."""
        damaged = replace(batch, sequences=noisy.sequences)
        fold = self.folds[batch.users]
        losses = []
        for index in active:
            rows = (fold != index).nonzero().flatten()
            if len(rows):
                logits = self.models[index](damaged.select(rows))
                losses.append(noise_recognition_loss(*labelled(logits, noisy, rows)))
        if not losses:
            return batch.sequences.new_zeros((), dtype=torch.float)
        return torch.stack(losses).mean()

    def logits(self, batch: Batch) -> Tensor:
        """Noise logits ``[B]`` or ``[B, W]``, each row by the noise model of its own fold."""
        fold = self.folds[batch.users]
        parts, order = [], []
        for index, model in enumerate(self.models):
            rows = (fold == index).nonzero().flatten()
            if len(rows):
                parts.append(model(batch.select(rows)))
                order.append(rows)
        return torch.cat(parts)[torch.cat(order).argsort()]

    def weights(self, batch: Batch) -> Tensor:
        """Sample weights ``[B]`` or ``[B, W]``; 1 in folds whose model is not trusted."""
        logits = widened(self.logits(batch))
        if not self.calibrated:
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
        """Measures the ``active`` models on the users of their own folds and keeps the result."""
        fold = self.folds[rows.users]
        with inference(self):
            for index in active:
                own = (fold == index).nonzero().flatten()
                if len(own):
                    self.calibrations[index] = calibrate(
                        self.models[index],
                        rows,
                        own,
                        corruption,
                        seed=self.seed,
                        gate_auc=self.gate_auc,
                        last_target_only=self.last_target_only,
                    )

    def folds_weighed(self, active: Sequence[int]) -> str:
        """Whether weights act in ``all``, ``some`` or ``none`` of the ``active`` folds."""
        if not self.calibrated:
            return "all"
        trusted = [c is not None and c.trusted for c in (self.calibrations[i] for i in active)]
        return "all" if all(trusted) else "some" if any(trusted) else "none"

    def gate_message(self, active: Sequence[int]) -> str:
        """Why some or all of the ``active`` folds keep equal weights."""
        areas = [c.auc for c in (self.calibrations[i] for i in active) if c is not None]
        shown = ", ".join("none" if area is None else f"{area:.3f}" for area in areas)
        return (
            f"equal weights for {'some' if self.folds_weighed(active) == 'some' else 'all'} folds: "
            f"the held-out AUC is below gate_auc={self.gate_auc} (measured: {shown}), so the noise "
            "model has not learned enough to weigh by"
        )

    @property
    def held_out_auc(self) -> float | None:
        """Mean held-out AUC of the models; None before any is measured."""
        return mean_of_known(c.auc for c in self.calibrations if c is not None)

    def calibrations_as_tensor(self) -> Tensor:
        """``calibrations`` as ``[num_folds, 4]`` float64, -1 for missing values: for a
        ``state_dict``, which many host libraries expect to hold tensors only."""
        rows = [
            (-1.0,) * 4
            if c is None
            else (-1.0 if c.auc is None else c.auc, c.artificial_rate, c.noise_rate, c.trusted)
            for c in self.calibrations
        ]
        return torch.tensor(rows, dtype=torch.float64)

    def set_calibrations(self, values: Tensor) -> None:
        """The inverse of :meth:`calibrations_as_tensor`.

        Raises:
            ValueError: ``values`` have another number of folds.
        """
        if values.shape != (len(self.models), 4):
            raise ValueError(
                f"calibrations must be [{len(self.models)}, 4], a row per fold, "
                f"got {list(values.shape)}"
            )
        self.calibrations = [
            None if rate < 0 else Calibration(None if auc < 0 else auc, rate, bound, bool(trusted))
            for auc, rate, bound, trusted in values.tolist()
        ]


def noise_recognition_loss(noise_logits: Tensor, replaced: Tensor) -> Tensor:
    """Binary cross-entropy of ``noise_logits [N]`` against ``replaced [N]`` bool (true = damaged).

    The auxiliary task of arXiv:2409.17402, with the labels the other way round: the paper labels
    untouched sequences 1. No examples: 0.
    """
    return reweighted_binary_cross_entropy(noise_logits, replaced)
