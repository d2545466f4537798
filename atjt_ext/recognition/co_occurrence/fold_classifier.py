"""Classifiers that tell artificial noise from original interactions, one per fold."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from ...evaluation.auc import auc, equal_strata, stratified_auc
from ..weighting import estimate_noise_rate
from .events import Codes, Doubles, Floats
from .interaction_features import ATTRIBUTE_FEATURES, FEATURES
from .logistic import LogisticRegression, fit_logistic
from .user_shares import likelihood_ratios

__all__ = ["FoldClassifier"]

_STRATA = 10
_ABSOLUTE = np.array([not name.startswith("user_") for name in (*FEATURES, *ATTRIBUTE_FEATURES)])


@dataclass(frozen=True, slots=True)
class FoldClassifier:
    """Tells artificial noise from original interactions; trained on the users outside one fold.

    The logit is the mean over two models, because each fails on some users. The relative model
    compares an interaction with its user's mean, so it overlooks noise of a very noisy user. The
    absolute model ignores that mean, so it suspects every item of a user with an unusual taste.

    Attributes:
        relative: regression on all columns, the user's means included; None if untrained.
        absolute: regression without the user's means; None if untrained.
        artificial_rate: share of artificial noise in the training interactions.
        noise_rate: upper bound on the share of noise in the data.
        auc: AUC on the fold's damaged copy; None if the copy holds one class only.
        auc_beyond_popularity: the same AUC within strata of equal item popularity.
    """

    relative: LogisticRegression | None
    absolute: LogisticRegression | None
    artificial_rate: float = 0.0
    noise_rate: float = 0.0
    auc: float | None = None
    auc_beyond_popularity: float | None = None

    @staticmethod
    def fit(
        damaged: Floats,
        replaced: npt.NDArray[np.bool_],
        original: Floats,
        own: npt.NDArray[np.bool_],
        popularity: Codes,
    ) -> FoldClassifier:
        """Trains on the interactions outside the fold and measures AUCs on those inside.

        Without both classes to learn from, the classifier stays untrained.

        Args:
            damaged: ``[N, F]``, features of a copy with some items replaced.
            replaced: ``[N]`` bool, the replaced items.
            original: ``[N, F]``, features of the data.
            own: ``[N]`` bool, the interactions inside the fold.
            popularity: ``[N]``, how many other interactions of the data have the copy's item.
        """
        truth = replaced[~own]
        if not own.any() or truth.all() or not truth.any():
            return FoldClassifier(None, None)
        relative = fit_logistic(damaged[~own], truth)
        absolute = fit_logistic(_absolute_columns(damaged[~own]), truth)
        rate = float(truth.mean())
        logits = torch.from_numpy(_logits(relative, absolute, original[own]))
        on_damaged = torch.from_numpy(_logits(relative, absolute, damaged[own]))
        is_replaced = torch.from_numpy(replaced[own])
        strata = equal_strata(torch.from_numpy(popularity[own]), _STRATA)
        return FoldClassifier(
            relative,
            absolute,
            rate,
            estimate_noise_rate(logits, artificial_rate=rate),
            auc(on_damaged, is_replaced),
            stratified_auc(on_damaged, is_replaced, strata),
        )

    def ratios(self, features: Floats) -> Doubles:
        """``p(features | noise) / p(features | clean)``, ``[n]`` for ``features [n, F]``; ones if
        untrained."""
        if self.relative is None or self.absolute is None:
            return np.ones(len(features))
        return likelihood_ratios(
            _logits(self.relative, self.absolute, features),
            artificial_rate=self.artificial_rate,
            noise_rate=self.noise_rate,
        )


def _logits(
    relative: LogisticRegression, absolute: LogisticRegression, features: Floats
) -> Doubles:
    """``[n]``, the mean of both models."""
    return 0.5 * (relative.logits(features) + absolute.logits(_absolute_columns(features)))


def _absolute_columns(features: Floats) -> Floats:
    """The columns other than the user's means; ``features`` may lack the columns of attributes."""
    return features[:, _ABSOLUTE[: features.shape[1]]]
