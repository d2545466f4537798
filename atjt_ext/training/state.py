"""All that changes while training: what a checkpoint holds and a resumed run goes on from."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from dataclasses import asdict, fields
from functools import cached_property
from pathlib import Path
from typing import Any, cast

import torch
from torch import nn

from ..data import user_folds
from ..models.protocols import weighs_last_target_only
from ..recognition.cross_fitting import Calibration, CrossFittedNoiseModels
from .checkpoint import CheckpointError, load_checkpoint, save_checkpoint
from .config import JointTrainerConfig
from .history import EpochRecord
from .schedule import learning_rate_factor

__all__ = ["TrainingState"]


class TrainingState:
    """Models, optimizers, step count, history and the best epoch so far.

    Random numbers need no state: batches, damage and dropout are functions of (seed, epoch or
    step).

    Args:
        recommender: trained in place.
        noise_model: prototype that each fold copies; None where no noise model runs.
        config: see :class:`JointTrainerConfig`.
        num_users: users to deal into folds.
        device: where noise models and folds live.
    """

    def __init__(
        self,
        recommender: nn.Module,
        noise_model: nn.Module | None,
        config: JointTrainerConfig,
        num_users: int,
        device: torch.device,
    ) -> None:
        self.config = config
        self.num_users = num_users
        self.device = device
        self.steps = 0
        self.total_steps = 1
        self.history: list[EpochRecord] = []
        self.recommender = recommender
        self.noise_models: CrossFittedNoiseModels | None = None
        self.optimizers = {
            "recommender": self._optimizer(recommender.parameters(), config.learning_rate)
        }
        # Without effect but for float16.
        self._scaler = torch.amp.GradScaler(device.type, enabled=config.precision == "float16")
        self._best: dict[str, Any] | None = None
        if noise_model is not None:
            self.noise_models = CrossFittedNoiseModels(
                noise_model,
                self.folds,
                config,
                last_target_only=weighs_last_target_only(recommender),
            ).to(device)
            self.optimizers["noise_models"] = self._optimizer(
                self.noise_models.parameters(), config.noise_learning_rate
            )

    @cached_property
    def folds(self) -> torch.Tensor:
        """``[num_users]`` int64, the fold of each user; only asked for where folds matter."""
        dealt = user_folds(self.num_users, self.config.num_folds, seed=self.config.seed)
        return dealt.to(self.device)

    def _optimizer(self, parameters: Iterable[nn.Parameter], rate: float) -> torch.optim.Optimizer:
        weight_decay = self.config.weight_decay
        if self.config.optimizer == "adagrad":
            return torch.optim.Adagrad(parameters, lr=rate, weight_decay=weight_decay)
        return torch.optim.Adam(parameters, lr=rate, weight_decay=weight_decay)

    def update(self, loss: torch.Tensor) -> None:
        """One optimizer step of all models on the joint loss."""
        self._set_learning_rate()
        for optimizer in self.optimizers.values():
            optimizer.zero_grad(set_to_none=True)
        self._scaler.scale(loss).backward()
        # A scaler refuses optimizers without a gradient, and they have nothing to do.
        moved = [optimizer for optimizer in self.optimizers.values() if _has_gradient(optimizer)]
        for optimizer in moved:
            self._scaler.unscale_(optimizer)  # first, as norms are of gradients, not of scaled ones
        if self.config.clip_grad_norm is not None:
            nn.utils.clip_grad_norm_(self.recommender.parameters(), self.config.clip_grad_norm)
        for optimizer in moved:
            self._scaler.step(optimizer)
        self._scaler.update()
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
        """The recommender's, in its latest step."""
        rate: float = self.optimizers["recommender"].param_groups[0]["lr"]
        return rate

    @property
    def scale(self) -> float:
        """What float16 losses are multiplied by at present; 1 in other precisions."""
        return float(self._scaler.get_scale())

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
        """Appends an epoch and remembers its models if they are the best so far.

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
            models = copy.deepcopy(self._models())
            self._best = {"epoch": record.epoch, "value": value, "models": models}

    def out_of_patience(self) -> bool:
        """Whether early stopping ends training here."""
        patience = self.config.patience
        if patience is None or self.best_epoch is None:
            return False
        epochs = len(self.history)
        return (
            epochs >= self.config.min_epochs
            and self.steps >= self.config.min_steps
            and epochs - self.best_epoch >= patience
        )

    def restore_best(self) -> None:
        """Puts the best epoch's models back; without ``patience`` the last ones stay."""
        if self.config.patience is not None and self._best is not None:
            self._restore(self._best["models"])

    # ---- checkpoints ----------------------------------------------------------------------------

    def _models(self) -> dict[str, Any]:
        models: dict[str, Any] = {"recommender": self.recommender.state_dict()}
        if self.noise_models is not None:
            models["noise_models"] = self.noise_models.state_dict()
            models["calibrations"] = [
                None if calibration is None else asdict(calibration)
                for calibration in self.noise_models.calibrations
            ]
        return models

    def _restore(self, models: dict[str, Any]) -> None:
        self.recommender.load_state_dict(models["recommender"])
        if self.noise_models is not None:
            self.noise_models.load_state_dict(models["noise_models"])
            self.noise_models.calibrations = [
                None if values is None else Calibration(**values)
                for values in models["calibrations"]
            ]

    def save(self, path: Path) -> None:
        """Writes everything to ``path``, atomically."""
        save_checkpoint(
            path,
            {
                "config": asdict(self.config),
                "num_items": cast(int, self.recommender.num_items),
                "num_users": self.num_users,
                "steps": self.steps,
                "total_steps": self.total_steps,
                "history": [record.as_dict() for record in self.history],
                "models": self._models(),
                "best": self._best,
                "optimizers": {
                    name: optimizer.state_dict() for name, optimizer in self.optimizers.items()
                },
                "scaler": self._scaler.state_dict(),
            },
        )

    def load(self, path: Path) -> None:
        """Takes over the state in ``path``.

        Raises:
            CheckpointError: unreadable, another catalogue, other users, or another config.
        """
        device = next(self.recommender.parameters()).device
        saved = load_checkpoint(path, device=device)
        self._check_same(path, "num_items", saved["num_items"], self.recommender.num_items)
        self._check_same(path, "num_users", saved["num_users"], self.num_users)
        # An option that came later did then what its default does now, or tells when to stop.
        defaults = {one.name: one.default for one in fields(self.config)}
        for name, value in asdict(self.config).items():
            self._check_same(path, name, saved["config"].get(name, defaults[name]), value)
        try:
            self._restore(saved["models"])
        except RuntimeError as error:
            raise CheckpointError(
                f"{path}: the checkpoint's parameters do not fit the models: "
                f"{' '.join(str(error).split())[:300]}"
            ) from error
        for name, optimizer in self.optimizers.items():
            optimizer.load_state_dict(saved["optimizers"][name])
        if self._scaler.is_enabled():
            self._scaler.load_state_dict(saved["scaler"])
        self.steps = int(saved["steps"])
        self.total_steps = int(saved.get("total_steps", self.total_steps))
        self.history = [EpochRecord.from_dict(values) for values in saved["history"]]
        self._best = saved["best"]

    @staticmethod
    def _check_same(path: Path, name: str, saved: Any, wanted: Any) -> None:
        if saved != wanted:
            raise CheckpointError(
                f"{path}: the checkpoint was made with {name}={saved}, this run has {name}={wanted}"
            )


def _has_gradient(optimizer: torch.optim.Optimizer) -> bool:
    return any(
        parameter.grad is not None
        for group in optimizer.param_groups
        for parameter in group["params"]
    )
