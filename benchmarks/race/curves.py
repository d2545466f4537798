"""Quality over seconds of training: when a curve reaches a value, and who was first."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median


@dataclass(frozen=True, slots=True)
class Point:
    """A model after ``cpu`` processor seconds (``wall`` elapsed ones) of training alone."""

    cpu: float
    wall: float
    epochs: float
    ndcg: float
    hit_rate: float


Curve = Sequence[Point]
"""The points of one contender with one seed, in the order of time."""


def seconds_to(curve: Curve, ndcg: float) -> float | None:
    """Processor seconds at the first point that has at least ``ndcg``; None if no point has."""
    return next((point.cpu for point in curve if point.ndcg >= ndcg), None)


def seconds_per_epoch(curve: Curve) -> float:
    """Processor seconds per epoch: the median over the turns, which need not be whole epochs."""
    start = Point(0.0, 0.0, 0.0, 0.0, 0.0)
    turns = pairwise([start, *curve])
    return median((end.cpu - begin.cpu) / (end.epochs - begin.epochs) for begin, end in turns)


def best_ndcg(curve: Curve) -> float:
    """The highest NDCG@10 of a curve."""
    return max(point.ndcg for point in curve)


@dataclass(frozen=True, slots=True)
class Mark:
    """The highest NDCG@10 of some contenders, who had it first, and after how many seconds."""

    ndcg: float
    contender: str
    seconds: float


def mark_of(curves: Mapping[str, Curve]) -> Mark:
    """The mark that the ``curves``, by contender, set."""
    ndcg = max(best_ndcg(curve) for curve in curves.values())
    reached = {name: seconds_to(curve, ndcg) for name, curve in curves.items()}
    seconds, contender = min((value, name) for name, value in reached.items() if value is not None)
    return Mark(ndcg, contender, seconds)


def share_of_time(curve: Curve, mark: Mark) -> float | None:
    """The time of ``curve`` to a mark over the time of who set it; None if it is not reached."""
    seconds = seconds_to(curve, mark.ndcg)
    return None if seconds is None else seconds / mark.seconds


def median_reached(values: Iterable[float | None]) -> float | None:
    """The median, where None stands for "later than all others"; None if the median is such."""
    ordered = sorted(float("inf") if value is None else value for value in values)
    middle = median(ordered)
    return None if middle == float("inf") else middle


def round_thresholds(best: float, shares: Sequence[float] = (0.5, 0.75, 0.9)) -> list[float]:
    """Shares of ``best``, rounded to 0.001 and without repetitions."""
    return list(dict.fromkeys(round(share * best, 3) for share in shares))
