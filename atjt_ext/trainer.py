"""Joint training of a recommender and the noise models that weigh its loss.

    L = sum_i w_i * loss_i / sum_i w_i  +  lambda * BCE(g(damaged sequences), damaged or not),
    w_i = P(sequence i is clean) according to g

Liu et al., "Enhancing Recommendation with Denoising Auxiliary Task", JCST 39(5) 2024,
arXiv:2409.17402.
"""

from __future__ import annotations

import itertools
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal, cast

import torch
from torch import Tensor, nn

from .adaptive_denoising import drop_share, reweighted_loss_weights, truncated_loss_weights
from .config import JointTrainerConfig
from .corruption import Corruption, RandomReplacement
from .data import Batch, EvaluationSet, Sequences, TrainingRows
from .evaluation import evaluate, full_ranks, top_k
from .history import EpochRecord
from .inference import inference
from .noise_scores import detection_auc, per_interaction, per_user
from .objectives import auxiliary_loss, recommender_loss, softmax_route
from .progress import FitProgress
from .scoring import require_input_weight, require_recommender
from .training_state import TrainingState
from .weighting import summarise_weights

__all__ = ["JointTrainer", "StepResult", "TrainingDivergedError", "WeightsCollapsedWarning"]


class TrainingDivergedError(RuntimeError):
    """The loss became NaN or infinite."""


class WeightsCollapsedWarning(UserWarning):
    """All weights are alike, so that reweighting changes nothing."""


@dataclass(frozen=True, slots=True)
class StepResult:
    """Detached outcome of one step: losses (scalars) and the weights used."""

    recommender_loss: Tensor
    noise_loss: Tensor | None
    weights: Tensor


class JointTrainer:
    """Trains a recommender on sequences weighed by how clean they look.

    Args:
        recommender: any ``nn.Module`` that meets ``SequenceRecommender`` or
            ``PointwiseRecommender`` (:mod:`atjt_ext.protocols`).
        noise_model: prototype of the noise models; each fold gets a copy with its present
            parameters. None is allowed under ``weighting="equal"`` and ``"given"``.
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
        require_recommender(recommender)
        self.config = config or JointTrainerConfig()
        if noise_model is None and self.config.learns_noise:
            raise ValueError(
                f"noise_model must be given under weighting={self.config.weighting!r}; "
                "only weighting='equal' and 'given' need none"
            )
        if self.config.weighs_inputs:
            require_input_weight(recommender)
        first = next(recommender.parameters(), None)
        self.device = torch.device(device or (first.device if first is not None else "cpu"))
        self.recommender: Any = recommender.to(self.device)
        self.noise_model = noise_model if self.config.learns_noise else None
        self.corruption = corruption or RandomReplacement(
            num_items=cast(int, self.recommender.num_items),
            sequence_fraction=self.config.sequence_fraction,
            num_replacements=self.config.num_replacements,
            replace_ratio=self.config.replace_ratio,
            include_target=self.config.corrupt_target,
        )
        self._state: TrainingState | None = None
        self._checkpoint: Path | None = None
        self._steps_per_epoch = 1

    @property
    def state(self) -> TrainingState:
        """Models, optimizers and history of the latest ``fit`` or ``load``."""
        if self._state is None:
            raise RuntimeError("nothing is trained yet: call fit or load first")
        return self._state

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
            noise_loss = noise_models.noise_loss(noise_batch, noisy, active)
            if weigh:
                weights = noise_models.weights(batch)
        elif weigh and batch.weights is not None:
            weights = batch.weights
        if not config.gradient_through_weights:
            weights = weights.detach()
        # The recommender's dropout must not depend on what else drew random numbers before it.
        torch.manual_seed(config.seed * 1_000_003 + state.steps)
        on_targets, on_inputs = self._roles(weights)
        recommended = recommender_loss(
            self.recommender,
            batch,
            on_targets,
            loss=config.loss,
            num_negatives=config.num_negatives,
            softmax=config.softmax,
            input_weight=on_inputs,
            adapt=self._adapt(),
        )
        recommended = recommended + auxiliary_loss(self.recommender, batch)
        loss = recommended
        if noise_loss is not None:
            loss = loss + config.noise_loss_weight * noise_loss
        self._require_finite(loss, batch)
        state.update(loss)
        return StepResult(
            recommended.detach(),
            None if noise_loss is None else noise_loss.detach(),
            weights.detach(),
        )

    def _roles(self, weights: Tensor) -> tuple[Tensor, Tensor | None]:
        """The weights of the targets ``[B]`` or ``[B, W]``, and of the inputs ``[B, W - 1]``."""
        if not self.config.weighs_inputs:
            return weights, None
        if weights.dim() == 1:
            # Ones while warming up or gated; a sequence's own weight would say nothing about which
            # of its items to read.
            if not bool((weights == 1).all()):
                raise ValueError(
                    f"weights_act_on={self.config.weights_act_on!r} needs a weight for each "
                    "position, the noise model gives one for each sequence"
                )
            return weights, None
        on_targets = torch.ones_like(weights) if self.config.weights_act_on == "inputs" else weights
        return on_targets, weights[:, :-1]

    def _adapt(self) -> Callable[[Tensor], Tensor] | None:
        """What further weights the losses of this step give."""
        config = self.config
        if config.adaptive_denoising == "truncated":
            done = self.state.steps / self._steps_per_epoch
            share = drop_share(
                done, largest=config.truncated_share, ramp_epochs=config.truncation_epochs
            )
            return partial(truncated_loss_weights, share=share)
        if config.adaptive_denoising == "reweighted":
            return partial(reweighted_loss_weights, power=config.reweighting_power)
        return None

    def _require_finite(self, loss: Tensor, batch: Batch) -> None:
        if not bool(torch.isfinite(loss)):
            rows = batch.rows.tolist()
            more = ", ..." if len(rows) > 8 else ""
            raise TrainingDivergedError(
                f"loss is {loss.item()} at step {self.state.steps} "
                f"(training rows {rows[:8]}{more}); "
                "a lower learning_rate or clip_grad_norm usually helps; "
                f"last good checkpoint: {self._checkpoint or 'none kept'}"
            )

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
        if train.num_items != self.recommender.num_items:
            raise ValueError(
                f"the recommender knows {self.recommender.num_items} items, "
                f"train has {train.num_items}"
            )
        softmax = self.softmax
        if self.config.weighting == "given" and train.weights is None:
            raise ValueError("weighting='given' needs training sequences that carry weights")
        self._checkpoint = None if checkpoint is None else Path(checkpoint)
        rows = TrainingRows(
            train.to(self.device),
            max_length=self.config.max_length,
            stride=self.config.window_stride,
        )
        watched = None if valid is None else valid.to(self.device)
        state = self._state = self._new_state(train.num_users)
        if resume and self._checkpoint is not None and self._checkpoint.exists():
            state.load(self._checkpoint)
            if on_epoch is not None:  # a kill between checkpoint and callback left it behind
                on_epoch(state.history)
        with (
            torch.random.fork_rng([self.device] if self.device.type == "cuda" else []),
            FitProgress(
                title,
                total_epochs=self.config.total_epochs,
                valid_metric=self.config.valid_metric,
                enabled=progress,
            ) as shown,
        ):
            if softmax == "linear":
                shown.message(
                    f"{title}: softmax over {train.num_items:,} items without logits "
                    f"(softmax: {self.config.softmax})"
                )
            while len(state.history) < self.config.total_epochs and not state.out_of_patience():
                state.record(self._epoch(len(state.history), rows, watched, shown))
                shown.end_epoch(state.history[-1])
                if self._checkpoint is not None:
                    state.save(self._checkpoint)
                if on_epoch is not None:
                    on_epoch(state.history)
        if state.noise_models is not None:
            self._warn_if_collapsed(state.history)
        state.restore_best()
        return state.history

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
        elif config.weighting == "given":
            used = "all"
        started = time.perf_counter()
        self.recommender.train()
        pairs, steps = self._batches(epoch, rows, phase)
        self._steps_per_epoch = steps
        shown.start_epoch(epoch + 1, steps)
        results = []
        for batch, noise_batch in pairs:
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
            weights=summarise_weights(torch.cat([r.weights.flatten() for r in results])),
            weights_used=used,
            valid={} if valid is None else self.evaluate(valid),
            seconds=seconds,
        )

    def _batches(
        self, epoch: int, rows: TrainingRows, phase: int | None
    ) -> tuple[Iterator[tuple[Batch, Batch]], int]:
        """Pairs (for the recommender, for the noise models) and how many there are."""
        size, seed = self.config.batch_size, self.config.seed
        if phase is None:
            batches = rows.batches(size, seed=seed, epoch=epoch)
            return ((batch, batch) for batch in batches), -(-len(rows) // size)
        fold = self.state.folds[rows.users]
        own, others = (fold == phase).nonzero().flatten(), (fold != phase).nonzero().flatten()
        if not len(own) or not len(others):
            raise ValueError(
                f"sequential cross-fitting needs sequences inside and outside of every fold, "
                f"but fold {phase} of {self.config.num_folds} has {len(own)} of {len(rows)}"
            )
        # As many laps over the other folds as it takes; no two laps have one order.
        damaged = itertools.chain.from_iterable(
            rows.batches(size, seed=seed + 1, epoch=epoch * 10_000 + lap, rows=others)
            for lap in itertools.count()
        )
        recommended = rows.batches(size, seed=seed, epoch=epoch, rows=own)
        return zip(recommended, damaged, strict=False), -(-len(own) // size)

    @staticmethod
    def _warn_if_collapsed(history: Sequence[EpochRecord]) -> None:
        weighed = [record for record in history if record.weights_used != "none"]
        if weighed and weighed[-1].weights.collapsed:
            weights = weighed[-1].weights
            warnings.warn(
                f"weights have collapsed to {weights.mean:.3f} ± {weights.std:.4f}: normalised by "
                "their sum they are equal weights. The noise model has usually learned nothing: "
                "replace more items per sequence (replace_ratio), train longer, or raise "
                "noise_learning_rate",
                WeightsCollapsedWarning,
                stacklevel=3,
            )

    # ---- using what was trained -----------------------------------------------------------------

    def evaluate(self, data: EvaluationSet, *, exclude_seen: bool = True) -> dict[str, float]:
        """Full-ranking HR, NDCG and MRR at 5, 10, 20; see :func:`atjt_ext.evaluation.evaluate`."""
        return evaluate(
            self.recommender,
            data.to(self.device),
            max_length=self.config.max_length,
            exclude_seen=exclude_seen,
            weigh_inputs=self.config.weighs_inputs,
        )

    def ranks(self, data: EvaluationSet, *, exclude_seen: bool = True) -> Tensor:
        """The rank of every user's target, ``[U]``; see :func:`atjt_ext.evaluation.full_ranks`."""
        return full_ranks(
            self.recommender,
            data.to(self.device),
            max_length=self.config.max_length,
            exclude_seen=exclude_seen,
            weigh_inputs=self.config.weighs_inputs,
        )

    def recommend(
        self, data: EvaluationSet, *, k: int = 10, exclude_seen: bool = True
    ) -> tuple[Tensor, Tensor]:
        """The k best items after each history: codes ``[U, k]`` and scores; ``data.targets`` are
        unused."""
        return top_k(
            self.recommender,
            data.to(self.device),
            k=k,
            max_length=self.config.max_length,
            exclude_seen=exclude_seen,
            weigh_inputs=self.config.weighs_inputs,
        )

    def interaction_noise_logits(self, train: Sequences) -> Tensor:
        """Out-of-fold noise logits ``[N]`` of the training interactions; > 0 looks noisy.

        A model that judges whole sequences gives all interactions of a window the same logit. NaN
        for users with one interaction, and everywhere if no noise model was trained.
        """
        models = self.state.noise_models
        if models is None:
            return torch.full((train.num_interactions,), torch.nan)
        rows = TrainingRows(train.to(self.device), max_length=self.config.max_length)
        with inference(models):
            return per_interaction(rows, models.logits)

    def interaction_weights(self, train: Sequences) -> Tensor:
        """Out-of-fold weights ``[N]`` of the training interactions; ones if no noise model was
        trained.

        NaN for users with one interaction: they are not trained on.
        """
        models = self.state.noise_models
        if self.config.weighting == "given" and train.weights is not None:
            return train.weights.cpu()
        rows = TrainingRows(train.to(self.device), max_length=self.config.max_length)
        if models is None:
            return per_interaction(rows, lambda batch: torch.ones(len(batch), device=self.device))
        with inference(models):
            return per_interaction(rows, models.weights)

    def sequence_weights(self, train: Sequences) -> Tensor:
        """Mean weight of each user's training interactions: ``[num_users]``, NaN as above."""
        return per_user(train, self.interaction_weights(train))

    def noise_detection(self, train: Sequences) -> dict[str, float | None]:
        """AUCs of finding the planted noise, where ``train`` knows the truth; see
        ``detection_auc``."""
        return detection_auc(train, self.interaction_noise_logits(train))

    # ---- files ----------------------------------------------------------------------------------

    def save(self, path: str | Path) -> None:
        """Writes models, optimizers and history to ``path``, atomically."""
        self.state.save(Path(path))

    def load(self, path: str | Path, *, num_users: int) -> None:
        """Takes over what ``save`` or ``fit`` wrote, with the best epoch's models in place.

        Args:
            num_users: of the training data; checked against the checkpoint.

        Raises:
            CheckpointError: unreadable, or made with another catalogue, users, models or config.
        """
        state = self._new_state(num_users)
        state.load(Path(path))
        state.restore_best()
        self._state = state

    def _new_state(self, num_users: int) -> TrainingState:
        return TrainingState(
            self.recommender, self.noise_model, self.config, num_users, self.device
        )
