"""The four sources of beliefs, and the choice among them.

| ``weighting`` | source | weights are known |
|---|---|---|
| ``equal`` | :class:`Beliefs` itself: every weight is 1 | always |
| ``given`` | weights that the sequences carry | before training |
| ``co_occurrence`` | :class:`atjt_ext.recognition.NoiseRecogniser` | before training |
| ``clean_probability``, ``calibrated`` | noise models | while training |

No module but this one and ``config`` interprets ``config.weighting``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn

from ..data import Batch, EvaluationSet, Sequences, user_folds
from ..data.features import same_features
from ..data.weighed_histories import extended_weights
from ..models.inference import inference
from ..recognition.calibration import Calibration
from ..recognition.co_occurrence.recogniser import NoiseRecogniser
from ..recognition.cross_fitting import CrossFittedNoiseModels
from .beliefs import Beliefs, Found
from .config import JointTrainerConfig

__all__ = ["beliefs_of", "cross_fitted"]


@dataclass(eq=False)
class GivenBeliefs(Beliefs):
    """The sequences carry their weights."""

    def to_learn_from(self, train: Sequences) -> Sequences:
        if train.weights is None:
            raise ValueError(
                "weighting='given' needs training sequences that carry weights: from the column "
                "that weight_column names, or from dataclasses.replace(train, weights=...)"
            )
        return self._learnable(train)

    def folds_weighed(self, active: Sequence[int], epoch: int) -> str:
        return "all"

    def weights(self, train: Sequences) -> Tensor:
        return super().weights(train) if train.weights is None else train.weights.cpu()

    def as_read(self, data: EvaluationSet) -> EvaluationSet:
        changes = self.config.changes_reading and data.histories.weights is not None
        if data.read is not None or not changes:
            return data
        return replace(data, read=self._without_dropped(data.histories))


@dataclass(eq=False)
class CoOccurrenceBeliefs(Beliefs):
    """A recogniser judges every interaction by the sequences of other users, before training."""

    judges_noise = True
    judge = "the run's own co-occurrence recogniser"
    _fitted: tuple[Sequences, NoiseRecogniser] | None = field(default=None, init=False)
    _found: Found | None = field(default=None, init=False)

    def recogniser(self, train: Sequences) -> NoiseRecogniser:
        if self._fitted is None or not (
            _same(self._fitted[0], train)
            and same_features(self._fitted[0].item_features, train.item_features)
        ):
            given = {"num_folds": self.config.num_folds, "gate_auc": self.config.gate_auc}
            changes = {name: value for name, value in given.items() if value is not None}
            recogniser = NoiseRecogniser.usual(train, seed=self.config.seed, **changes)
            self._fitted = train, recogniser
            self._found = Found(train, recogniser.found.noise_logits, recogniser.found.weights)
        return self._fitted[1]

    def recall(self, train: Sequences, stored: tuple[Tensor, Tensor] | None) -> None:
        if stored is None:
            self.recogniser(train)
            return
        wanted = train.items.shape
        for name, values in zip(("noise_logits", "weights"), stored, strict=True):
            if values.shape != wanted:
                raise ValueError(f"{name} must be {list(wanted)}, got {list(values.shape)}")
        self._found = Found(train, *stored)

    def _known(self, train: Sequences) -> Found:
        """Beliefs about ``train``. Fits the recogniser on it if it is not fitted."""
        known = self._found
        if known is not None and _same(known.train, train):
            return known
        learned = self.recogniser(train if known is None else known.train)
        found = learned.found if known is None else learned.judge(train)
        return Found(train, found.noise_logits, found.weights)

    def to_learn_from(self, train: Sequences) -> Sequences:
        weights = self.recogniser(train).found.weights.to(train.device)
        return self._learnable(replace(train, weights=weights))

    def summary(self, left_out: int) -> str | None:
        return None if self._fitted is None else self._fitted[1].found.summary(left_out)

    def folds_weighed(self, active: Sequence[int], epoch: int) -> str:
        known = self._found
        return "all" if known is not None and bool((known.weights < 1).any()) else "none"

    def noise_logits(self, train: Sequences) -> Tensor:
        return self._known(train).noise_logits

    def weights(self, train: Sequences) -> Tensor:
        return self._known(train).weights

    @property
    def held_out_auc(self) -> float | None:
        return None if self._fitted is None else self._fitted[1].found.held_out_auc

    @property
    def reading_needs_training(self) -> bool:
        return self.config.changes_reading

    def as_read(self, data: EvaluationSet) -> EvaluationSet:
        if data.read is not None or not self.config.changes_reading:
            return data
        if self._found is None:
            raise RuntimeError(
                "the noise in these histories is unknown: call fit first or, after load, "
                "call recognise(train) with the training sequences"
            )
        train, _, weights = self._found
        read = replace(data.histories, weights=extended_weights(train, weights, data.histories))
        return replace(data, read=self._without_dropped(read))


@dataclass(eq=False)
class NoiseModelBeliefs(Beliefs):
    """Noise models learn together with the recommender; each judges the users of its own fold."""

    judges_noise = True
    prototype: nn.Module

    @property
    def judge(self) -> str:
        weighting = self.config.weighting
        return f"the run's own noise models (weighting={weighting}), which know none of the reasons"

    def to_learn_from(self, train: Sequences) -> Sequences:
        _folds(train.num_users, self.config)  # refuses more folds than users
        return train

    def begin(self, num_users: int) -> None:
        models = cross_fitted(
            self.prototype, num_users, self.config, last_target_only=self.last_target_only
        )
        self.noise_models = models.to(self.device)

    @property
    def _models(self) -> CrossFittedNoiseModels:
        if self.noise_models is None:
            raise RuntimeError("nothing is trained yet: call fit or load first")
        return self.noise_models

    def folds_weighed(self, active: Sequence[int], epoch: int) -> str:
        warm = epoch >= self.config.warmup_epochs
        return self._models.folds_weighed(active) if warm else "none"

    def batch_weights(self, batch: Batch) -> Tensor:
        return self._models.weights(batch)

    def noise_logits(self, train: Sequences) -> Tensor:
        with inference(self._models):
            return self._per_interaction(train, self._models.logits)

    def weights(self, train: Sequences) -> Tensor:
        with inference(self._models):
            return self._per_interaction(train, self._models.weights)

    @property
    def held_out_auc(self) -> float | None:
        return self._models.held_out_auc

    def state_dict(self) -> dict[str, Any]:
        calibrations = [None if one is None else asdict(one) for one in self._models.calibrations]
        return {"noise_models": self._models.state_dict(), "calibrations": calibrations}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._models.load_state_dict(state["noise_models"])
        self._models.calibrations = [
            None if values is None else Calibration(**values) for values in state["calibrations"]
        ]


def beliefs_of(
    config: JointTrainerConfig,
    device: torch.device,
    noise_model: nn.Module | None,
    *,
    last_target_only: bool,
) -> Beliefs:
    """The beliefs that ``config.weighting`` names.

    Args:
        config: see :class:`Beliefs`, also for ``device`` and ``last_target_only``.
        noise_model: prototype of the noise models. Equal weights ignore it, so that a baseline
            takes the same arguments as its run.

    Raises:
        ValueError: a noise model is missing, or has no use.
    """
    weighting = config.weighting
    if config.learns_noise:
        if noise_model is None:
            raise ValueError(
                f"noise_model must be given under weighting={weighting!r}; "
                "only weighting='co_occurrence', 'given' and 'equal' need none"
            )
        return NoiseModelBeliefs(config, device, last_target_only, noise_model)
    if noise_model is not None and weighting != "equal":
        raise ValueError(
            f"noise_model must be None under weighting={weighting!r}, which trains "
            f"no noise model, got {type(noise_model).__name__}; the recipe 'joint' "
            "(weighting='calibrated') trains one"
        )
    source = {"given": GivenBeliefs, "co_occurrence": CoOccurrenceBeliefs}.get(weighting, Beliefs)
    return source(config, device, last_target_only)


def cross_fitted(
    noise_model: nn.Module,
    num_users: int,
    config: JointTrainerConfig,
    *,
    last_target_only: bool = False,
) -> CrossFittedNoiseModels:
    """Copies of ``noise_model``, one for each fold of ``num_users`` users.

    Raises:
        ValueError: ``config`` trains no noise models, or has more folds than users.
    """
    if not config.learns_noise:
        raise ValueError(
            "config must have weighting 'calibrated' or 'clean_probability', "
            f"got {config.weighting!r}"
        )
    return CrossFittedNoiseModels(
        noise_model,
        _folds(num_users, config),
        num_folds=config.fold_count,
        calibrated=config.weighting == "calibrated",
        gate_auc=config.gate,
        seed=config.seed,
        last_target_only=last_target_only,
    )


def _folds(num_users: int, config: JointTrainerConfig) -> Tensor:
    return user_folds(num_users, config.fold_count, seed=config.seed)


def _same(one: Sequences, other: Sequences) -> bool:
    """Whether both hold the same interactions, maybe read twice."""
    return one is other or (
        one.user_ids == other.user_ids
        and one.item_ids == other.item_ids
        and one.offsets.cpu().equal(other.offsets.cpu())
        and one.items.cpu().equal(other.items.cpu())
    )
