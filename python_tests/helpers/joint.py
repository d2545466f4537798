"""Small trainers on small noisy data, for the tests of training."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from atjt_ext import JointTrainer, JointTrainerConfig, SASRec, TargetAttentionNoiseModel
from atjt_ext.data import LeaveOneOut


def config(**changes: object) -> JointTrainerConfig:
    """A config of three small epochs; recipe ``joint`` by default."""
    small = {"epochs": 3, "batch_size": 32, "max_length": 12, "learning_rate": 5e-3}
    if "recipe" not in changes:
        small["recipe"] = "joint"
    return JointTrainerConfig.from_recipe(**{**small, **changes})  # type: ignore[arg-type]


def trainer(
    split: LeaveOneOut, *, noise_model: nn.Module | None = None, **changes: object
) -> JointTrainer:
    """A small SASRec, with a noise model where the recipe takes one."""
    torch.manual_seed(0)
    items, chosen = split.train.num_items, config(**changes)
    recommender = SASRec(items, max_length=12, embedding_dim=16, num_blocks=1, dropout=0.3)
    usual = TargetAttentionNoiseModel(items, embedding_dim=8, hidden_dims=(16,))
    takes_one = chosen.learns_noise or chosen.weighting == "equal"
    return JointTrainer(recommender, (noise_model or usual) if takes_one else None, config=chosen)


def parameters(module: nn.Module) -> Tensor:
    """All parameters in one vector."""
    return torch.cat([p.detach().flatten() for p in module.parameters()])


def fit(split: LeaveOneOut, **changes: object) -> JointTrainer:
    """A trainer after ``fit``."""
    made = trainer(split, **changes)
    made.fit(split.train, split.valid, progress=False)
    return made
