"""Artificial noise or not: what the interactions outside of a fold teach about those inside."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from ..metrics import auc
from ..weighting import estimate_noise_rate
from .events import Doubles, Floats
from .features import ATTRIBUTE_FEATURES, FEATURES
from .logistic import LogisticRegression, fit_logistic
from .user_shares import likelihood_ratios

__all__ = ["FoldClassifier", "Ratios"]

_OF_ITSELF = np.array([not name.startswith("user_") for name in (*FEATURES, *ATTRIBUTE_FEATURES)])


class Ratios(NamedTuple):
    """``p(features | noise) / p(features | clean)`` of interactions, ``[N]`` each: for telling the
    interactions of one user apart, and for telling users apart."""

    within_users: Doubles
    between_users: Doubles


@dataclass(frozen=True, slots=True)
class FoldClassifier:
    """Artificial noise or not, learned outside of a fold; None where there is nothing to learn.

    Attributes:
        relative: of all features.
        absolute: of what an item has to do with the others, however well those go with each other.
            In a noisy user nothing goes with anything: beside its mean, noise looks normal there.
        artificial_rate: share of noise among what it learned from.
        noise_rate: bound on the share of noise in the data, by ``relative``.
        absolute_noise_rate: likewise by the mean of both.
        auc: on the fold; None where it holds one kind only.
        trusted: whether that is enough.
    """

    relative: LogisticRegression | None
    absolute: LogisticRegression | None
    artificial_rate: float = 0.0
    noise_rate: float = 0.0
    absolute_noise_rate: float = 0.0
    auc: float | None = None
    trusted: bool = False

    @staticmethod
    def of(
        damaged: Floats,
        replaced: npt.NDArray[np.bool_],
        original: Floats,
        own: npt.NDArray[np.bool_],
        gate_auc: float,
    ) -> FoldClassifier:
        """Learned from what is not its ``own [N]``, and measured on what is."""
        truth = replaced[~own]
        if not own.any() or truth.all() or not truth.any():
            return FoldClassifier(None, None)
        relative = fit_logistic(damaged[~own], truth)
        absolute = fit_logistic(_of_itself(damaged[~own]), truth)
        rate = float(truth.mean())
        logits, both = _logits(relative, absolute, original[own])
        area = auc(torch.from_numpy(relative.logits(damaged[own])), torch.from_numpy(replaced[own]))
        return FoldClassifier(
            relative,
            absolute,
            rate,
            estimate_noise_rate(torch.from_numpy(logits), artificial_rate=rate),
            estimate_noise_rate(torch.from_numpy(both), artificial_rate=rate),
            area,
            area is not None and area >= gate_auc,
        )

    def ratios(self, features: Floats) -> Ratios:
        """``[n, F]`` -> the two ratios ``[n]``; ones where nothing was learned."""
        if self.relative is None or self.absolute is None:
            return Ratios(np.ones(len(features)), np.ones(len(features)))
        logits, both = _logits(self.relative, self.absolute, features)
        rate = self.artificial_rate
        return Ratios(
            likelihood_ratios(logits, artificial_rate=rate, noise_rate=self.noise_rate),
            likelihood_ratios(both, artificial_rate=rate, noise_rate=self.absolute_noise_rate),
        )


def _logits(
    relative: LogisticRegression, absolute: LogisticRegression, features: Floats
) -> tuple[Doubles, Doubles]:
    """``[n]`` each: of the first, and the mean of both."""
    logits = relative.logits(features)
    return logits, 0.5 * (logits + absolute.logits(_of_itself(features)))


def _of_itself(features: Floats) -> Floats:
    """The columns that say nothing of the user's mean; those of attributes may be missing."""
    return features[:, _OF_ITSELF[: features.shape[1]]]
