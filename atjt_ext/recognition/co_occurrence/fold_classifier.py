"""Artificial noise or not: what the interactions outside of a fold teach about those inside."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from ...evaluation.auc import auc, equal_strata, stratified_auc
from ..weighting import estimate_noise_rate
from .events import Codes, Doubles, Floats
from .features import ATTRIBUTE_FEATURES, FEATURES
from .logistic import LogisticRegression, fit_logistic
from .user_shares import likelihood_ratios

__all__ = ["FoldClassifier"]

_STRATA = 10
_OF_ITSELF = np.array([not name.startswith("user_") for name in (*FEATURES, *ATTRIBUTE_FEATURES)])


@dataclass(frozen=True, slots=True)
class FoldClassifier:
    """Artificial noise or not, learned outside of a fold; None where there is nothing to learn.

    Its logit is the mean of two models'. Beside the mean of a noisy user, noise looks normal; away
    from that of a user with a taste of his own, anything looks odd.

    Attributes:
        relative: of all features, the user's means among them.
        absolute: of what an item has to do with the others, however well those go with each other.
        artificial_rate: share of noise among what they learned from.
        noise_rate: bound on the share of noise in the data.
        auc: on the fold; None where it holds one kind only.
        auc_beyond_popularity: the same among interactions alike in popularity.
    """

    relative: LogisticRegression | None
    absolute: LogisticRegression | None
    artificial_rate: float = 0.0
    noise_rate: float = 0.0
    auc: float | None = None
    auc_beyond_popularity: float | None = None

    @staticmethod
    def of(
        damaged: Floats,
        replaced: npt.NDArray[np.bool_],
        original: Floats,
        own: npt.NDArray[np.bool_],
        popularity: Codes,
    ) -> FoldClassifier:
        """Learned from what is not its ``own [N]``, and measured on what is.

        Args:
            damaged: ``[N, F]``, features where some items are replaced.
            replaced: ``[N]``, which.
            original: ``[N, F]``, features of the data.
            own: ``[N]``, what is of the fold.
            popularity: ``[N]``, how often else the items of the damaged copy occur in the data.
        """
        truth = replaced[~own]
        if not own.any() or truth.all() or not truth.any():
            return FoldClassifier(None, None)
        relative = fit_logistic(damaged[~own], truth)
        absolute = fit_logistic(_of_itself(damaged[~own]), truth)
        rate = float(truth.mean())
        logits = _logits(relative, absolute, original[own])
        on_damaged = torch.from_numpy(_logits(relative, absolute, damaged[own]))
        is_replaced = torch.from_numpy(replaced[own])
        strata = equal_strata(torch.from_numpy(popularity[own]), _STRATA)
        return FoldClassifier(
            relative,
            absolute,
            rate,
            estimate_noise_rate(torch.from_numpy(logits), artificial_rate=rate),
            auc(on_damaged, is_replaced),
            stratified_auc(on_damaged, is_replaced, strata),
        )

    def ratios(self, features: Floats) -> Doubles:
        """``p(features | noise) / p(features | clean)`` of ``features [n, F]``: ``[n]``; ones where
        nothing was learned."""
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
    """``[n]``, the mean of both."""
    return 0.5 * (relative.logits(features) + absolute.logits(_of_itself(features)))


def _of_itself(features: Floats) -> Floats:
    """The columns that say nothing of the user's mean; those of attributes may be missing."""
    return features[:, _OF_ITSELF[: features.shape[1]]]
