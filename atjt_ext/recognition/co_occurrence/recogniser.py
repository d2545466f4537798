"""P(noise) of every training interaction, from co-occurrence, out of fold and calibrated."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ...data import Sequences, user_folds
from ...evaluation.auc import mean_of_known
from .counts import CoOccurrences
from .events import Codes, Doubles, Events, Floats
from .evidence import Evidence, evidence_of
from .fold_classifier import FoldClassifier
from .interaction_features import interaction_features
from .item_vectors import attribute_vectors
from .user_shares import SHARES, common_shares, noise_probability, share_posterior

__all__ = ["NoiseRecogniser", "RecognisedNoise", "RecognitionConfig", "recognise_noise"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RecognitionConfig:
    """Options of :func:`recognise_noise`.

    Attributes:
        num_folds: folds of users, at least 2. A user's own fold adds nothing to the counts it is
            judged by, and the classifier of a fold never saw its damaged copies.
        window: how far apart in a sequence two items are neighbours, at most.
        max_pairs: about as many pairs of neighbours are counted at most; for larger data the window
            shrinks. 50 million take about 3 GB.
        dimension: of the low-rank item vectors.
        attributes: go by the items' attributes as well, where the sequences have any that items
            share (:func:`atjt_ext.data.shared_features`): genres, categories.
        artificial_rate: share of the interactions replaced in the damaged copy that the classifier
            learns from. Small, since every replaced item also disturbs its neighbours' features.
        uniform_share: share of the replacing items that are drawn uniformly; the others by
            popularity. The more, the more rarity alone counts as suspicious: 1 finds uniform noise
            best, 0 noise that is as popular as the rest.
        evidence: in (0, 1], what one interaction counts when a user's share of noise is
            estimated from all.
        largest_ratio: about what an interaction's odds of being noise are multiplied by at most
            because of how odd it looks. The oddest of all are for a good part single odd items of
            clean users: without a bound, where half of the items of 30 % of the users were
            noise, P(noise) > 0.9 was true of a quarter of them (MovieLens-100K; Beauty: 44 %).
        gate_auc: weights are one where artificial noise is told from interactions alike in
            popularity with a lower AUC than that, in the mean of the folds. Who knows little but
            popularity takes what is rare for noise, and too much of it: on simulated data without
            structure to go by that cost a sixth of NDCG@10.
    """

    num_folds: int = 5
    window: int = 50
    max_pairs: int = 50_000_000
    dimension: int = 64
    attributes: bool = True
    artificial_rate: float = 0.1
    uniform_share: float = 0.8
    evidence: float = 0.3
    largest_ratio: float = 20.0
    gate_auc: float = 0.6

    def __post_init__(self) -> None:
        for name, least in (("num_folds", 2), ("window", 1), ("max_pairs", 1), ("dimension", 1)):
            if getattr(self, name) < least:
                raise ValueError(f"{name} must be at least {least}, got {getattr(self, name)}")
        if not 0.0 < self.artificial_rate < 1.0:
            raise ValueError(f"artificial_rate must be in (0, 1), got {self.artificial_rate}")
        for name in ("uniform_share", "gate_auc"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise ValueError(f"{name} must be in [0, 1], got {getattr(self, name)}")
        if not self.largest_ratio > 1.0:
            raise ValueError(f"largest_ratio must be above 1, got {self.largest_ratio}")
        if not 0.0 < self.evidence <= 1.0:
            raise ValueError(f"evidence must be in (0, 1], got {self.evidence}")


@dataclass(frozen=True, eq=False, slots=True)
class RecognisedNoise:
    """What is believed of every training interaction.

    Attributes:
        noise_logits: ``[N]`` float32, log odds of noise, out of fold; > 0 is more likely noise than
            not.
        weights: ``[N]`` float32, P(clean); ones where too little is known.
        user_noise: ``[num_users]`` float32, the rate of noise estimated for every user; its
            interactions may hold more or less (their mean P(noise) says).
        artificial_auc: for each fold, how well its classifier tells artificial noise on users that
            it was not trained on; None where there was too little of either to say.
        auc_beyond_popularity: the same among interactions alike in popularity; by its mean the
            weights are trusted or not.
        noise_rates: for each fold, the bound on the share of noise in the data.
    """

    noise_logits: Tensor
    weights: Tensor
    user_noise: Tensor
    artificial_auc: tuple[float | None, ...]
    auc_beyond_popularity: tuple[float | None, ...]
    noise_rates: tuple[float, ...]

    @property
    def held_out_auc(self) -> float | None:
        """Mean of ``artificial_auc``; None where no fold has any."""
        return mean_of_known(self.artificial_auc)

    def summary(self, left_out: int) -> str:
        """A line on what was found.

        Args:
            left_out: how many interactions are not trained on because of it.
        """
        overall, beyond = (
            "none" if area is None else f"{area:.3f}"
            for area in (self.held_out_auc, mean_of_known(self.auc_beyond_popularity))
        )
        areas = f"held-out AUC on artificial noise {overall}, beyond popularity {beyond}"
        if bool((self.weights == 1.0).all()):
            return f"too little is known of the noise ({areas}), all interactions count alike"
        said = f"recognised noise: mean P(clean) {float(self.weights.mean()):.3f}, {areas}"
        if left_out:
            said += f", {left_out:,} of {len(self.weights):,} interactions left out"
        return said


def recognise_noise(
    train: Sequences, config: RecognitionConfig | None = None, *, seed: int = 0
) -> RecognisedNoise:
    """Judges every training interaction by the sequences of other users (:class:`NoiseRecogniser`).

    Args:
        train: training sequences only: nothing held out may be among them.
        config: options; None takes the defaults.
        seed: decides folds, damage and the randomised SVD.

    Returns:
        ``weights [N]``, P(clean) of every interaction (all ones where too little is known), its
        ``noise_logits [N]``, and how well artificial noise was told. No recommender is trained; it
        takes seconds for 10^5 interactions.

    Raises:
        ValueError: fewer users than folds, or a negative seed.
    """
    return NoiseRecogniser(config, seed=seed).fit(train).found


class NoiseRecogniser:
    """Judges every interaction by the sequences of other users.

    Features of co-occurrence (:mod:`~atjt_ext.recognition.co_occurrence.interaction_features`) go into a logistic regression
    that tells artificially replaced items from original ones, history and target alike. Its answers
    on the *original* sequences become likelihood ratios, from which the share of noise of every
    user is estimated and then P(noise) of every interaction
    (:mod:`~atjt_ext.recognition.co_occurrence.user_shares`). It needs no recommender and takes seconds for 10^5
    interactions.

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

        Args:
            train: training sequences only: nothing held out may be among them.

        Raises:
            ValueError: fewer users than folds, or a negative seed.
        """
        config, seed = self.config, self.seed
        self._train = train
        self._folds = user_folds(train.num_users, config.num_folds, seed=seed)
        events = self._events(train)
        self._window = max(1, min(config.window, config.max_pairs // max(1, len(events.items))))
        self._table = CoOccurrences(events, self._window)
        self._vectors = self._table.vectors(config.dimension, seed=seed)
        self._attributes = (
            attribute_vectors(train.to("cpu"), config.dimension, seed=seed)
            if config.attributes
            else None
        )
        items, replaced = _damaged(events, config, seed)
        # An original is one of those that its item's count holds, what replaces it is not: at one
        # count the original's item would be the rarer to everybody else.
        popularity = np.bincount(events.items, minlength=events.num_items + 1)[items] - ~replaced
        damaged = self._features(events.with_items(items))
        original = self._features(events)
        self._classifiers = [
            FoldClassifier.fit(
                *(damaged, replaced, original),
                own=events.folds == fold,
                popularity=popularity,
            )
            for fold in range(config.num_folds)
        ]
        ratios = self._ratios(events, original)
        self._shares = common_shares(
            ratios, events.users, train.num_users, evidence=config.evidence
        )
        self._found = self._judged(events, ratios)
        return self

    @property
    def found(self) -> RecognisedNoise:
        """The judgement of the sequences that ``fit`` learned from.

        Raises:
            RuntimeError: before ``fit``, as do the other methods.
        """
        return self._require_fitted()

    def _require_fitted(self) -> RecognisedNoise:
        if self._found is None:
            raise RuntimeError("nothing is learned yet: call fit first")
        return self._found

    @staticmethod
    def usual(train: Sequences, *, seed: int, **changes: Any) -> NoiseRecogniser:
        """A recogniser with the default options, fitted on ``train``.

        Args:
            train: training sequences.
            seed: see :class:`NoiseRecogniser`.
            changes: fields of :class:`RecognitionConfig`. Without ``num_folds``, each user is a
                fold where there are fewer users than the default number of folds.

        Raises:
            ValueError: fewer than two users, or than ``num_folds``.
        """
        if train.num_users < 2:
            raise ValueError(
                "users are judged by what others have, so train must have at least 2 users, "
                f"got {train.num_users}"
            )
        changes.setdefault("num_folds", min(RecognitionConfig().num_folds, train.num_users))
        config = RecognitionConfig(**changes)
        return NoiseRecogniser(config, seed=seed).fit(train)

    def evidence(self) -> Evidence:
        """The counts behind ``found``, for people who want to know why."""
        self._require_fitted()
        return evidence_of(self._events(self._train), self._table, window=self._window)

    def judge(self, sequences: Sequences) -> RecognisedNoise:
        """What it thinks of other sequences of the same users, their histories today, say.

        No user is judged by counts that hold its own training sequence.

        Raises:
            ValueError: other users, or another catalogue, than those of the training sequences.
        """
        self._require_fitted()
        self._train.require_ids(sequences, "sequences", "learned from")
        events = self._events(sequences)
        return self._judged(events, self._ratios(events, self._features(events)))

    def _events(self, sequences: Sequences) -> Events:
        return Events.of(sequences, self._folds, self.config.num_folds)

    def _features(self, events: Events) -> Floats:
        return interaction_features(
            events,
            self._table,
            self._vectors,
            window=self._window,
            attributes=self._attributes,
        )

    def _ratios(self, events: Events, features: Floats) -> Doubles:
        ratios = np.ones(len(features))
        for fold, classifier in enumerate(self._classifiers):
            own = events.folds == fold
            ratios[own] = classifier.ratios(features[own])
        return ratios

    def _judged(self, events: Events, ratios: Doubles) -> RecognisedNoise:
        evidence = self.config.evidence
        shares = share_posterior(
            ratios,
            events.users,
            self._train.num_users,
            self._shares,
            evidence=evidence,
        )
        noise = noise_probability(
            ratios, events.users, shares, largest=self.config.largest_ratio
        ).clip(1e-6, 1.0 - 1e-6)
        beyond = tuple(classifier.auc_beyond_popularity for classifier in self._classifiers)
        # In the mean: of few users a single fold's is mostly chance.
        known = mean_of_known(beyond)
        trusts = known is not None and known >= self.config.gate_auc
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
    """A copy of the items with some replaced, and where."""
    random = np.random.default_rng([seed, 1])
    size = len(events.items)
    chosen = random.random(size) < config.artificial_rate
    # A random interaction's item is an item by popularity.
    popular = events.items[random.integers(0, size, size)]
    uniform = random.integers(1, events.num_items + 1, size)
    new = np.where(random.random(size) < config.uniform_share, uniform, popular)
    items = np.where(chosen, new, events.items)
    return items, items != events.items
