"""How well out-of-fold noise logits find planted noise, and how well P(noise) is calibrated."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..data import Sequences
from ..data.sequences import noisy_users, per_user
from .auc import auc, equal_strata, stratified_auc


def detection_auc(sequences: Sequences, noise_logits: Tensor) -> dict[str, float | None]:
    """How well ``noise_logits [N]`` find planted noise.

    Returns:
        ``interaction_AUC`` and ``sequence_AUC`` (a user with any noisy interaction is noisy), each
        None if one of its classes is empty. An empty dict if ``sequences.is_noise`` is None.
    """
    if sequences.is_noise is None:
        return {}
    truth = sequences.is_noise.cpu()
    scored = ~noise_logits.isnan()
    user_logits = per_user(sequences, noise_logits)
    scored_users = ~user_logits.isnan()
    return {
        "interaction_AUC": auc(noise_logits[scored], truth[scored]),
        "sequence_AUC": auc(user_logits[scored_users], noisy_users(sequences)[scored_users]),
    }


def popularity_detection(
    sequences: Sequences, noise_logits: Tensor, *, num_strata: int = 10
) -> dict[str, float | None]:
    """How much of the detection comes from rarity alone: uniform noise consists of rare items.

    Returns:
        ``popularity_AUC`` of the items' rarity, and ``within_popularity_AUC`` of
        ``noise_logits [N]`` within ``num_strata`` strata of similar item popularity. An empty dict
        if ``sequences.is_noise`` is None.
    """
    if sequences.is_noise is None:
        return {}
    truth, items = sequences.is_noise.cpu(), sequences.items.cpu()
    scored = ~noise_logits.isnan()
    popularity = torch.bincount(items, minlength=sequences.num_items + 1)[items][scored].double()
    strata = equal_strata(popularity, num_strata)
    return {
        "popularity_AUC": auc(-popularity, truth[scored]),
        "within_popularity_AUC": stratified_auc(noise_logits[scored], truth[scored], strata),
    }


@dataclass(frozen=True, slots=True)
class CalibrationBin:
    """Interactions with P(noise) in ``[low, high)``; the last bin includes 1.

    Attributes:
        count: number of interactions, at least 1.
        predicted: mean P(noise).
        observed: share of noise among the interactions.
    """

    low: float
    high: float
    count: int
    predicted: float
    observed: float

    def as_texts(self) -> tuple[str, str, str, str]:
        """The cells of a table's row: range, count, predicted and observed."""
        span = f"{self.low:.1f} to {self.high:.1f}"
        return span, f"{self.count:,}", f"{self.predicted:.3f}", f"{self.observed:.3f}"


def calibration(
    probabilities: Tensor, truth: Tensor, *, num_bins: int = 10
) -> list[CalibrationBin]:
    """Predicted against observed shares of noise, in bins of equal width without the empty ones.

    Args:
        probabilities: ``[N]`` P(noise), in [0, 1].
        truth: ``[N]`` bool.
        num_bins: at least 1.

    Raises:
        ValueError: different shapes, a probability outside [0, 1] (or NaN), or ``num_bins`` < 1.
    """
    if probabilities.shape != truth.shape or probabilities.dim() != 1:
        raise ValueError(
            "probabilities and truth must both be [N], got "
            f"{list(probabilities.shape)} and {list(truth.shape)}"
        )
    if not bool(((probabilities >= 0) & (probabilities <= 1)).all()):
        raise ValueError("probabilities must be in [0, 1]")
    if num_bins < 1:
        raise ValueError(f"num_bins must be at least 1, got {num_bins}")
    values = probabilities.double()
    which = (values * num_bins).long().clamp(max=num_bins - 1)
    return [
        CalibrationBin(
            low=index / num_bins,
            high=(index + 1) / num_bins,
            count=int((which == index).sum()),
            predicted=float(values[which == index].mean()),
            observed=float(truth[which == index].double().mean()),
        )
        for index in which.unique().tolist()
    ]


def calibration_error(bins: Sequence[CalibrationBin]) -> float:
    """Expected calibration error: mean of ``|observed - predicted|`` weighted by the bins' counts.

    Raises:
        ValueError: ``bins`` is empty.
    """
    if not bins:
        raise ValueError("bins must hold at least one, got none")
    count = sum(one.count for one in bins)
    return sum(one.count * abs(one.observed - one.predicted) for one in bins) / count
