"""Area under the ROC curve (AUC): overall and within strata."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor


def auc(scores: Tensor, labels: Tensor) -> float | None:
    """Area under the ROC curve: P(score of a true label > score of a false label), ties counting
    half.

    Args:
        scores: ``[N]`` floating point.
        labels: ``[N]`` bool.

    Returns:
        The area, or None if one of the classes is empty.

    Raises:
        ValueError: a wrong shape.
    """
    if scores.shape != labels.shape or scores.dim() != 1:
        raise ValueError(
            f"scores and labels must both be [N], got {list(scores.shape)} and {list(labels.shape)}"
        )
    positives = int(labels.sum())
    negatives = labels.numel() - positives
    if not positives or not negatives:
        return None
    _, inverse, counts = torch.unique(scores.double(), return_inverse=True, return_counts=True)
    # Mid-ranks (1-based) make a tie count half.
    midrank = counts.cumsum(0).double() - (counts.double() - 1.0) / 2.0
    rank_sum = float(midrank[inverse][labels].sum())
    return (rank_sum - positives * (positives + 1) / 2.0) / (positives * negatives)


def stratified_auc(scores: Tensor, labels: Tensor, strata: Tensor) -> float | None:
    """AUC of ``scores [N]`` among pairs from the same stratum: what scores add to ``strata [N]``.

    The mean of the strata's AUCs, each weighted by its number of (true, false) pairs. None if no
    stratum holds both classes.
    """
    total, pairs = 0.0, 0
    for stratum in strata.unique():
        inside = strata == stratum
        area = auc(scores[inside], labels[inside])
        if area is not None:
            count = int(labels[inside].sum()) * int((~labels[inside]).sum())
            total += area * count
            pairs += count
    return total / pairs if pairs else None


def equal_strata(values: Tensor, count: int) -> Tensor:
    """The stratum ``[N]`` int64 of each of ``values [N]``: at most ``count`` strata of about equal
    size. Equal values share a stratum, so there may be fewer than ``count``."""
    cuts = torch.arange(1, count) * (len(values) - 1) // count
    return torch.searchsorted(values.sort().values[cuts].unique(), values)


def mean_of_known(values: Iterable[float | None]) -> float | None:
    """Mean of the values that are not None; None if there are none."""
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def roc_curve(scores: Tensor, labels: Tensor) -> tuple[list[float], list[float]]:
    """False and true positive rates as the threshold falls through the distinct scores.

    Takes ``scores [N]`` floating point and ``labels [N]`` bool. Both lists rise from 0 to 1, with
    one entry more than there are distinct scores. The rate of an empty class is 0 throughout.
    """
    thresholds, inverse = torch.unique(-scores.double(), return_inverse=True)
    # Counts are float64: float32 has no integers above 2**24.
    zeros = torch.zeros(len(thresholds), dtype=torch.float64)
    found = zeros.index_add(0, inverse, labels.double()).cumsum(0)
    flagged = zeros.index_add(0, inverse, (~labels).double()).cumsum(0)
    rates = [counts / counts[-1].clamp(min=1) for counts in (flagged, found)]
    return [0.0, *rates[0].tolist()], [0.0, *rates[1].tolist()]
