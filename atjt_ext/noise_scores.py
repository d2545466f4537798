"""Which interactions and which users look noisy, out of fold."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from .data import Batch, Sequences, TrainingRows
from .metrics import auc, equal_strata, stratified_auc

__all__ = [
    "CalibrationBin",
    "calibration",
    "calibration_error",
    "detection_auc",
    "noisy_users",
    "per_interaction",
    "per_user",
    "popularity_detection",
]

_SCORING_BATCH = 1024


@torch.no_grad()
def per_interaction(
    rows: TrainingRows, score: Callable[[Batch], Tensor], *, last_target_only: bool = False
) -> Tensor:
    """Spreads scores of windows over the interactions they hold: ``[N]`` float32 on the CPU.

    Args:
        rows: windows over the training sequences.
        score: ``[B]`` or ``[B, W]`` per batch of windows.
        last_target_only: windows end at every interaction, and only their last item is a target.

    Returns:
        One value per interaction, in the order of ``rows.sequences.items``; NaN for users with a
        single interaction, of which there is no window.
    """
    result = torch.full((rows.sequences.num_interactions,), torch.nan, device=rows.device)
    chunks = torch.arange(len(rows), device=rows.device).split(_SCORING_BATCH)
    windows = [(rows.positions(chunk), score(rows.gather(chunk)).float()) for chunk in chunks]
    # The oldest item of a window is the last target of the window before it: its value as a target
    # goes last and so wins. Only a user's very first item is no target anywhere.
    for first_column in (0, -1 if last_target_only else 1):
        for positions, values in windows:
            where = positions[:, first_column:]
            spread = values[:, None].expand_as(positions) if values.dim() == 1 else values
            held = where >= 0
            if first_column:
                held &= positions[:, first_column - 1 : -1] >= 0
            result[where[held]] = spread[:, first_column:][held]
    return result.cpu()


def per_user(sequences: Sequences, values: Tensor) -> Tensor:
    """Mean of ``values [N]`` over each user's interactions: ``[num_users]``; NaN stays NaN."""
    lengths = sequences.lengths.cpu()
    owner = torch.repeat_interleave(lengths)
    total = torch.zeros(sequences.num_users, dtype=torch.float64).index_add(
        0, owner, values.double()
    )
    return (total / lengths).float()


def noisy_users(sequences: Sequences) -> Tensor:
    """``[num_users]`` bool: users with any noisy interaction.

    Raises:
        ValueError: the truth is unknown.
    """
    if sequences.is_noise is None:
        raise ValueError("sequences must know their noise (is_noise), got None")
    return per_user(sequences, sequences.is_noise.cpu().float()) > 0


def detection_auc(sequences: Sequences, noise_logits: Tensor) -> dict[str, float | None]:
    """How well ``noise_logits [N]`` find the planted noise, where the truth is known.

    Returns:
        ``interaction_AUC`` and ``sequence_AUC`` (a user counts as noisy with any noisy
        interaction); None where one of the classes is empty. An empty dict without truth.
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
    """How much of the detection is mere rarity: uniform noise is rare noise.

    Returns:
        ``popularity_AUC``, of the items' rarity alone, and ``within_popularity_AUC``, of
        ``noise_logits [N]`` within ``num_strata`` strata of interactions alike in popularity. An
        empty dict without truth.
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
    """Interactions whose P(noise) is in ``[low, high)`` (the last bin holds 1 as well).

    Attributes:
        count: how many, at least one.
        predicted: their mean P(noise).
        observed: the share of them that is noise.
    """

    low: float
    high: float
    count: int
    predicted: float
    observed: float


def calibration(
    probabilities: Tensor, truth: Tensor, *, num_bins: int = 10
) -> list[CalibrationBin]:
    """Does P(noise) mean what it says? In bins of equal width; empty ones are left out.

    Args:
        probabilities: ``[N]`` in [0, 1].
        truth: ``[N]`` bool.
        num_bins: at least 1.

    Raises:
        ValueError: shapes that differ, a value outside of [0, 1] (NaN is one), or no bins.
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
    bins = []
    for index in which.unique().tolist():
        inside = which == index
        bins.append(
            CalibrationBin(
                low=index / num_bins,
                high=(index + 1) / num_bins,
                count=int(inside.sum()),
                predicted=float(values[inside].mean()),
                observed=float(truth[inside].double().mean()),
            )
        )
    return bins


def calibration_error(bins: Sequence[CalibrationBin]) -> float:
    """The expected calibration error: mean of ``|observed - predicted|``, weighed by counts.

    Raises:
        ValueError: no bins.
    """
    if not bins:
        raise ValueError("bins must hold at least one, got none")
    count = sum(one.count for one in bins)
    return sum(one.count * abs(one.observed - one.predicted) for one in bins) / count
