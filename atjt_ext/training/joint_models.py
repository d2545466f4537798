"""What is trained jointly, and its use: ranks, recommendations, weights, files."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from ..data import Batch, EvaluationSet, Sequences, TrainingRows
from ..data.batches import per_interaction
from ..data.features import same_features
from ..data.sequences import per_user
from ..data.weighed_histories import extended_weights, without_dropped
from ..evaluation.detection import detection_auc
from ..evaluation.ranking import evaluate, full_ranks, top_items
from ..models.inference import inference
from ..models.protocols import weighs_last_target_only
from ..models.scoring import require_recommender, takes_input_weight
from ..recognition import NoiseRecogniser, RecognisedNoise
from .config import JointTrainerConfig
from .state import TrainingState

__all__ = ["JointModels"]


class _Believed(NamedTuple):
    """What co-occurrence found of the training interactions, ``[N]`` each."""

    train: Sequences
    noise_logits: Tensor
    weights: Tensor


class JointModels:
    """A recommender and the noise models beside it; :class:`atjt_ext.JointTrainer` trains them.

    Args:
        recommender: see ``JointTrainer``.
        noise_model: prototype of the noise models, or None where none runs.
        config: how they are, or were, trained.
        device: where they live; None keeps the recommender's.
    """

    def __init__(
        self,
        recommender: nn.Module,
        noise_model: nn.Module | None,
        config: JointTrainerConfig,
        device: torch.device | str | None,
    ) -> None:
        require_recommender(recommender)
        first = next(recommender.parameters(), None)
        self.config = config.decided(takes_input_weight=takes_input_weight(recommender))
        self.device = torch.device(device or (first.device if first is not None else "cpu"))
        self.recommender: Any = recommender.to(self.device)
        self.noise_model = noise_model
        self._state: TrainingState | None = None
        self._recogniser: tuple[Sequences, NoiseRecogniser] | None = None
        self._believed: _Believed | None = None

    @property
    def state(self) -> TrainingState:
        """Models, optimizers and history of the latest ``fit`` or ``load``."""
        if self._state is None:
            raise RuntimeError("nothing is trained yet: call fit or load first")
        return self._state

    def evaluate(self, data: EvaluationSet, *, exclude_seen: bool = True) -> dict[str, float]:
        """Full-ranking HR, NDCG and MRR at 5, 10, 20; see :func:`atjt_ext.evaluation.ranking.evaluate`."""
        return evaluate(
            self.recommender,
            self.as_read(data).to(self.device),
            max_length=self.config.max_length,
            exclude_seen=exclude_seen,
            weigh_inputs=self.config.weighs_inputs,
        )

    def ranks(self, data: EvaluationSet, *, exclude_seen: bool = True) -> Tensor:
        """The rank of every user's target, ``[U]``; see :func:`atjt_ext.evaluation.ranking.full_ranks`."""
        return full_ranks(
            self.recommender,
            self.as_read(data).to(self.device),
            max_length=self.config.max_length,
            exclude_seen=exclude_seen,
            weigh_inputs=self.config.weighs_inputs,
        )

    def recommend(
        self, data: EvaluationSet, *, k: int = 10, exclude_seen: bool = True
    ) -> tuple[Tensor, Tensor]:
        """The k best items after each history: codes ``[U, k]`` and scores; ``data.targets`` are
        unused."""
        return top_items(
            self.recommender,
            self.as_read(data).to(self.device),
            k=k,
            max_length=self.config.max_length,
            exclude_seen=exclude_seen,
            weigh_inputs=self.config.weighs_inputs,
        )

    def interaction_noise_logits(self, train: Sequences) -> Tensor:
        """Out-of-fold noise logits ``[N]`` of the training interactions; > 0 looks noisy.

        A model that judges whole sequences gives all interactions of a window the same logit. NaN
        where nothing is judged: of users with one interaction by a noise model, and everywhere
        under equal and given weights.
        """
        if self.config.weighting == "co_occurrence":
            return self._beliefs(train).noise_logits
        models = self.state.noise_models
        if models is None:
            return torch.full((train.num_interactions,), torch.nan)
        with inference(models):
            return self._per_interaction(train, models.logits)

    def interaction_weights(self, train: Sequences) -> Tensor:
        """Out-of-fold weights ``[N]`` of the training interactions; ones under equal weights.

        NaN for users with one interaction where a noise model judges: it has not seen them.
        """
        if self.config.weighting == "co_occurrence":
            return self._beliefs(train).weights
        models = self.state.noise_models
        if self.config.weighting == "given" and train.weights is not None:
            return train.weights.cpu()
        if models is None:
            return self._per_interaction(
                train, lambda batch: torch.ones(len(batch), device=self.device)
            )
        with inference(models):
            return self._per_interaction(train, models.weights)

    def _per_interaction(self, train: Sequences, score: Callable[[Batch], Tensor]) -> Tensor:
        """What the windows of training say of each interaction, as the target that it was there."""
        config = self.config
        every_end = config.window_stride == 1 and weighs_last_target_only(self.recommender)
        rows = TrainingRows(
            train.to(self.device), max_length=config.max_length, stride=1 if every_end else None
        )
        return per_interaction(rows, score, last_target_only=every_end)

    def sequence_weights(self, train: Sequences) -> Tensor:
        """Mean weight of each user's training interactions: ``[num_users]``, NaN for users without
        any."""
        return per_user(train, self.interaction_weights(train))

    def recognise(self, train: Sequences) -> RecognisedNoise:
        """Learns what noise looks like from ``train``, and what of it is noise.

        ``fit`` does so by itself, under ``weighting="co_occurrence"``. It takes seconds for 10^5
        interactions, and is kept for what is judged later. One fold per user where there are fewer
        than usual.

        Raises:
            ValueError: fewer than two users.
        """
        return self.recogniser(train).found

    def recogniser(self, train: Sequences) -> NoiseRecogniser:
        """What :meth:`recognise` learns, kept likewise, with the evidence for what it found."""
        if self._recogniser is None or not (
            _same(self._recogniser[0], train)
            and same_features(self._recogniser[0].item_features, train.item_features)
        ):
            recogniser = NoiseRecogniser.usual(train, seed=self.config.seed)
            self._recogniser = train, recogniser
            self.believe(train, recogniser.found.noise_logits, recogniser.found.weights)
        return self._recogniser[1]

    def believe(self, train: Sequences, noise_logits: Tensor, weights: Tensor) -> None:
        """Takes over what an earlier :meth:`recognise` found of ``train``, without learning it.

        Args:
            train: training sequences.
            noise_logits: ``[N]``, of its interactions.
            weights: ``[N]``, likewise.

        Raises:
            ValueError: not one of each per interaction.
        """
        for name, values in (("noise_logits", noise_logits), ("weights", weights)):
            if values.shape != train.items.shape:
                raise ValueError(
                    f"{name} must be {list(train.items.shape)}, got {list(values.shape)}"
                )
        self._believed = _Believed(train, noise_logits, weights)

    def _beliefs(self, train: Sequences) -> _Believed:
        """What is thought of ``train``, which is learned from only where nothing was before."""
        believed = self._believed
        if believed is not None and _same(believed.train, train):
            return believed
        if believed is None:
            found = self.recognise(train)
        else:
            found = self.recogniser(believed.train).judge(train)
        return _Believed(train, found.noise_logits, found.weights)

    @property
    def held_out_auc(self) -> float | None:
        """How well artificial noise is recognised on users not learned from; None where none is."""
        if self.config.weighting == "co_occurrence":
            return None if self._recogniser is None else self._recogniser[1].found.held_out_auc
        models = self.state.noise_models
        return None if models is None else models.held_out_auc

    @property
    def _knows_noise(self) -> bool:
        """Whether co-occurrence gave any weight other than one."""
        return (
            self.config.weighting == "co_occurrence"
            and self._believed is not None
            and bool((self._believed.weights < 1).any())
        )

    def as_read(self, data: EvaluationSet) -> EvaluationSet:
        """``data`` as the recommender gets to read it: under the weights that its training
        interactions had, or without those that were dropped.

        What a user has done since is read in full: it was not judged, for want of what came after
        it. Given weights are those of all that is read. Seen items stay those of whole histories.

        Raises:
            RuntimeError: nothing is known of the noise, as after ``load``: call ``recognise``.
            ValueError: ``data`` have other users or another catalogue than the training sequences.
        """
        config, read = self.config, data.histories
        if data.read is not None or not config.changes_reading:
            return data
        if config.weighting == "co_occurrence":
            if self._believed is None:
                raise RuntimeError(
                    "what is noise in these histories is not known: call fit first or, after load, "
                    "call recognise(train) with the training sequences"
                )
            train, weights = self._believed.train, self._believed.weights
            read = replace(read, weights=extended_weights(train, weights, read))
        if read.weights is None:
            return data
        if config.drops:
            read = without_dropped(read, below=config.drop_below)
        return replace(data, read=read)

    def to_learn_from(self, train: Sequences) -> Sequences:
        """What the recommender is trained on: ``train`` with the weights that are known before
        training, or without what they drop.

        Raises:
            ValueError: no user would be left two interactions.
        """
        if self.config.weighting == "co_occurrence":
            train = replace(train, weights=self.recognise(train).weights.to(train.device))
        if not self.config.drops:
            return train
        left = without_dropped(train, below=self.config.drop_below)
        if left.num_users and int(left.lengths.max()) < 2 <= int(train.lengths.max()):
            raise ValueError(
                f"drop_below={self.config.drop_below} leaves no user two interactions to train on: "
                f"{left.num_interactions} of {train.num_interactions} are left"
            )
        return left

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

        What co-occurrence knows of noise is no part of it: see ``recognise`` and ``believe``.

        Args:
            num_users: of the training data; checked against the checkpoint.

        Raises:
            CheckpointError: unreadable, or made with another catalogue, users, models or config.
        """
        self._recogniser = self._believed = None
        state = self._new_state(num_users)
        state.load(Path(path))
        state.restore_best()
        self._state = state

    def _new_state(self, num_users: int) -> TrainingState:
        return TrainingState(
            self.recommender, self.noise_model, self.config, num_users, self.device
        )


def _same(one: Sequences, other: Sequences) -> bool:
    """Whether they hold the same interactions, maybe read twice."""
    return one is other or (
        one.user_ids == other.user_ids
        and one.item_ids == other.item_ids
        and one.offsets.cpu().equal(other.offsets.cpu())
        and one.items.cpu().equal(other.items.cpu())
    )
