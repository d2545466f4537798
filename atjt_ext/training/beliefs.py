"""Beliefs: how clean each interaction is. The interface of the four sources.

The trainer, audits, exports, experiments and runs ask :class:`Beliefs`; none asks which source it
is. ``belief_sources`` holds the other three sources and chooses one by ``config.weighting``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor

from ..data import Batch, EvaluationSet, Sequences, TrainingRows
from ..data.batches import per_interaction
from ..data.weighed_histories import without_dropped
from ..recognition.co_occurrence.recogniser import NoiseRecogniser
from ..recognition.cross_fitting import CrossFittedNoiseModels
from .config import JointTrainerConfig

__all__ = ["Beliefs", "Found"]


class Found(NamedTuple):
    """Beliefs about the interactions of ``train``, ``[N]`` float32 each."""

    train: Sequences
    noise_logits: Tensor
    weights: Tensor


@dataclass(eq=False)
class Beliefs:
    """How clean each interaction is. The answers here are the ones for equal weights.

    Attributes:
        config: the options of training.
        device: where the models live.
        last_target_only: whether the last item of a window is the only target with a loss.
        noise_models: the jointly trained noise models; None if there are none.
        judges_noise: whether the weights come from recognising noise in the training data.
    """

    config: JointTrainerConfig
    device: torch.device
    last_target_only: bool
    noise_models: CrossFittedNoiseModels | None = field(default=None, init=False)
    judges_noise: ClassVar[bool] = False

    @property
    def judge(self) -> str:
        """A description of the judge, for audits of the training data."""
        weighting = self.config.weighting
        return f"co-occurrence, judged anew: weighting={weighting} judges no noise itself"

    def to_learn_from(self, train: Sequences) -> Sequences:
        """The sequences that the recommender trains on: ``train`` with the weights that are known
        before training, or without the interactions that those weights drop.

        Raises:
            ValueError: ``train`` lacks weights, has too few users, or no user would keep two
                interactions.
        """
        return train

    def begin(self, num_users: int) -> None:
        """Makes fresh noise models for training on ``num_users`` users, where any are trained."""

    def summary(self, left_out: int) -> str | None:
        """One line about the noise recognised before training, or None; ``to_learn_from`` left out
        ``left_out`` interactions."""
        return None

    def folds_weighed(self, active: Sequence[int], epoch: int) -> str:
        """Whether ``all``, ``some`` or ``none`` of the ``active`` folds, whose noise models learn,
        have weights other than 1 in ``epoch`` of the phase (from 0)."""
        return "none"

    def batch_weights(self, batch: Batch) -> Tensor:
        """Weights ``[B]`` (sequences) or ``[B, W]`` (positions) of a batch in a weighed epoch."""
        if batch.weights is not None:
            return batch.weights
        return torch.ones(len(batch), device=self.device)

    def noise_logits(self, train: Sequences) -> Tensor:
        """Out-of-fold noise logits ``[N]``; > 0 looks noisy, NaN is not judged."""
        return torch.full((train.num_interactions,), torch.nan)

    def weights(self, train: Sequences) -> Tensor:
        """Out-of-fold weights ``[N]``; NaN is not judged."""
        return self._per_interaction(
            train, lambda batch: torch.ones(len(batch), device=self.device)
        )

    @property
    def held_out_auc(self) -> float | None:
        """AUC of recognising artificial noise on users not learned from; None if unknown."""
        return None

    def recogniser(self, train: Sequences) -> NoiseRecogniser:
        """A co-occurrence recogniser fitted on ``train``."""
        return NoiseRecogniser.usual(train, seed=self.config.seed)

    @property
    def reading_needs_training(self) -> bool:
        """Whether ``as_read`` needs ``to_learn_from`` or ``recall`` first."""
        return False

    def as_read(self, data: EvaluationSet) -> EvaluationSet:
        """``data`` with the histories that the recommender reads; see ``JointModels.as_read``."""
        return data

    def state_dict(self) -> dict[str, Any]:
        """Parameters and plain values for a checkpoint."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """The inverse of :meth:`state_dict`; ``begin`` comes first."""

    def to_store(self, train: Sequences) -> Found | None:
        """Beliefs for the run folder to store; None for equal weights."""
        if not self.config.weighs:
            return None
        return Found(train, self.noise_logits(train), self.weights(train))

    def recall(self, train: Sequences, stored: tuple[Tensor, Tensor] | None) -> None:
        """Takes over the noise logits and weights (``[N]`` each) that a run folder stores for
        ``train``; None fits a recogniser anew where one is needed.

        Raises:
            ValueError: not one value per interaction.
        """

    # ---- for the sources ------------------------------------------------------------------------

    def _per_interaction(self, train: Sequences, score: Callable[[Batch], Tensor]) -> Tensor:
        """``score`` of the training windows, as one value per interaction ``[N]``."""
        every_end = self.config.window_stride == 1 and self.last_target_only
        length, stride = self.config.max_length, 1 if every_end else None
        rows = TrainingRows(train.to(self.device), max_length=length, stride=stride)
        return per_interaction(rows, score, last_target_only=every_end)

    def _without_dropped(self, sequences: Sequences) -> Sequences:
        """``sequences`` without their interactions of low weight, if the config drops them."""
        below = self.config.drop_below
        return without_dropped(sequences, below=below) if self.config.drops else sequences

    def _learnable(self, train: Sequences) -> Sequences:
        """``train`` without dropped interactions; refuses to leave nothing to learn."""
        left = self._without_dropped(train)
        if left.num_users and int(left.lengths.max()) < 2 <= int(train.lengths.max()):
            raise ValueError(
                f"drop_below={self.config.drop_below} leaves every user fewer than two "
                f"interactions: {left.num_interactions} of {train.num_interactions} are left"
            )
        return left
