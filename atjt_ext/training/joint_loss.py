"""The joint loss for foreign training loops: noise models inside a loss module."""

from __future__ import annotations

import logging
from dataclasses import asdict
from typing import Final

import torch
from torch import Tensor, nn

from ..corruption import Corruption, RandomReplacement
from ..data import Batch
from ..ops import linear_reweighted_cross_entropy
from ..recognition.noise_models import TargetAttentionNoiseModel
from ..recognition.weighting import summarise_weights
from .belief_sources import cross_fitted
from .config import JointTrainerConfig
from .host_batches import (
    RecentRows,
    aligned_weights,
    counted_targets,
    host_batch,
    is_distributed,
)
from .objectives import weighted_mean
from .recipes import AMOUNTS

__all__ = ["JointLoss"]

_logger = logging.getLogger(__name__)
_IGNORED = -100
_TAKEN: Final = {
    *("weighting", "cross_fitting", "num_folds", "noise_loss_weight", "gate_auc"),
    *("gradient_through_weights", "seed", "sequence_fraction", "corrupt_target", *AMOUNTS),
}
"""The options of a config that have an effect here."""


def _refuse_ignored_options(config: JointTrainerConfig) -> None:
    """Raises ValueError for options that :class:`JointLoss` ignores, unless they are defaults."""
    # A trainer's config has ``weights_act_on`` decided.
    given, default = (
        asdict(one.decided(takes_input_weight=False))
        for one in (config, JointTrainerConfig.from_recipe("joint"))
    )
    ignored = [name for name in given if name not in _TAKEN and given[name] != default[name]]
    if ignored:
        defaults = ", ".join(f"{name}={default[name]!r}" for name in ignored)
        raise ValueError(
            f"config must hold only options of JointLoss, which ignores {', '.join(ignored)}: "
            f"leave {defaults}"
        )


class JointLoss(nn.Module):
    """``sum_i w_i * loss_i / sum_i w_i + lambda * BCE(g(damaged sequences), damaged or not)``, with
    ``w_i = P(sequence i is clean)`` according to ``g`` (arXiv:2409.17402), for any training loop.

    Make it a submodule of your model or Lightning module, so that your optimizer trains the noise
    models. Each call in training mode is a step. In evaluation mode it returns the plain mean of
    the losses, because validation sequences are not judged.

    ======================================  ==================  ==============================
    precaution                              here                :class:`atjt_ext.JointTrainer`
    ======================================  ==================  ==============================
    cross-fitting by user, warm-up, gate    yes                 yes
    damage without torch's random numbers   yes                 yes
    calibration reads                       the latest rows     all training rows
    learning rate of the noise models       a parameter group   ``noise_learning_rate``
    stop at a loss that is not finite       no                  yes
    warning of collapsed weights            :meth:`metrics`     yes
    ======================================  ==================  ==============================

    Under data parallelism (``torch.distributed``) each process normalises, calibrates and counts
    the damaged rows alone, and its rank is part of the keys of the damage. Processes that share one
    batch, as under tensor parallelism, must pass the same ``row_keys``.

    Args:
        num_items: catalogue size; items are ``1..num_items`` and 0 is padding.
        num_users: users are ``0..num_users - 1``, dealt into ``config.num_folds`` folds.
        noise_model: prototype of each fold's noise model; None: ``TargetAttentionNoiseModel``.
        corruption: how sequences are damaged; None builds ``RandomReplacement`` from the config.
        config: None is the recipe ``joint``. These options have an effect: ``weighting``
            (``calibrated`` or ``clean_probability``), ``num_folds``, ``noise_loss_weight``
            (lambda), ``gate_auc``, ``gradient_through_weights``, ``seed``, and all about damage.
            Leave every other option at its default.
        warmup_steps: first steps, in which all weights are 1; at least 1.
        calibrate_every: steps between calibrations; the first calibration follows the warm-up.
        calibration_rows: about how many of the latest rows a calibration reads.

    Raises:
        ValueError: a number below 1, or a config without noise models, with sequential
            cross-fitting, or with a changed option that has no effect here.
    """

    def __init__(
        self,
        num_items: int,
        num_users: int,
        *,
        noise_model: nn.Module | None = None,
        corruption: Corruption | None = None,
        config: JointTrainerConfig | None = None,
        warmup_steps: int = 200,
        calibrate_every: int = 100,
        calibration_rows: int = 4096,
    ) -> None:
        super().__init__()
        self.config = config = config or JointTrainerConfig.from_recipe("joint")
        if config.cross_fitting != "simultaneous":
            raise ValueError(
                f"config must have cross_fitting 'simultaneous', got {config.cross_fitting!r}"
            )
        numbers = dict(warmup_steps=warmup_steps, calibrate_every=calibrate_every)
        for name, value in {**numbers, "calibration_rows": calibration_rows}.items():
            if value < 1:
                raise ValueError(f"{name} must be at least 1, got {value}")
        self.num_items, self.num_users = num_items, num_users
        self.warmup_steps, self.calibrate_every = warmup_steps, calibrate_every
        self.corruption = corruption or RandomReplacement(num_items=num_items, **config.damage)
        # The host's own initial parameters and shuffles must not depend on this module.
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(config.seed)
            self.noise_models = cross_fitted(
                noise_model or TargetAttentionNoiseModel(num_items), num_users, config
            )
        _refuse_ignored_options(config)
        self.steps = 0
        self._recent = RecentRows(calibration_rows)
        self._last: tuple[Tensor, Tensor] | None = None

    def forward(
        self,
        sequences: Tensor,
        users: Tensor,
        losses: Tensor,
        *,
        mask: Tensor | None = None,
        row_keys: Tensor | None = None,
    ) -> Tensor:
        """The joint loss (scalar) from the recommender's own losses.

        Args:
            sequences: ``[B, W]`` int64, history *and* target, left-padded with 0.
            users: ``[B]`` int64.
            losses: ``[B]``, one for the last item of each row, or ``[B, W - 1]``, one for every
                item but the first; neither reduced nor weighted.
            mask: bool in the shape of ``losses``, which losses count; None: all but padding.
            row_keys: ``[B]`` int64 keys of the damage, for example the number of each row in the
                data set; None: the index in the batch, and the rank of the process.

        Raises:
            ValueError: shapes that do not fit together, ids out of range, or a row without a last
                item (padded on the right).
        """
        batch = self._batch(sequences, users, row_keys)
        return self._weighed(batch, losses, counted_targets(batch, losses, mask, "losses"))

    def cross_entropy(
        self,
        sequences: Tensor,
        users: Tensor,
        hidden: Tensor,
        item_table: Tensor,
        targets: Tensor,
        *,
        bias: Tensor | None = None,
        mask: Tensor | None = None,
        row_keys: Tensor | None = None,
    ) -> Tensor:
        """The joint loss from the softmax over a whole catalogue, computed without logits.

        Args:
            sequences, users: as for :meth:`forward`.
            hidden: ``[B, D]`` or ``[B, W - 1, D]``.
            item_table: ``[V, D]``, the rows that the softmax runs over.
            targets: ``[B]`` or ``[B, W - 1]`` int64, rows of ``item_table`` where they count.
            bias: ``[V]`` or None.
            mask: bool in the shape of ``targets``, which targets count; None: all but padding.
            row_keys: as for :meth:`forward`.
        """
        batch = self._batch(sequences, users, row_keys)
        counted = counted_targets(batch, targets, mask, "targets")
        targets = targets.masked_fill(~counted, _IGNORED)
        losses = linear_reweighted_cross_entropy(
            hidden, item_table, targets, bias=bias, ignore_index=_IGNORED, reduction="none"
        )
        return self._weighed(batch, losses, counted)

    def metrics(self) -> dict[str, float]:
        """Numbers to log: ``noise_loss``, ``weight_mean`` and ``weight_std`` of the latest step,
        and ``held_out_auc`` once a calibration has measured it."""
        found = {"held_out_auc": self.noise_models.held_out_auc}
        if self._last is not None:
            spread, noise_loss = summarise_weights(self._last[0]), float(self._last[1])
            found |= dict(noise_loss=noise_loss, weight_mean=spread.mean, weight_std=spread.std)
        return {name: value for name, value in found.items() if value is not None}

    def _batch(self, sequences: Tensor, users: Tensor, row_keys: Tensor | None) -> Batch:
        sizes = {"num_items": self.num_items, "num_users": self.num_users}
        return host_batch(sequences, users, row_keys, **sizes)

    def _weighed(self, batch: Batch, losses: Tensor, counted: Tensor) -> Tensor:
        if not self.training:
            return weighted_mean(losses, counted.to(losses.dtype))
        weights, noise_loss = self._step(batch)
        weighted = weighted_mean(losses, aligned_weights(weights, counted))
        return weighted + self.config.noise_loss_weight * noise_loss

    def _step(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Weights ``[B]`` or ``[B, W]`` of the batch, and the noise models' loss."""
        config, models, folds = self.config, self.noise_models, range(len(self.noise_models.models))
        noisy = self.corruption(
            batch.sequences, seed=config.seed, step=self.steps, row_keys=batch.rows
        )
        noise_loss = models.noise_loss(batch, noisy, folds)
        if is_distributed():
            # DistributedDataParallel waits for a gradient of every parameter, also of a noise model
            # that learns nothing from this batch because all rows are in its own fold.
            noise_loss = noise_loss + 0.0 * sum(p.sum() for p in models.parameters())
        weights = torch.ones(len(batch), device=batch.sequences.device)
        if self.steps >= self.warmup_steps:
            weights = models.weights(batch)
        if not config.gradient_through_weights:
            weights = weights.detach()
        shown = weights if weights.dim() == 1 else weights[batch.sequences != 0]
        self._last = shown.detach(), noise_loss.detach()
        self._recent.append(batch)
        self.steps += 1
        since = self.steps - self.warmup_steps
        if since >= 0 and since % self.calibrate_every == 0:
            before = models.folds_weighed(folds)
            models.calibrate(self._recent, self.corruption, folds)
            after = models.folds_weighed(folds)
            if since == 0 or before != after:
                said = "sequences are weighed" if after == "all" else models.gate_message(folds)
                _logger.warning("step %d: %s", self.steps, said)
        return weights, noise_loss

    # ---- checkpoints beside the parameters ------------------------------------------------------

    def get_extra_state(self) -> Tensor:
        """Steps and calibrations, as a tensor: some hosts save nothing else."""
        known = self.noise_models.calibrations_as_tensor()
        return torch.cat([torch.full_like(known[:1], self.steps), known])

    def set_extra_state(self, state: Tensor) -> None:
        """The inverse of :meth:`get_extra_state`; ValueError for another number of folds.

        The latest rows are not saved: the next calibration reads newer ones.
        """
        self.noise_models.set_calibrations(state[1:])
        self.steps = int(state[0, 0])
