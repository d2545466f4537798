"""How well an interaction fits the rest of its sequence, as columns for a classifier.

Three measures compare an interaction with each neighbour:

* shrunk PMI, ``log((count + 1) / (expected + 1))``;
* cosine, ``count / sqrt(n_i * n_j + 1)``;
* similarity of the low-rank item vectors.

If attributes of the items are known (categories, genres), their similarity is a fourth measure.
Four numbers summarise a measure over the window: the mean, the mean weighted by 1 / distance, the
maximum and the mean of the three largest. Some columns also occur multiplied by log popularity,
because the same count means less for an item that could have met many others. No count includes
the user's own fold.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from .counts import CoOccurrences
from .events import Codes, Events, Floats

__all__ = ["ATTRIBUTE_FEATURES", "FEATURES", "interaction_features"]

_MEASURES = ("pmi", "cosine", "vector")
_SUMMARIES = ("mean", "near", "best", "best_3")
_OTHERS = (
    *("share_met", "pooled_pmi", "log_met", "log_expected"),
    *("log_popularity", "log_length"),
)
_USER_MEANS = ("pmi_mean", "cosine_mean", "vector_mean", "vector_best_3", "log_popularity")
_BY_POPULARITY = (
    *("pmi_mean", "cosine_mean", "vector_mean", "vector_near", "vector_best"),
    *("share_met", "pooled_pmi", "log_popularity", "log_length"),
)

FEATURES = (
    *(f"{measure}_{summary}" for measure in _MEASURES for summary in _SUMMARIES),
    *_OTHERS,
    *(f"user_{name}" for name in _USER_MEANS),
    *(f"{name}_by_popularity" for name in _BY_POPULARITY),
)
"""Names of the columns, in order."""

ATTRIBUTE_FEATURES = (*(f"attribute_{summary}" for summary in _SUMMARIES), "user_attribute_mean")
"""Names of the columns that follow if items have attributes."""


class _Summary:
    """Running summaries of one measure over the neighbours of every event."""

    def __init__(self, size: int) -> None:
        self.total = np.zeros(size, np.float32)
        self.near = np.zeros(size, np.float32)
        self.best = np.full((size, 3), -np.inf, np.float32)

    def add(self, events: Codes, values: Floats, distance: int) -> None:
        self.total[events] += values
        self.near[events] += values / distance
        # `best` stays sorted, the largest last.
        rest = values
        for column in (2, 1, 0):
            held = self.best[events, column]
            self.best[events, column] = np.maximum(held, rest)
            rest = np.minimum(held, rest)

    def columns(self, count: Floats, nearness: Floats) -> list[Floats]:
        best = np.where(np.isfinite(self.best), self.best, 0.0)
        return [
            self.total / np.maximum(count, 1.0),
            self.near / np.maximum(nearness, 1e-6),
            best[:, 2],
            best.sum(axis=1) / np.clip(count, 1.0, 3.0),
        ]


def interaction_features(
    events: Events,
    table: CoOccurrences,
    vectors: Floats,
    *,
    window: int,
    attributes: Floats | None = None,
) -> Floats:
    """The columns of every event: ``[N, F]`` float32.

    F is ``len(FEATURES)``, plus ``len(ATTRIBUTE_FEATURES)`` if ``attributes`` are given. Summaries
    are 0 for an event without neighbours.

    Args:
        events: the interactions to judge; their items may differ from those that ``table`` counts.
        table: co-occurrences of the original events.
        vectors: ``table.vectors(...)``.
        window: largest distance of two neighbours.
        attributes: ``attribute_vectors(...)``; None if items share no attribute.
    """
    size = len(events.items)
    summaries = [_Summary(size) for _ in range(len(_MEASURES) + (attributes is not None))]
    count, nearness, met, total, chance = (np.zeros(size, np.float32) for _ in range(5))
    for distance, earlier, later in events.neighbours(window):
        first, second, fold = events.items[earlier], events.items[later], events.folds[earlier]
        counts, expected = (of(first, second, fold) for of in (table.counts, table.expected))
        popularity = table.popularity[fold, first] * table.popularity[fold, second]
        measures = [
            np.log((counts + 1.0) / (expected + 1.0)),
            counts / np.sqrt(popularity + 1.0),
            np.einsum("pd,pd->p", vectors[fold, first], vectors[fold, second]),
        ]
        if attributes is not None:
            measures.append(np.einsum("pd,pd->p", attributes[first], attributes[second]))
        for end in (earlier, later):
            count[end] += 1.0
            nearness[end] += 1.0 / distance
            met[end] += counts > 0
            total[end] += counts
            chance[end] += expected
            for summary, values in zip(summaries, measures, strict=True):
                summary.add(end, values, distance)
    by_measure = [summary.columns(count, nearness) for summary in summaries]
    columns: list[npt.NDArray[Any]] = [
        *(column for own in by_measure[: len(_MEASURES)] for column in own),
        met / np.maximum(count, 1.0),
        np.log((total + 1.0) / (chance + 1.0)),
        np.log1p(total),
        np.log1p(chance),
        np.log1p(table.popularity[events.folds, events.items]),
        np.log(events.lengths[events.stretches].astype(np.float32)),
    ]
    by_name = dict(zip(FEATURES, columns, strict=False))
    columns += [_user_mean(events, by_name[name]) for name in _USER_MEANS]
    columns += [by_name[name] * by_name["log_popularity"] for name in _BY_POPULARITY]
    for own in by_measure[len(_MEASURES) :]:
        columns += [*own, _user_mean(events, own[0])]
    return np.stack(columns, axis=1).astype(np.float32)


def _user_mean(events: Events, column: Floats) -> npt.NDArray[Any]:
    """``[N]``, the mean of ``column [N]`` over each event's user (a busy user's: its stretch)."""
    sums = np.bincount(events.stretches, column, len(events.lengths))
    return (sums / np.maximum(events.lengths, 1))[events.stretches]
