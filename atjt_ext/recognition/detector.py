"""P(noise) of every training interaction, from co-occurrence, out of fold and calibrated."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ..data import Sequences, user_folds
from ..metrics import auc
from ..weighting import calibrated_weights, estimate_noise_rate
from .co_occurrence import CoOccurrences
from .events import Codes, Events
from .features import interaction_features
from .logistic import fit_logistic

__all__ = ["RecognisedNoise", "RecognitionConfig", "recognise_noise"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RecognitionConfig:
    """Options of :func:`recognise_noise`.

    Attributes:
        num_folds: folds of users, at least 2. A user's own fold adds nothing to the counts it is
            judged by, and the classifier of a fold never saw its damaged copies.
        window: how far apart in a sequence two items are neighbours.
        dimension: of the low-rank item vectors.
        artificial_rate: share of the interactions replaced in the damaged copy that the classifier
            learns from. Small, since every replaced item also disturbs its neighbours' features.
        uniform_share: share of the replacing items that are drawn uniformly; the others by
            popularity. The more, the more rarity alone counts as suspicious: 1 finds uniform noise
            best, 0 noise that is as popular as the rest.
        gate_auc: a fold whose classifier tells artificial noise from the rest no better than that
            gives weights of one.
    """

    num_folds: int = 5
    window: int = 50
    dimension: int = 64
    artificial_rate: float = 0.1
    uniform_share: float = 0.8
    gate_auc: float = 0.55

    def __post_init__(self) -> None:
        for name, least in (("num_folds", 2), ("window", 1), ("dimension", 1)):
            if getattr(self, name) < least:
                raise ValueError(f"{name} must be at least {least}, got {getattr(self, name)}")
        if not 0.0 < self.artificial_rate < 1.0:
            raise ValueError(f"artificial_rate must be in (0, 1), got {self.artificial_rate}")
        for name in ("uniform_share", "gate_auc"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise ValueError(f"{name} must be in [0, 1], got {getattr(self, name)}")


@dataclass(frozen=True, eq=False, slots=True)
class RecognisedNoise:
    """What is believed of every training interaction.

    Attributes:
        noise_logits: ``[N]`` float32, out of fold; > 0 looks replaced, given that
            ``artificial_rates`` were. Higher is more suspicious across folds too.
        weights: ``[N]`` float32, P(clean) by mixture calibration (``weighting.py``); ones in folds
            that know nothing.
        artificial_auc: for each fold, how well its classifier tells artificial noise on users that
            it was not trained on.
        artificial_rates: for each fold, the share of artificial noise.
        noise_rates: for each fold, the estimated bound on the share of noise in the data; 0 where
            the fold knows nothing.
    """

    noise_logits: Tensor
    weights: Tensor
    artificial_auc: tuple[float, ...]
    artificial_rates: tuple[float, ...]
    noise_rates: tuple[float, ...]


def recognise_noise(
    train: Sequences, config: RecognitionConfig | None = None, *, seed: int = 0
) -> RecognisedNoise:
    """Judges every interaction of ``train`` by the sequences of other users.

    Features of co-occurrence (:mod:`~atjt_ext.recognition.features`) go into a logistic regression
    that tells artificially replaced items from original ones, history and target alike; its answers
    on the *original* sequences are calibrated as those of the paper's noise model are. It needs no
    recommender and takes seconds for 10^5 interactions.

    Args:
        train: training sequences only: nothing held out may be among them.
        config: options; None takes the defaults.
        seed: decides folds, damage and the randomised SVD.

    Raises:
        ValueError: fewer users than folds, a negative seed, or too few interactions to damage any.
    """
    config = config or RecognitionConfig()
    folds = user_folds(train.num_users, config.num_folds, seed=seed)
    events = Events.of(train, folds, config.num_folds)
    table = CoOccurrences(events, config.window)
    vectors = table.vectors(config.dimension, seed=seed)
    original = interaction_features(events, table, vectors, window=config.window)
    items, replaced = _damaged(events, config, seed)
    damaged = interaction_features(events.with_items(items), table, vectors, window=config.window)

    logits = torch.zeros(len(events.items))
    weights = torch.ones(len(events.items))
    areas, rates, bounds = [], [], []
    for fold in range(config.num_folds):
        own = events.folds == fold
        if not own.any() or not replaced[~own].any():
            raise ValueError(
                f"fold {fold} of {config.num_folds} has too few interactions to learn from: "
                f"{int(own.sum())} inside, {int(replaced[~own].sum())} damaged ones outside"
            )
        model = fit_logistic(damaged[~own], replaced[~own])
        inside = torch.from_numpy(own)
        logits[inside] = torch.from_numpy(model.logits(original[own])).float()
        area = auc(torch.from_numpy(model.logits(damaged[own])), torch.from_numpy(replaced[own]))
        rate, bound = float(replaced[~own].mean()), 0.0
        if area is not None and area >= config.gate_auc:
            bound = estimate_noise_rate(logits[inside], artificial_rate=rate)
            weights[inside] = calibrated_weights(
                logits[inside], artificial_rate=rate, noise_rate=bound
            )
        areas.append(float("nan") if area is None else area)
        rates.append(rate)
        bounds.append(bound)
    return RecognisedNoise(logits, weights, tuple(areas), tuple(rates), tuple(bounds))


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
