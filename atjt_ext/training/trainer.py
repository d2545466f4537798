"""Joint training of a recommender and the noise models that weigh its loss.

    L = sum_i w_i * loss_i / sum_i w_i  +  lambda * BCE(g(damaged sequences), damaged or not),
    w_i = P(sequence i is clean) according to g

Liu et al., "Enhancing Recommendation with Denoising Auxiliary Task", JCST 39(5) 2024,
arXiv:2409.17402.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import wraps
from pathlib import Path
from typing import Concatenate, Literal, ParamSpec, TypeVar, cast

import torch
from torch import Tensor, nn

from ..corruption import Corruption, RandomReplacement
from ..data import Batch, EvaluationSet, Sequences, TrainingRows, user_folds
from ..models.dropout import DropoutKey
from ..models.precision import autocast, usable_precision
from ..models.protocols import weighs_last_target_only
from ..ops.keyed_dropout import can_draw_on
from ..recognition.weighting import summarise_weights
from .batch_pairs import batch_pairs, steps_per_epoch
from .config import JointTrainerConfig
from .history import EpochRecord
from .joint_models import JointModels
from .objectives import auxiliary_loss, compiled, recommender_loss, softmax_route
from .progress import FitProgress
from .state import TrainingState
from .step_weights import on_targets_and_inputs
from .trouble import (
    TrainingDivergedError,
    WeightsCollapsedWarning,
    require_finite,
    warn_if_collapsed,
)

__all__ = ["JointTrainer", "StepResult", "TrainingDivergedError", "WeightsCollapsedWarning"]

_P = ParamSpec("_P")
_R = TypeVar("_R")


@dataclass(frozen=True, slots=True)
class StepResult:
    """Detached outcome of one step: losses (scalars) and the weights used (flat, no padding)."""

    recommender_loss: Tensor
    noise_loss: Tensor | None
    weights: Tensor


def _of_models(
    method: Callable[Concatenate[JointModels, _P], _R],
) -> Callable[Concatenate[JointTrainer, _P], _R]:
    """``method`` of a trainer's models as a method of the trainer."""

    @wraps(method)
    def of_trainer(self: JointTrainer, /, *args: _P.args, **kwargs: _P.kwargs) -> _R:
        return method(self.models, *args, **kwargs)

    return of_trainer


class JointTrainer:
    """Trains a recommender; weighs each sequence or interaction by how clean it looks.

    Args:
        recommender: any ``nn.Module`` that meets ``SequenceRecommender`` or
            ``PointwiseRecommender`` (:mod:`atjt_ext.models.protocols`).
        noise_model: prototype of the jointly trained noise models; each fold gets a copy
            with its present parameters. For ``weighting="clean_probability"`` and ``"calibrated"``
            (the recipes ``paper``, ``joint`` and, with :class:`~atjt_ext.BidirectionalNoiseModel`,
            ``joint_positions``); None under every other weighting.
        corruption: how sequences are damaged; None builds ``RandomReplacement`` from the config.
        config: every other option; None takes the defaults.
        device: where to train; None keeps the recommender's device.

    Attributes:
        models: the models without the training, for serving, audits and exports.
        config: all options, with ``weights_act_on`` decided.
        device: where the models live.
        recommender: the recommender that is trained.

    Two trainers with one seed do the same thing. Dropout masks depend on keys only, so a
    run with equal weights has the same masks and batches, whatever random numbers the noise models
    of the other run draw.
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
        self.models = JointModels(recommender, noise_model, config=config, device=device)
        self.config, self.device = self.models.config, self.models.device
        self.recommender = self.models.recommender
        self.corruption = corruption or RandomReplacement(
            num_items=cast(int, self.recommender.num_items), **self.config.damage
        )
        compiles = self.config.compile
        self._trained_through = compiled(self.recommender) if compiles else self.recommender
        self._state: TrainingState | None = None
        self._checkpoint: Path | None = None
        self._steps_per_epoch = 1
        self._targets_per_step = 0.0
        self._precision = usable_precision(self.config.precision, self.device)
        # With the softmax decided once for all batches.
        self._loss_config = self.config

    @property
    def state(self) -> TrainingState:
        """Optimizers and history of the latest ``fit`` or ``load``."""
        if self._state is None:
            raise RuntimeError("nothing is trained yet: call fit or load first")
        return self._state

    @property
    def softmax(self) -> Literal["logits", "linear"] | None:
        """How ``fit`` computed the softmax over the catalogue; None under other losses."""
        return softmax_route(self.recommender, self._loss_config, self._targets_per_step)

    # ---- one step: the method -------------------------------------------------------------------

    def step(
        self, batch: Batch, noise_batch: Batch, *, active: Sequence[int], weigh: bool
    ) -> StepResult:
        """One joint update.

        Args:
            batch: sequences that the recommender learns from.
            noise_batch: sequences that the noise models learn from once damaged.
            active: the noise models that learn.
            weigh: use the weights of the beliefs; otherwise ones.
        """
        config, state, beliefs = self.config, self.state, self.models.beliefs
        weights = torch.ones(len(batch), device=self.device)
        noise_loss = noisy = None
        if beliefs.noise_models is not None:
            noisy = self.corruption(
                noise_batch.sequences, seed=config.seed, step=state.steps, row_keys=noise_batch.rows
            )
        with autocast(self._precision, self.device):
            if beliefs.noise_models is not None and noisy is not None:
                noise_loss = beliefs.noise_models.noise_loss(noise_batch, noisy, active)
            if weigh:
                weights = beliefs.batch_weights(batch)
        if not config.gradient_through_weights:
            weights = weights.detach()
        # What a recommender draws without a key must not depend on random numbers drawn before it.
        torch.manual_seed(config.seed * 1_000_003 + state.steps)
        dropout_key = self._dropout_key(batch)
        on_targets, on_inputs = on_targets_and_inputs(weights, config)
        with autocast(self._precision, self.device):
            recommended = recommender_loss(
                self._trained_through,
                batch,
                on_targets,
                self._loss_config,
                input_weight=on_inputs,
                dropout_key=dropout_key,
                epochs_done=state.steps / self._steps_per_epoch,
            )
            recommended = recommended + auxiliary_loss(self.recommender, batch, dropout_key)
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

    def _dropout_key(self, batch: Batch) -> DropoutKey | None:
        """None where this build has no kernels for it."""
        step = self.state.steps
        if not can_draw_on(self.device):
            return None
        # A number would be a constant of the graph, compiled again at every step.
        step_of_graph = torch.tensor(step, device=self.device) if self.config.compile else step
        return DropoutKey(batch.rows, self.config.seed, step_of_graph)

    def _used(self, weights: Tensor, batch: Batch) -> Tensor:
        """The weights that had an effect, flat."""
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
        history: str | Path | None = None,
        resume: bool = False,
        progress: bool = True,
        title: str = "train",
        on_epoch: Callable[[list[EpochRecord]], None] | None = None,
    ) -> list[EpochRecord]:
        """Trains from the recommender's present parameters.

        Ends with the models of the best epoch on ``valid``; without ``patience``, of the last one.

        Args:
            train: training sequences.
            valid: validation data for early stopping; None trains all epochs.
            checkpoint: file that holds the whole state after every epoch.
            history: file beside ``checkpoint`` with a line of JSON per epoch.
            resume: continue from ``checkpoint`` if it exists; the result equals an unbroken run's.
            progress: show a bar and a line per epoch on stderr.
            title: how the progress lines begin.
            on_epoch: called with the history so far after every epoch.

        Raises:
            ValueError: recommender and data have different catalogues, ``softmax`` needs an item
                table that the recommender lacks, or ``resume`` or ``history`` has no checkpoint.
            CheckpointError: ``checkpoint`` is damaged or belongs to another run.
            TrainingDivergedError: the loss became NaN or infinite.
        """
        if resume and checkpoint is None:
            raise ValueError("resume needs a checkpoint to continue from")
        if history is not None and checkpoint is None:
            raise ValueError("history is written together with a checkpoint, got no checkpoint")
        beside = None if history is None else Path(history)
        rows, folds, total_steps = self._plan(train)
        if self.softmax is not None:
            self._loss_config = replace(self.config, softmax=self.softmax)
        self._checkpoint = None if checkpoint is None else Path(checkpoint)
        watched = None if valid is None else self.models.as_read(valid).to(self.device)
        self.models.begin(train.num_users)
        state = self._state = TrainingState(self.models)
        if resume and self._checkpoint is not None and self._checkpoint.exists():
            state.take(self.models.read_checkpoint(self._checkpoint), self._checkpoint)
            # A kill after the move of the checkpoint left the others behind.
            if beside is not None:
                state.save_history(beside)
            if on_epoch is not None:
                on_epoch(state.history)
        state.total_steps = total_steps  # the data decide, not a checkpoint
        epochs, metric = self.config.total_epochs, self.config.valid_metric
        with (
            torch.random.fork_rng([self.device] if self.device.type == "cuda" else []),
            FitProgress(title, total_epochs=epochs, valid_metric=metric, enabled=progress) as shown,
        ):
            self._announce(rows, train, title, shown)
            while not self._ended():
                state.record(self._epoch(len(state.history), rows, folds, watched, shown))
                shown.end_epoch(state.history[-1])
                if self._checkpoint is not None:
                    state.save(self._checkpoint, history=beside)
                if on_epoch is not None:
                    on_epoch(state.history)
        if self.models.noise_models is not None:
            warn_if_collapsed(state.history)
        state.restore_best()
        return state.history

    def _announce(
        self, rows: TrainingRows, train: Sequences, title: str, shown: FitProgress
    ) -> None:
        if self._ended():
            shown.message(f"{title}: trained already (epochs: {len(self.state.history)})")
        left_out = train.num_interactions - rows.sequences.num_interactions
        if (found := self.models.beliefs.summary(left_out)) is not None:
            shown.message(f"{title}: {found}")
        if self._precision != self.config.precision:
            shown.message(
                f"{title}: this processor has no instructions for {self.config.precision} "
                f"products, so training is in {self._precision}, which is faster here"
            )
        if self.softmax == "linear":
            shown.message(
                f"{title}: softmax over {train.num_items:,} items without logits "
                f"(softmax: {self.config.softmax})"
            )

    def _ended(self) -> bool:
        epochs = len(self.state.history)
        return epochs >= self.config.total_epochs or self.state.out_of_patience()

    def require_trainable(self, train: Sequences) -> None:
        """Raises the errors that ``fit`` would raise for ``train`` before its first step."""
        self._plan(train)

    def _plan(self, train: Sequences) -> tuple[TrainingRows, Tensor | None, int]:
        """Windows to learn from, the fold of each user (``[num_users]``; None without phases), and
        the steps of all epochs."""
        config = self.config
        if train.num_items != self.recommender.num_items:
            raise ValueError(
                f"the recommender has {self.recommender.num_items} items, "
                f"train has {train.num_items}"
            )
        self._loss_config = self.config
        _ = self.softmax  # refuses a recommender without the item table that it needs
        learned_from = self.models.beliefs.to_learn_from(train).to(self.device)
        rows = TrainingRows(learned_from, max_length=config.max_length, stride=config.window_stride)
        only_last = weighs_last_target_only(self.recommender)
        targets_per_row = 1 if only_last else rows.num_targets / len(rows)
        self._targets_per_step = min(config.batch_size, len(rows)) * targets_per_row
        folds: Tensor | None = None
        phases: list[tuple[int, Tensor] | None] = [None]
        if config.cross_fitting == "sequential":
            folds = user_folds(train.num_users, config.fold_count, seed=config.seed).to(self.device)
            phases = [(fold, folds) for fold in range(config.fold_count)]
        total_steps = config.epochs * sum(steps_per_epoch(rows, config, one) for one in phases)
        if config.schedule_warmup_steps >= total_steps:
            raise ValueError(
                f"schedule_warmup_steps must be below the {total_steps} steps of training, "
                f"got {config.schedule_warmup_steps}"
            )
        return rows, folds, total_steps

    def _epoch(
        self,
        epoch: int,
        rows: TrainingRows,
        folds: Tensor | None,
        valid: EvaluationSet | None,
        shown: FitProgress,
    ) -> EpochRecord:
        config, beliefs = self.config, self.models.beliefs
        phase, active, epoch_of_phase = None, range(config.fold_count), epoch
        if folds is not None:
            fold, epoch_of_phase = divmod(epoch, config.epochs)
            phase, active = (fold, folds), range(fold, fold + 1)
        used = beliefs.folds_weighed(active, epoch_of_phase)
        started = time.perf_counter()
        self.recommender.train()
        self._steps_per_epoch = steps_per_epoch(rows, config, phase)
        shown.start_epoch(epoch + 1, self._steps_per_epoch)
        results = []
        for batch, noise_batch in batch_pairs(rows, config, epoch, phase):
            results.append(self.step(batch, noise_batch, active=active, weigh=used != "none"))
            shown.advance()
        seconds = time.perf_counter() - started
        noise_losses = [one.noise_loss for one in results if one.noise_loss is not None]
        if (noise_models := beliefs.noise_models) is not None:
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

    # ---- files ----------------------------------------------------------------------------------

    def save(self, path: str | Path) -> None:
        """Writes models, optimizers and history to ``path``, atomically."""
        self.state.save(Path(path))

    def load(self, path: str | Path, *, num_users: int) -> None:
        """Takes over the state that ``save`` or ``fit`` wrote; :meth:`JointModels.load` describes
        the arguments and the choice of the models."""
        saved = self.models.load(path, num_users=num_users)
        self._state = TrainingState(self.models)
        self._state.take(saved, Path(path))

    # ---- of the models --------------------------------------------------------------------------

    evaluate = _of_models(JointModels.evaluate)
    ranks = _of_models(JointModels.ranks)
    recommend = _of_models(JointModels.recommend)
    as_read = _of_models(JointModels.as_read)
    recognise = _of_models(JointModels.recognise)
    interaction_noise_logits = _of_models(JointModels.interaction_noise_logits)
    interaction_weights = _of_models(JointModels.interaction_weights)
    sequence_weights = _of_models(JointModels.sequence_weights)
    noise_detection = _of_models(JointModels.noise_detection)

    @property
    def held_out_auc(self) -> float | None:
        """See :attr:`JointModels.held_out_auc`."""
        return self.models.held_out_auc
