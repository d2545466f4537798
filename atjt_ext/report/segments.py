"""Metrics of a run and its baseline for groups of users."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ..evaluation.metrics import user_gains
from ..evaluation.statistics import users_interval

__all__ = ["Ranks", "Segment", "difference_interval", "segments"]

_GROUPS = 4


@dataclass(frozen=True, eq=False, slots=True)
class Ranks:
    """The rank of every user's target ``[U]`` in a run and in its baseline, if there is one."""

    run: npt.NDArray[np.int64]
    baseline: npt.NDArray[np.int64] | None = None


@dataclass(frozen=True, slots=True)
class Segment:
    """A group of users."""

    label: str  # range of the value that defines the group, as `3 to 7`
    users: int
    value: float  # mean of the metric
    interval: tuple[float, float]  # 95 % bootstrap interval of `value` over users
    baseline: float | None = None  # the baseline's mean; None without a baseline
    difference: tuple[float, float] | None = None  # the same interval of `value - baseline`


def difference_interval(ranks: Ranks, metric: str) -> tuple[float, float] | None:
    """95 % bootstrap interval of run minus baseline over users; None without a baseline.

    The interval covers the choice of users, not the seed of training.
    """
    if ranks.baseline is None:
        return None
    differences = user_gains(ranks.run, metric) - user_gains(ranks.baseline, metric)
    return users_interval(differences)


def segments(values: npt.NDArray[np.int64], ranks: Ranks, metric: str) -> list[Segment]:
    """Up to four groups of about equal size by ``values [U]``; equal values stay together."""
    found = []
    for low, high in _groups(values):
        inside = (values >= low) & (values <= high)
        run, other = ranks.run[inside], ranks.baseline
        baseline = None if other is None else other[inside]
        gains = user_gains(run, metric)
        found.append(
            Segment(
                label=f"{low:,}" if low == high else f"{low:,} to {high:,}",
                users=int(inside.sum()),
                value=float(gains.mean()),
                interval=users_interval(gains),
                baseline=None if baseline is None else float(user_gains(baseline, metric).mean()),
                difference=difference_interval(Ranks(run, baseline), metric),
            )
        )
    return found


def _groups(values: npt.NDArray[np.int64]) -> Sequence[tuple[int, int]]:
    """The smallest and the largest value of each group."""
    ordered = np.sort(values)
    cuts = ordered[[len(ordered) * group // _GROUPS for group in range(1, _GROUPS)]]
    lows = np.unique([ordered[0], *cuts])
    highs = [ordered[ordered < cut].max() for cut in lows[1:]] + [ordered[-1]]
    return [(int(low), int(high)) for low, high in zip(lows, highs, strict=True)]
