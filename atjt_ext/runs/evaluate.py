"""The measurements of a trained run, and its comparison with the baseline."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ..data import LeaveOneOut, Sequences
from ..data.locks import exclusive
from ..evaluation.metrics import ranking_metrics, user_gains
from ..evaluation.sampled import has_negatives, sampled_evaluate
from ..evaluation.statistics import users_interval
from ..training.checkpoint import CheckpointError
from ..training.joint_models import JointModels
from .folder import Run

__all__ = ["compare_runs", "evaluate_run", "sampled_part", "sampled_test"]


def compare_runs(run: Run, baseline: Run, metric: str) -> str:
    """The gain of ``run`` over ``baseline`` on test data, in words; also writes comparison.json.

    Raises:
        CheckpointError: the ranks of a run can't be read, or those of ``baseline`` are of other
            users.
    """
    if not run.ranks_of_users()["user"].equals(baseline.ranks_of_users()["user"]):
        raise CheckpointError(f"{baseline.ranks_path}: other users than in {run.ranks_path}")
    gains = user_gains(run.ranks(), metric) - user_gains(baseline.ranks(), metric)
    gain, (low, high) = float(gains.mean()), users_interval(gains)
    config = run.config()
    comparison = (
        {"recipe": config.recipe, "baseline": baseline.folder.name}
        | {"seed": config.trainer.seed, "metric": metric, "gain": gain, "low": low, "high": high}
        | {"confidence": 0.95, "users": len(gains)}
    )
    with exclusive(run.folder, "a comparison"):
        run.write_comparison(comparison)
    verdict = "better" if low > 0 else "worse" if high < 0 else "no difference shown"
    return (
        f"{metric} against equal weights: {gain:+.4f}, 95 % over users {low:+.4f} to "
        f"{high:+.4f}: {verdict} by this one seed (atjt experiment compares over several)"
    )


def evaluate_run(
    models: JointModels, split: LeaveOneOut, ranks: Tensor | None = None
) -> dict[str, Any]:
    """Full ranking on test and validation data, and the paper's sampled protocol on test data.

    ``ranks`` are ``models.ranks(split.test)``; None computes them.
    """
    ranks = models.ranks(split.test) if ranks is None else ranks
    return {
        "test": ranking_metrics(ranks),
        "valid": models.evaluate(split.valid),
        **sampled_part(models, split, split.train),
        "seen_items_excluded": True,
    }


def sampled_part(models: JointModels, split: LeaveOneOut, train: Sequences) -> dict[str, Any]:
    """``sampled_test`` under its name, and under ``sampled_test_left_out`` how many users it leaves
    out, if any."""
    usable = has_negatives(models.as_read(split.test), _popularity(train))
    left_out = int((~usable).sum())
    values = {"sampled_test": sampled_test(models, split, train)}
    return values | ({"sampled_test_left_out": left_out} if left_out else {})


def sampled_test(
    models: JointModels, split: LeaveOneOut, train: Sequences
) -> dict[str, float | None]:
    """The paper's sampled protocol on test data; negatives by their popularity in ``train``."""
    return sampled_evaluate(
        models.recommender,
        models.as_read(split.test).to(models.device),
        _popularity(train),
        max_length=models.config.max_length,
        weigh_inputs=models.config.weighs_inputs,
    )


def _popularity(train: Sequences) -> Tensor:
    """``[num_items]``, the training interactions of each item."""
    return torch.bincount(train.items.cpu(), minlength=train.num_items + 1)[1:]
