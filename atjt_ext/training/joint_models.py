"""The models that are trained jointly, and their use: ranks, recommendations, weights, loading."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..data import EvaluationSet, Sequences
from ..data.sequences import per_user
from ..evaluation.detection import detection_auc
from ..evaluation.ranking import evaluate, full_ranks, top_items
from ..models.protocols import weighs_last_target_only
from ..models.scoring import require_input_weight, require_recommender, takes_input_weight
from ..recognition import RecognisedNoise
from ..recognition.cross_fitting import CrossFittedNoiseModels
from .belief_sources import beliefs_of
from .beliefs import Beliefs
from .checkpoint import CheckpointError, load_training
from .config import JointTrainerConfig

__all__ = ["JointModels"]


class JointModels:
    """A recommender and the beliefs about its training data: all that serving, audits and exports
    need. :class:`atjt_ext.JointTrainer` trains both; the arguments are described there.

    Attributes:
        noise_model: the prototype of the noise models, or None.
        beliefs: how clean each training interaction is, see :mod:`atjt_ext.training.beliefs`.
        num_users: number of users trained on; 0 before training.
    """

    def __init__(
        self,
        recommender: nn.Module,
        noise_model: nn.Module | None = None,
        *,
        config: JointTrainerConfig | None = None,
        device: torch.device | str | None = None,
    ) -> None:
        require_recommender(recommender)
        first = next(recommender.parameters(), None)
        self.config = (config or JointTrainerConfig()).decided(
            takes_input_weight=takes_input_weight(recommender)
        )
        self.device = torch.device(device or (first.device if first is not None else "cpu"))
        self.recommender: Any = recommender.to(self.device)
        self.num_users = 0
        self.noise_model = noise_model
        self.beliefs: Beliefs = self._fresh_beliefs()
        if self.config.weighs_inputs:
            require_input_weight(recommender)

    def _fresh_beliefs(self) -> Beliefs:
        last = weighs_last_target_only(self.recommender)
        return beliefs_of(self.config, self.device, self.noise_model, last_target_only=last)

    @property
    def noise_models(self) -> CrossFittedNoiseModels | None:
        """The noise models of the latest training; None if none are trained."""
        return self.beliefs.noise_models

    # ---- ranking --------------------------------------------------------------------------------

    def evaluate(self, data: EvaluationSet, *, exclude_seen: bool = True) -> dict[str, float]:
        """HR, NDCG and MRR at 5, 10, 20, see :func:`atjt_ext.evaluation.ranking.evaluate`."""
        return evaluate(*self._on(data), exclude_seen=exclude_seen, **self._reading)

    def ranks(self, data: EvaluationSet, *, exclude_seen: bool = True) -> Tensor:
        """``[U]``, the ranks of the targets, see :func:`atjt_ext.evaluation.ranking.full_ranks`."""
        return full_ranks(*self._on(data), exclude_seen=exclude_seen, **self._reading)

    def recommend(
        self, data: EvaluationSet, *, k: int = 10, exclude_seen: bool = True
    ) -> tuple[Tensor, Tensor]:
        """The k best items after each history: codes ``[U, k]`` int64 and scores ``[U, k]``.

        ``data.targets`` are not used.
        """
        return top_items(*self._on(data), k=k, exclude_seen=exclude_seen, **self._reading)

    def _on(self, data: EvaluationSet) -> tuple[Any, EvaluationSet]:
        return self.recommender, self.as_read(data).to(self.device)

    @property
    def _reading(self) -> dict[str, Any]:
        """How the recommender reads histories, as keyword arguments of ``evaluation``."""
        return dict(max_length=self.config.max_length, weigh_inputs=self.config.weighs_inputs)

    def as_read(self, data: EvaluationSet) -> EvaluationSet:
        """``data`` with the histories that the recommender reads: under the weights that their
        interactions had in training, or without the interactions that were dropped.

        Later interactions are read in full: nothing that came after them could judge them. Given
        weights apply to whole histories. Seen items always come from whole histories.

        Raises:
            RuntimeError: the noise is unknown, as after ``load``: call ``recognise``.
            ValueError: ``data`` have other users or another catalogue than the training sequences.
        """
        return self.beliefs.as_read(data)

    # ---- noise ----------------------------------------------------------------------------------

    def interaction_noise_logits(self, train: Sequences) -> Tensor:
        """Out-of-fold noise logits ``[N]`` of the training interactions; > 0 looks noisy.

        A noise model that judges whole sequences gives all interactions of a window one logit. NaN
        means not judged: every interaction under equal and given weights, and users with one
        interaction under noise models.
        """
        return self.beliefs.noise_logits(train)

    def interaction_weights(self, train: Sequences) -> Tensor:
        """Out-of-fold weights ``[N]`` of the training interactions; 1 under equal weights.

        NaN for users with one interaction under equal weights and noise models: no window of
        training holds that interaction.
        """
        return self.beliefs.weights(train)

    def sequence_weights(self, train: Sequences) -> Tensor:
        """Mean weight of each user's training interactions, ``[num_users]``; NaN without any."""
        return per_user(train, self.interaction_weights(train))

    def recognise(self, train: Sequences) -> RecognisedNoise:
        """Recognises the noise in ``train`` by co-occurrence.

        It takes seconds for 10^5 interactions. ``as_read`` uses the result, which ``fit`` computes
        by itself where the weights come from co-occurrence.

        Raises:
            ValueError: fewer than two users.
        """
        return self.beliefs.recogniser(train).found

    def noise_detection(self, train: Sequences) -> dict[str, float | None]:
        """AUCs of finding the planted noise in ``train``, see ``detection_auc``."""
        return detection_auc(train, self.interaction_noise_logits(train))

    @property
    def held_out_auc(self) -> float | None:
        """AUC of recognising artificial noise on users not learned from; None if unknown."""
        return self.beliefs.held_out_auc

    # ---- checkpoints ----------------------------------------------------------------------------

    def begin(self, num_users: int) -> None:
        """Prepares training on ``num_users`` users: fresh noise models, if any are trained.

        The recommender's parameters stay.
        """
        self.num_users = num_users
        self.beliefs.begin(num_users)

    def load(self, path: str | Path, *, num_users: int) -> dict[str, Any]:
        """Takes over a checkpoint's models: the best epoch's under ``patience``, else the last.

        Checkpoints hold no beliefs by co-occurrence: see ``recognise``.

        Args:
            path: a file that ``fit`` or ``save`` of a trainer wrote.
            num_users: number of users of the training data; checked against the checkpoint.

        Returns:
            All that the checkpoint holds.

        Raises:
            CheckpointError: unreadable, or made with another catalogue, users, models or config.
        """
        self.beliefs = self._fresh_beliefs()
        self.begin(num_users)
        saved = self.read_checkpoint(Path(path))
        if self.config.patience is not None and saved["best"] is not None:
            self._take(Path(path), saved["best"]["models"])
        return saved

    def read_checkpoint(self, path: Path) -> dict[str, Any]:
        """Takes over the models of the last epoch in ``path``, and returns all that it holds.

        Raises:
            CheckpointError: as :meth:`load`.
        """
        saved = load_training(path, device=self.device)
        sizes = {"num_items": self.recommender.num_items, "num_users": self.num_users}
        try:
            config = JointTrainerConfig.from_dict(saved["config"], earlier=saved["format"] == 1)
        except (TypeError, ValueError) as error:
            raise CheckpointError(f"{path}: invalid config in the checkpoint: {error}") from error
        made_with = {**saved, **config.resolved()}
        for name, wanted in (sizes | self.config.resolved()).items():
            if made_with[name] != wanted:
                raise CheckpointError(
                    f"{path}: the checkpoint was made with {name}={made_with[name]}, "
                    f"this run has {name}={wanted}"
                )
        self._take(path, saved["models"])
        return saved

    def _take(self, path: Path, state: dict[str, Any]) -> None:
        try:
            self.load_state_dict(state)
        except (RuntimeError, KeyError, TypeError, AttributeError) as error:
            reason = f"no {error}" if isinstance(error, KeyError) else str(error)
            raise CheckpointError(
                f"{path}: the checkpoint's parameters do not fit the models: "
                f"{' '.join(reason.split())[:300]}"
            ) from error

    def state_dict(self) -> dict[str, Any]:
        """Parameters of all models, and the calibrations of the noise models."""
        return {"recommender": self.recommender.state_dict(), **self.beliefs.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """The inverse of :meth:`state_dict`."""
        self.recommender.load_state_dict(state["recommender"])
        self.beliefs.load_state_dict(state)
