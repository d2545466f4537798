"""P(noise) of every training interaction by co-occurrence: out of fold, and calibrated."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ...data import Sequences, user_folds
from ...evaluation.auc import mean_of_known
from .busy_users import UserLimit
from .config import RecognitionConfig
from .counts import CoOccurrences
from .events import Codes, Doubles, Events, Floats
from .evidence import Evidence, evidence_of
from .fold_classifier import FoldClassifier
from .interaction_features import interaction_features
from .item_vectors import attribute_vectors
from .user_shares import SHARES, common_shares, noise_probability, share_posterior

__all__ = ["NoiseRecogniser", "RecognisedNoise", "recognise_noise"]


@dataclass(frozen=True, eq=False, slots=True)
class RecognisedNoise:
    """The judgement of every training interaction.

    Attributes:
        noise_logits: ``[N]`` float32, log odds of noise, out of fold; above 0, noise is more likely
            than not.
        weights: ``[N]`` float32, P(clean); 1 if the signal is too weak.
        user_noise: ``[num_users]`` float32, the estimated rate of noise of every user. The mean
            P(noise) of the user's interactions can differ from it.
        artificial_auc: AUC of each fold's classifier for artificial noise on that fold; None if
            the fold lacks clean or damaged interactions.
        auc_beyond_popularity: the same AUC within strata of equal item popularity; its mean decides
            whether the weights are used.
        noise_rates: upper bound on the share of noise in the data, for each fold.
    """

    noise_logits: Tensor
    weights: Tensor
    user_noise: Tensor
    artificial_auc: tuple[float | None, ...]
    auc_beyond_popularity: tuple[float | None, ...]
    noise_rates: tuple[float, ...]

    @property
    def held_out_auc(self) -> float | None:
        """Mean of the known ``artificial_auc``; None if none is known."""
        return mean_of_known(self.artificial_auc)

    def summary(self, left_out: int) -> str:
        """The judgement in one line.

        Args:
            left_out: number of interactions that training leaves out because of it.
        """
        overall, beyond = (
            "none" if area is None else f"{area:.3f}"
            for area in (self.held_out_auc, mean_of_known(self.auc_beyond_popularity))
        )
        areas = f"held-out AUC on artificial noise {overall}, beyond popularity {beyond}"
        if bool((self.weights == 1.0).all()):
            return f"too little is known of the noise ({areas}), all weights are 1"
        text = f"recognised noise: mean P(clean) {float(self.weights.mean()):.3f}, {areas}"
        if left_out:
            text += f", {left_out:,} of {len(self.weights):,} interactions left out"
        return text


def recognise_noise(
    train: Sequences, config: RecognitionConfig | None = None, *, seed: int = 0
) -> RecognisedNoise:
    """Judges every training interaction by the sequences of other users.

    See :class:`NoiseRecogniser`. No recommender is trained; 10^5 interactions take seconds.

    Args:
        train: training sequences, without held-out interactions.
        config: options; None takes the defaults.
        seed: decides folds, damage and the randomised SVD.

    Raises:
        ValueError: fewer users than folds, or a negative seed.
    """
    return NoiseRecogniser(config, seed=seed).fit(train).found


class NoiseRecogniser:
    """Judges every interaction by the sequences of other users.

    1. A logistic regression on features of co-occurrence
       (:mod:`~atjt_ext.recognition.co_occurrence.interaction_features`) learns to tell artificially
       replaced items from original ones, in histories and targets.
    2. Its answers on the *original* sequences become likelihood ratios.
    3. The ratios give every user's share of noise, then P(noise) of every interaction
       (:mod:`~atjt_ext.recognition.co_occurrence.user_shares`).

    Counts and classifiers learn from at most a limited number of interactions of one user
    (:mod:`~atjt_ext.recognition.co_occurrence.busy_users`); all interactions are judged.

    Args:
        config: options; None takes the defaults.
        seed: decides folds, damage and the randomised SVD.
    """

    def __init__(self, config: RecognitionConfig | None = None, *, seed: int = 0) -> None:
        self.config = config or RecognitionConfig()
        self.seed = seed
        self._found: RecognisedNoise | None = None

    def fit(self, train: Sequences) -> NoiseRecogniser:
        """Learns from ``train`` and judges its interactions; returns the recogniser itself.

        Arguments and errors are those of :func:`recognise_noise`. Warns if a user has so many
        interactions that not all of them are learned from.
        """
        config, seed = self.config, self.seed
        self._train = train
        self._folds = user_folds(train.num_users, config.num_folds, seed=seed)
        self._limit = limit = UserLimit.of(train.lengths.cpu().numpy())
        if limit is not None:
            limit.warn(train)
        events = self._events(train if limit is None else train.only_last(limit.longest))
        self._window = max(1, min(config.window, config.max_pairs // max(1, len(events.items))))
        self._table = CoOccurrences(events, self._window)
        self._vectors = self._table.vectors(config.dimension, seed=seed)
        self._attributes = None
        if config.attributes:
            self._attributes = attribute_vectors(train.to("cpu"), config.dimension, seed=seed)
        items, replaced = _damaged(events, config, seed)
        # An item's count includes an original interaction, but not one that replaces another:
        # without the correction, originals would seem more popular than they are to others.
        popularity = np.bincount(events.items, minlength=events.num_items + 1)[items] - ~replaced
        damaged = self._features(replace(events, items=items))
        original = self._features(events)
        self._classifiers = [
            FoldClassifier.fit(damaged, replaced, original, events.folds == fold, popularity)
            for fold in range(config.num_folds)
        ]
        if limit is not None:
            events = self._events(train)
            original = self._features(events)
        ratios = self._ratios(events, original)
        # Every user counts once here, however long the sequence is.
        to_users = ratios, events.users, train.num_users
        self._shares = common_shares(*to_users, evidence=config.evidence)
        self._found = self._judged(events, ratios)
        return self

    @property
    def found(self) -> RecognisedNoise:
        """The judgement of the training sequences.

        Raises:
            RuntimeError: ``fit`` has not run; ``judge`` and ``evidence`` raise it as well.
        """
        return self._require_fitted()

    def _require_fitted(self) -> RecognisedNoise:
        if self._found is None:
            raise RuntimeError("nothing is learned yet: call fit first")
        return self._found

    @staticmethod
    def usual(train: Sequences, *, seed: int, **changes: Any) -> NoiseRecogniser:
        """A recogniser with the default options but for ``changes``, fitted on ``train``.

        ``num_folds`` defaults to 5, or to the number of users if there are fewer.

        Raises:
            ValueError: fewer than two users, or fewer than ``num_folds``.
        """
        if train.num_users < 2:
            raise ValueError(
                f"train must have at least 2 users, to judge one by another, got {train.num_users}"
            )
        changes.setdefault("num_folds", min(RecognitionConfig().num_folds, train.num_users))
        return NoiseRecogniser(RecognitionConfig(**changes), seed=seed).fit(train)

    def evidence(self) -> Evidence:
        """The counts behind ``found``, to explain the judgement."""
        self._require_fitted()
        return evidence_of(self._events(self._train), self._table, window=self._window)

    def judge(self, sequences: Sequences) -> RecognisedNoise:
        """Judges other sequences of the same users, for example longer histories.

        The counts that judge a user do not include the user's training sequence.

        Raises:
            ValueError: the users or the catalogue are not those of the training sequences.
        """
        self._require_fitted()
        self._train.require_ids(sequences, "sequences", "learned from")
        events = self._events(sequences)
        return self._judged(events, self._ratios(events, self._features(events)))

    def _events(self, sequences: Sequences) -> Events:
        limit, lengths = self._limit, sequences.lengths.cpu().numpy()
        parts = None if limit is None else limit.stretches_of(lengths)
        return Events.of(sequences, self._folds, self.config.num_folds, parts)

    def _features(self, events: Events) -> Floats:
        learned = self._table, self._vectors
        return interaction_features(
            events, *learned, window=self._window, attributes=self._attributes
        )

    def _ratios(self, events: Events, features: Floats) -> Doubles:
        ratios = np.ones(len(features))
        for fold, classifier in enumerate(self._classifiers):
            own = events.folds == fold
            ratios[own] = classifier.ratios(features[own])
        return ratios

    def _judged(self, events: Events, ratios: Doubles) -> RecognisedNoise:
        config, of_users = self.config, (ratios, events.users)
        shares = share_posterior(
            *of_users, self._train.num_users, self._shares, evidence=config.evidence
        )
        noise = noise_probability(*of_users, shares, largest=config.largest_ratio)
        noise = noise.clip(1e-6, 1.0 - 1e-6)
        beyond = tuple(classifier.auc_beyond_popularity for classifier in self._classifiers)
        # The mean, because the AUC of a single fold of few users is mostly chance.
        known = mean_of_known(beyond)
        trusts = known is not None and known >= config.gate_auc
        trusted = np.array([trusts and area is not None for area in beyond])
        return RecognisedNoise(
            noise_logits=torch.from_numpy(np.log(noise) - np.log1p(-noise)).float(),
            weights=torch.from_numpy(np.where(trusted[events.folds], 1.0 - noise, 1.0)).float(),
            user_noise=torch.from_numpy(shares @ SHARES).float(),
            artificial_auc=tuple(classifier.auc for classifier in self._classifiers),
            auc_beyond_popularity=beyond,
            noise_rates=tuple(classifier.noise_rate for classifier in self._classifiers),
        )


def _damaged(
    events: Events, config: RecognitionConfig, seed: int
) -> tuple[Codes, npt.NDArray[np.bool_]]:
    """A copy of the items with some replaced, and a mask of the replaced ones."""
    random = np.random.default_rng([seed, 1])
    size = len(events.items)
    chosen = random.random(size) < config.artificial_rate
    # The item of a random interaction is drawn by popularity.
    popular = events.items[random.integers(0, size, size)]
    uniform = random.integers(1, events.num_items + 1, size)
    new = np.where(random.random(size) < config.uniform_share, uniform, popular)
    items = np.where(chosen, new, events.items)
    return items, items != events.items
