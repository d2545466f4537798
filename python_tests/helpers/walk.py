"""Trains a pointwise recommender and records the tensors of every step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.utils.hooks import RemovableHandle

from atjt_ext import JointTrainer
from atjt_ext.corruption import CorruptionOutput
from atjt_ext.data import Batch, Sequences
from atjt_ext.training.trouble import require_finite
from helpers.joint import parameters


@dataclass
class Judged:
    """One call of a noise model: its fold, its batch and its logits."""

    model: int
    batch: Batch
    logits: Tensor


@dataclass
class Step:
    """One step.

    Attributes:
        phase: Fold of the noise model that learned.
        recommended: The batch of the recommender.
        to_damage: The batch of the noise model, before the damage.
        damage: The damaged batch.
        judged: Every call of a noise model, in order.
        scored: Every call of the recommender: batch, candidates, scores.
        loss: The joint loss.
        recommender_before: All parameters of the recommender.
        noise_models_before: All parameters of each noise model.
        noise_gradient: Gradient of the loss in the parameters of the noise model that learned.
    """

    phase: int
    recommended: Batch
    to_damage: Batch
    damage: CorruptionOutput
    judged: list[Judged]
    scored: list[tuple[Batch, Tensor, Tensor]]
    loss: Tensor
    recommender_before: Tensor
    noise_models_before: list[Tensor]
    noise_gradient: Tensor


@dataclass
class Walk:
    """A finished training."""

    trainer: JointTrainer
    steps: list[Step]
    noise_models_after: list[Tensor]

    def of(self, phase: int) -> list[Step]:
        return [step for step in self.steps if step.phase == phase]


def walk_through(trainer: JointTrainer, train: Sequences) -> Walk:
    """Fits ``trainer``, in which one noise model learns at a time, and records the steps."""
    walk = Walk(trainer, [], [])
    with pytest.MonkeyPatch.context() as patch:
        _watch(walk, patch)
        trainer.fit(train, progress=False)
    walk.noise_models_after = _noise_models(trainer)
    return walk


def _noise_models(trainer: JointTrainer) -> list[Tensor]:
    models = trainer.models.noise_models
    assert models is not None
    return [parameters(model) for model in models.models]


def _watch(walk: Walk, patch: pytest.MonkeyPatch) -> None:
    trainer = walk.trainer
    take_step, score = trainer.step, trainer.recommender.score
    corrupt = trainer.corruption
    damages: list[CorruptionOutput] = []
    losses: list[Tensor] = []
    scored: list[tuple[Batch, Tensor, Tensor]] = []

    def step(batch: Batch, noise_batch: Batch, *, active: Sequence[int], weigh: bool) -> object:
        assert weigh, "the paper's code weighs from the first step on"
        (phase,) = active
        models = trainer.models.noise_models
        assert models is not None
        judged: list[Judged] = []
        scored.clear()
        before = parameters(trainer.recommender), _noise_models(trainer)
        hooks = [_listen(model, index, judged) for index, model in enumerate(models.models)]
        result = take_step(batch, noise_batch, active=active, weigh=weigh)
        for hook in hooks:
            hook.remove()
        gradients = [p.grad for p in models.models[phase].parameters() if p.grad is not None]
        gradient = torch.cat([part.flatten() for part in gradients])
        walk.steps.append(
            Step(
                phase,
                batch,
                noise_batch,
                damages[-1],
                judged,
                list(scored),
                losses[-1],
                *before,
                gradient,
            )
        )
        return result

    def watched_corruption(sequences: Tensor, **keys: object) -> CorruptionOutput:
        damages.append(corrupt(sequences, **keys))  # type: ignore[arg-type]
        return damages[-1]

    def watched_score(batch: Batch, candidates: Tensor) -> Tensor:
        scores: Tensor = score(batch, candidates)
        scored.append((batch, candidates, scores.detach()))
        return scores

    def watched_loss(loss: Tensor, batch: Batch, step: int, checkpoint: Path | None) -> None:
        losses.append(loss.detach())
        require_finite(loss, batch, step, checkpoint)

    patch.setattr(trainer, "step", step)
    patch.setattr(trainer, "corruption", watched_corruption)
    patch.setattr("atjt_ext.training.trainer.require_finite", watched_loss)
    patch.setattr(trainer.recommender, "score", watched_score)


def _listen(model: torch.nn.Module, index: int, judged: list[Judged]) -> RemovableHandle:
    def listener(_: torch.nn.Module, arguments: tuple[Batch], logits: Tensor) -> None:
        judged.append(Judged(index, *arguments, logits.detach()))

    return model.register_forward_hook(listener)
