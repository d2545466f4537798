"""How badly a quickly trained recommender fits each interaction."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor
from torch.nn import functional as F

from ..data import Batch, LeaveOneOut, TrainingRows
from ..data.batches import per_interaction
from ..models.inference import inference
from ..models.protocols import weighs_last_target_only
from ..models.scoring import score_catalogue
from ..runs.build import base_model
from ..runs.config import RunConfig
from ..training.trainer import JointTrainer

__all__ = ["pilot_losses"]


def pilot_losses(
    config: RunConfig,
    split: LeaveOneOut,
    *,
    epochs: int,
    device: torch.device | str | None = None,
) -> Tensor:
    """Softmax losses ``[N]`` of the training interactions after ``epochs`` of equal weights.

    In sample, as loss-based methods have it. An interaction that is no target gets its window's
    mean: a user's first, and all but the last of a window where the model predicts no other.
    """
    trainer_config = replace(
        config.trainer, weighting="equal", epochs=epochs, patience=None, weights_act_on="targets"
    )
    trainer = base_model(replace(config, trainer=trainer_config), split.train, device=device)
    trainer.fit(split.train, progress=False)
    rows = TrainingRows(split.train.to(trainer.device), max_length=config.trainer.max_length)
    with inference(trainer.recommender):
        losses = per_interaction(rows, lambda batch: _losses(trainer, batch))
    return torch.where(losses.isnan(), losses.nanmean(), losses)


def _losses(trainer: JointTrainer, batch: Batch) -> Tensor:
    """``[B, W]`` losses of a window's items as targets, its mean where they are none."""
    recommender = trainer.recommender
    if not weighs_last_target_only(recommender):
        valid = batch.is_target
        hidden, table = recommender.encode(batch.inputs)[valid], recommender.item_table()[1:]
        targets = batch.targets[valid] - 1
        packed = torch.cat(
            [
                F.cross_entropy(part @ table.T, wanted, reduction="none")
                for part, wanted in zip(hidden.split(4096), targets.split(4096), strict=True)
            ]
        )
        grid = torch.full(batch.sequences.shape, torch.nan, device=packed.device)
        grid[:, 1:][valid] = packed
        return torch.where(grid.isnan(), grid.nanmean(dim=1, keepdim=True), grid)
    logits = score_catalogue(recommender, batch)
    last = F.cross_entropy(logits, batch.targets[:, -1] - 1, reduction="none")
    return last[:, None].expand(batch.sequences.shape)
