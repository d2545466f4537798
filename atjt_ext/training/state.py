"""The state of training apart from the models: optimizers, learning rate, history, best epoch."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

import torch
from torch import nn

from .checkpoint import CheckpointError, save_checkpoint, save_history
from .history import EpochRecord
from .joint_models import JointModels

__all__ = ["TrainingState", "learning_rate_factor"]


class TrainingState:
    """Optimizers, step count, history and the best epoch so far.

    Random numbers and learning rates need no state: they are functions of seed, epoch and step.

    Args:
        models: trained in place; their ``begin`` comes first.
    """

    def __init__(self, models: JointModels) -> None:
        self.models = models
        self.config = config = models.config
        self.steps = 0
        self.total_steps = 1
        self.history: list[EpochRecord] = []
        self.optimizers = {
            "recommender": self._optimizer(models.recommender.parameters(), config.learning_rate)
        }
        self._best: dict[str, Any] | None = None
        if models.noise_models is not None:
            self.optimizers["noise_models"] = self._optimizer(
                models.noise_models.parameters(), config.noise_learning_rate
            )

    def _optimizer(self, parameters: Iterable[nn.Parameter], rate: float) -> torch.optim.Optimizer:
        options: dict[str, Any] = {"lr": rate, "weight_decay": self.config.weight_decay}
        if self.config.optimizer == "adagrad":
            return torch.optim.Adagrad(parameters, **options)
        # One kernel per parameter instead of a dozen operators.
        fused = self.models.device.type in ("cpu", "cuda")
        return torch.optim.Adam(parameters, fused=fused, **options)

    def update(self, loss: torch.Tensor) -> None:
        """One optimizer step of all models on the joint loss."""
        self._set_learning_rate()
        for optimizer in self.optimizers.values():
            optimizer.zero_grad(set_to_none=True)
        loss.backward()
        if self.config.clip_grad_norm is not None:
            nn.utils.clip_grad_norm_(
                self.models.recommender.parameters(), self.config.clip_grad_norm
            )
        for optimizer in self.optimizers.values():
            optimizer.step()
        self.steps += 1

    def _set_learning_rate(self) -> None:
        factor = learning_rate_factor(
            self.steps,
            schedule=self.config.schedule,
            warmup_steps=self.config.schedule_warmup_steps,
            total_steps=self.total_steps,
        )
        for group in self.optimizers["recommender"].param_groups:
            group["lr"] = factor * self.config.learning_rate

    @property
    def learning_rate(self) -> float:
        """The recommender's learning rate in its latest step."""
        rate: float = self.optimizers["recommender"].param_groups[0]["lr"]
        return rate

    # ---- the best epoch -------------------------------------------------------------------------

    @property
    def best_epoch(self) -> int | None:
        """Epoch (from 1) with the best validation metric so far."""
        return None if self._best is None else int(self._best["epoch"])

    @property
    def kept_epoch(self) -> int:
        """Epoch (from 1) whose models a finished fit ends with."""
        if self.config.patience is not None and self.best_epoch is not None:
            return self.best_epoch
        return len(self.history)

    def record(self, record: EpochRecord) -> None:
        """Appends an epoch, and remembers its models if they are the best so far.

        Raises:
            ValueError: the record has no ``config.valid_metric``.
        """
        self.history.append(record)
        if not record.valid:
            return
        metric = self.config.valid_metric
        if metric not in record.valid:
            raise ValueError(f"valid_metric must be one of {', '.join(record.valid)}, got {metric}")
        value = record.valid[metric]
        if self._best is None or value > self._best["value"]:
            models = copy.deepcopy(self.models.state_dict())
            self._best = {"epoch": record.epoch, "value": value, "models": models}

    def out_of_patience(self) -> bool:
        """Whether early stopping ends training here."""
        patience, epochs = self.config.patience, len(self.history)
        if patience is None or self.best_epoch is None:
            return False
        return (
            epochs >= self.config.min_epochs
            and self.steps >= self.config.min_steps
            and epochs - self.best_epoch >= patience
        )

    def restore_best(self) -> None:
        """Puts the best epoch's models back; without ``patience`` the last ones stay."""
        if self.config.patience is not None and self._best is not None:
            self.models.load_state_dict(self._best["models"])

    # ---- checkpoints ----------------------------------------------------------------------------

    def save(self, path: Path, *, history: Path | None = None) -> None:
        """Writes everything to ``path``, atomically, and the records of the epochs to ``history``,
        a line of JSON each."""
        save_checkpoint(
            path,
            {
                "config": asdict(self.config),
                "num_items": self.models.recommender.num_items,
                "num_users": self.models.num_users,
                "steps": self.steps,
                "total_steps": self.total_steps,
                "history": [record.as_dict() for record in self.history],
                "models": self.models.state_dict(),
                "best": self._best,
                "optimizers": {name: one.state_dict() for name, one in self.optimizers.items()},
            },
            history=history,
        )

    def save_history(self, path: Path) -> None:
        """Writes the records of the epochs to ``path`` as :meth:`save` does."""
        save_history(path, [record.as_dict() for record in self.history])

    def take(self, saved: dict[str, Any], path: Path) -> None:
        """Takes over the state that :meth:`save` wrote to ``path``; ``JointModels.load`` does so
        for models.

        Raises:
            CheckpointError: the optimizers do not fit.
        """
        for name, optimizer in self.optimizers.items():
            try:
                optimizer.load_state_dict(saved["optimizers"][name])
            except (KeyError, TypeError, ValueError, AttributeError) as error:
                raise CheckpointError(
                    f"{path}: the state of the optimizer {name!r} is missing or does not fit"
                ) from error
        self.steps = int(saved["steps"])
        self.total_steps = int(saved.get("total_steps", self.total_steps))
        self.history = [EpochRecord.from_dict(values) for values in saved["history"]]
        self._best = saved["best"]


def learning_rate_factor(
    step: int,
    *,
    schedule: Literal["constant", "cosine", "linear"],
    warmup_steps: int,
    total_steps: int,
) -> float:
    """The factor on the learning rate at ``step`` (from 0) of ``total_steps``.

    It rises linearly over the first ``warmup_steps`` and reaches 1 at the last of them. Let p be
    the share of the remaining steps that are done, at most 1. The factor then is 1 (``constant``),
    ``1 - p`` (``linear``) or ``(1 + cos(pi p)) / 2`` (``cosine``; Loshchilov and Hutter, "SGDR",
    ICLR 2017, arXiv:1608.03983, without restarts).
    """
    if step < warmup_steps:
        return (step + 1) / warmup_steps
    # Without the bound a rate would rise again, or fall below 0.
    done = min(1.0, (step - warmup_steps) / max(1, total_steps - warmup_steps))
    if schedule == "linear":
        return 1.0 - done
    if schedule == "cosine":
        return (1.0 + math.cos(math.pi * done)) / 2
    return 1.0
