"""Joint training of a recommender and the noise models that weigh its loss.

    L = sum_i w_i * loss_i / sum_i w_i  +  lambda * BCE(g(damaged sequences), damaged or not),
    w_i = P(sequence i is clean) according to g

Liu et al., "Enhancing Recommendation with Denoising Auxiliary Task", JCST 39(5) 2024,
arXiv:2409.17402.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, cast

import torch
from torch import Tensor, nn

from ..corruption import Corruption, RandomReplacement
from ..data import Batch, EvaluationSet, Sequences, TrainingRows, user_folds
from ..models.precision import autocast, require_precision
from ..models.protocols import weighs_last_target_only
from ..models.scoring import require_input_weight
from ..recognition.weighting import summarise_weights
from .batch_pairs import batch_pairs, steps_per_epoch
from .compilation import compiled
from .config import JointTrainerConfig
from .history import EpochRecord
from .joint_models import JointModels
from .objectives import auxiliary_loss, recommender_loss, softmax_route
from .progress import FitProgress
from .schedule import require_schedule
from .step_weights import on_targets_and_inputs, weights_of_losses
from .trouble import (
    TrainingDivergedError,
    WeightsCollapsedWarning,
    require_finite,
    warn_if_collapsed,
)

__all__ = ["JointTrainer", "StepResult", "TrainingDivergedError", "WeightsCollapsedWarning"]


@dataclass(frozen=True, slots=True)
class StepResult:
    """Detached outcome of one step: losses (scalars) and the weights used (flat, no padding)."""

    recommender_loss: Tensor
    noise_loss: Tensor | None
    weights: Tensor


class JointTrainer(JointModels):
    """Trains a recommender on sequences, or on their interactions, weighed by how clean they look.

    Args:
        recommender: any ``nn.Module`` that meets ``SequenceRecommender`` or
            ``PointwiseRecommender`` (:mod:`atjt_ext.models.protocols`).
        noise_model: prototype of the noise models that are trained along; each fold gets a copy
            with its present parameters. For ``weighting="clean_probability"`` and ``"calibrated"``
            (the recipes ``paper``, ``joint`` and, with :class:`~atjt_ext.BidirectionalNoiseModel`,
            ``joint_positions``); None for all others.
        corruption: how sequences are damaged; None builds ``RandomReplacement`` from the config.
        config: every other choice.
        device: where to train; None keeps the recommender's.

    Two trainers with one seed do the same thing. Dropout masks depend on (seed, step) only, so a
    run with all weights one sees the same masks and batches, whatever its noise models drew.
    """

    def __init__(
        self,
        recommender: nn.Module,
        noise_model: nn.Module | None = None,
        corruption: Corruption | None = None,
        config: JointTrainerConfig | None = None,
        *,
        device: torch.device | str | None = None,
    ) -> None:
        super().__init__(recommender, noise_model, config or JointTrainerConfig(), device)
        if noise_model is None and self.config.learns_noise:
            raise ValueError(
                f"noise_model must be given under weighting={self.config.weighting!r}; "
                "only weighting='co_occurrence', 'given' and 'equal' need none"
            )
        if noise_model is not None and self.config.weighting in ("co_occurrence", "given"):
            raise ValueError(
                f"noise_model must be None under weighting={self.config.weighting!r}, which trains "
                f"none, got {type(noise_model).__name__}; the recipe 'joint' "
                "(weighting='calibrated') trains one along"
            )
        if self.config.weighs_inputs:
            require_input_weight(recommender)
        if not self.config.learns_noise:
            self.noise_model = None
        self.corruption = corruption or RandomReplacement(
            num_items=cast(int, self.recommender.num_items),
            **self.config.damage,
        )
        require_precision(self.config.precision, self.device)
        self._trained_through = (
            compiled(self.recommender) if self.config.compile else self.recommender
        )
        self._checkpoint: Path | None = None
        self._steps_per_epoch = 1

    @property
    def softmax(self) -> Literal["logits", "linear"] | None:
        """How the softmax over the catalogue is computed here; None under other losses."""
        return softmax_route(self.recommender, loss=self.config.loss, softmax=self.config.softmax)

    # ---- one step: the method -------------------------------------------------------------------

    def step(
        self, batch: Batch, noise_batch: Batch, *, active: Sequence[int], weigh: bool
    ) -> StepResult:
        """One joint update.

        Args:
            batch: sequences that the recommender learns from.
            noise_batch: sequences that the noise models learn from once damaged.
            active: the noise models that learn.
            weigh: use the noise models' weights; otherwise ones.
        """
        config, state, noise_models = self.config, self.state, self.state.noise_models
        weights = torch.ones(len(batch), device=self.device)
        noise_loss = None
        if noise_models is not None:
            noisy = self.corruption(
                noise_batch.sequences, seed=config.seed, step=state.steps, row_keys=noise_batch.rows
            )
            with autocast(config.precision, self.device):
                noise_loss = noise_models.noise_loss(noise_batch, noisy, active)
                if weigh:
                    weights = noise_models.weights(batch)
        elif weigh and batch.weights is not None:
            weights = batch.weights
        if not config.gradient_through_weights:
            weights = weights.detach()
        # The recommender's dropout must not depend on what else drew random numbers before it.
        torch.manual_seed(config.seed * 1_000_003 + state.steps)
        on_targets, on_inputs = on_targets_and_inputs(weights, config)
        with autocast(config.precision, self.device):
            recommended = recommender_loss(
                self._trained_through,
                batch,
                on_targets,
                loss=config.loss,
                num_negatives=config.num_negatives,
                softmax=config.softmax,
                input_weight=on_inputs,
                adapt=weights_of_losses(config, state.steps / self._steps_per_epoch),
            )
            recommended = recommended + auxiliary_loss(self.recommender, batch)
        loss = recommended
        if noise_loss is not None:
            loss = loss + config.noise_loss_weight * noise_loss
        require_finite(loss, batch, state.steps, self._checkpoint)
        state.update(loss)
        return StepResult(
            recommended.detach(),
            None if noise_loss is None else noise_loss.detach(),
            self._used(weights, batch).detach(),
        )

    def _used(self, weights: Tensor, batch: Batch) -> Tensor:
        """The weights that acted, flat."""
        if weights.dim() == 1:
            return weights
        if weighs_last_target_only(self.recommender):
            return weights[:, -1]
        return weights[batch.sequences != 0]

    # ---- epochs ---------------------------------------------------------------------------------

    def fit(
        self,
        train: Sequences,
        valid: EvaluationSet | None = None,
        *,
        checkpoint: str | Path | None = None,
        resume: bool = False,
        progress: bool = True,
        title: str = "train",
        on_epoch: Callable[[list[EpochRecord]], None] | None = None,
    ) -> list[EpochRecord]:
        """Trains from the recommender's present parameters.

        Ends with the models of the best epoch on ``valid`` (of the last one without ``patience``).

        Args:
            train: training sequences.
            valid: what early stopping watches; None trains all epochs.
            checkpoint: file that holds the whole state after every epoch.
            resume: go on from ``checkpoint`` if it exists; the result is that of an unbroken run.
            progress: show a bar and a line per epoch on stderr.
            title: what the progress lines begin with.
            on_epoch: called with the history so far after every epoch.

        Raises:
            ValueError: recommender and data disagree about the catalogue, ``softmax`` asks for an
                item table that the recommender lacks, or ``resume`` has no file.
            CheckpointError: ``checkpoint`` is damaged or belongs to another run.
            TrainingDivergedError: the loss became NaN or infinite.
        """
        if resume and checkpoint is None:
            raise ValueError("resume needs a checkpoint to go on from")
        learned_from, rows, total_steps = self._prepared(train)
        softmax = self.softmax
        self._checkpoint = None if checkpoint is None else Path(checkpoint)
        watched = None if valid is None else self.as_read(valid).to(self.device)
        state = self._state = self._new_state(train.num_users)
        if resume and self._checkpoint is not None and self._checkpoint.exists():
            state.load(self._checkpoint)
            if on_epoch is not None:  # a kill between checkpoint and callback left it behind
                on_epoch(state.history)
        state.total_steps = total_steps  # as counted here, whatever a checkpoint says
        with (
            torch.random.fork_rng([self.device] if self.device.type == "cuda" else []),
            FitProgress(
                title,
                total_epochs=self.config.total_epochs,
                valid_metric=self.config.valid_metric,
                enabled=progress,
            ) as shown,
        ):
            if self._ended():
                shown.message(f"{title}: trained already (epochs: {len(state.history)})")
            if self.config.weighting == "co_occurrence":
                left_out = train.num_interactions - learned_from.num_interactions
                shown.message(f"{title}: {self.recognise(train).summary(left_out)}")
            if softmax == "linear":
                shown.message(
                    f"{title}: softmax over {train.num_items:,} items without logits "
                    f"(softmax: {self.config.softmax})"
                )
            while not self._ended():
                state.record(self._epoch(len(state.history), rows, watched, shown))
                shown.end_epoch(state.history[-1])
                if self._checkpoint is not None:
                    state.save(self._checkpoint)
                if on_epoch is not None:
                    on_epoch(state.history)
        if state.noise_models is not None:
            warn_if_collapsed(state.history)
        state.restore_best()
        return state.history

    def _ended(self) -> bool:
        epochs = len(self.state.history)
        return epochs >= self.config.total_epochs or self.state.out_of_patience()

    def require_trainable(self, train: Sequences) -> None:
        """Raises what ``fit`` would for ``train`` before its first step; see there."""
        self._prepared(train)

    def _prepared(self, train: Sequences) -> tuple[Sequences, TrainingRows, int]:
        """What is learned from, its windows, and steps of all epochs if none is left out."""
        config = self.config
        if train.num_items != self.recommender.num_items:
            raise ValueError(
                f"the recommender knows {self.recommender.num_items} items, "
                f"train has {train.num_items}"
            )
        _ = self.softmax  # refuses a recommender without the table that it asks for
        if config.weighting == "given" and train.weights is None:
            raise ValueError(
                "weighting='given' needs training sequences that carry weights: of a column that "
                "weight_column names, or made by dataclasses.replace(train, weights=...)"
            )
        learned_from = self.to_learn_from(train)
        rows = TrainingRows(
            learned_from.to(self.device), max_length=config.max_length, stride=config.window_stride
        )
        if config.cross_fitting == "sequential":
            folds = user_folds(train.num_users, config.num_folds, seed=config.seed).to(self.device)
            phases = [(phase, folds) for phase in range(config.num_folds)]
            steps = sum(steps_per_epoch(rows, config, phase) for phase in phases)
        else:
            steps = steps_per_epoch(rows, config, None)
        require_schedule(config.schedule_warmup_steps, config.epochs * steps)
        return learned_from, rows, config.epochs * steps

    def _epoch(
        self, epoch: int, rows: TrainingRows, valid: EvaluationSet | None, shown: FitProgress
    ) -> EpochRecord:
        config, noise_models = self.config, self.state.noise_models
        phase = epoch // config.epochs if config.cross_fitting == "sequential" else None
        active = range(config.num_folds) if phase is None else [phase]
        used = "none"
        epoch_of_phase = epoch if phase is None else epoch % config.epochs
        if noise_models is not None and epoch_of_phase >= config.warmup_epochs:
            used = noise_models.folds_weighed(active)
        elif config.weighting == "given" or self._knows_noise:
            used = "all"
        started = time.perf_counter()
        self.recommender.train()
        fold = None if phase is None else (phase, self.state.folds)
        self._steps_per_epoch = steps_per_epoch(rows, config, fold)
        shown.start_epoch(epoch + 1, self._steps_per_epoch)
        results = []
        for batch, noise_batch in batch_pairs(rows, config, epoch, fold):
            results.append(self.step(batch, noise_batch, active=active, weigh=used != "none"))
            shown.advance()
        seconds = time.perf_counter() - started
        noise_losses = [r.noise_loss for r in results if r.noise_loss is not None]
        if noise_models is not None:
            noise_models.calibrate(rows, self.corruption, active)
            gated = noise_models.folds_weighed(active) != "all" != used
            if gated and epoch_of_phase + 1 >= config.warmup_epochs:
                shown.message_once(noise_models.gate_message(active))
        return EpochRecord(
            epoch=epoch + 1,
            recommender_loss=float(torch.stack([r.recommender_loss for r in results]).mean()),
            noise_loss=float(torch.stack(noise_losses).mean()) if noise_losses else None,
            noise_auc=None if noise_models is None else noise_models.held_out_auc,
            weights=summarise_weights(torch.cat([r.weights for r in results])),
            weights_used=used,
            valid={} if valid is None else self.evaluate(valid),
            seconds=seconds,
            learning_rate=self.state.learning_rate,
        )
