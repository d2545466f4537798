"""What an interaction has to do with the rest of its sequence, as numbers.

A pair of neighbours is measured in three ways: shrunk PMI ``log((count + 1) / (expected + 1))``,
the cosine ``count / sqrt(n_i * n_j + 1)``, and the similarity of low-rank vectors. Each is
summarised over the window: the mean, the mean weighted by 1 / distance, the best one and the best
three. Some columns come once more times log popularity, since what a count says depends on how many
there could be. None of the counts holds the user's own fold.

Where attributes of the items are known (categories, genres), how alike two items' are is a fourth
measure, summarised likewise.
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
    "share_met",
    "pooled_pmi",
    "log_met",
    "log_expected",
    "log_popularity",
    "log_length",
)
_USER_MEANS = ("pmi_mean", "cosine_mean", "vector_mean", "vector_best_3", "log_popularity")
_BY_POPULARITY = (
    "pmi_mean",
    "cosine_mean",
    "vector_mean",
    "vector_near",
    "vector_best",
    "share_met",
    "pooled_pmi",
    "log_popularity",
    "log_length",
)

FEATURES = (
    *(f"{measure}_{summary}" for measure in _MEASURES for summary in _SUMMARIES),
    *_OTHERS,
    *(f"user_{name}" for name in _USER_MEANS),
    *(f"{name}_by_popularity" for name in _BY_POPULARITY),
)
"""Names of the columns."""

ATTRIBUTE_FEATURES = (*(f"attribute_{summary}" for summary in _SUMMARIES), "user_attribute_mean")
"""Names of the further columns where items have attributes."""


class _Summary:
    """Summaries of one measure over every event's neighbours."""

    def __init__(self, size: int) -> None:
        self.total = np.zeros(size, np.float32)
        self.near = np.zeros(size, np.float32)
        self.best = np.full((size, 3), -np.inf, np.float32)

    def add(self, events: Codes, values: Floats, distance: int) -> None:
        self.total[events] += values
        self.near[events] += values / distance
        # The three best are kept sorted, the best last.
        rest = values
        for column in (2, 1, 0):
            held = self.best[events, column]
            self.best[events, column] = np.maximum(held, rest)
            rest = np.minimum(held, rest)

    def columns(self, count: Floats, nearness: Floats) -> list[Floats]:
        best = np.where(np.isfinite(self.best), self.best, 0.0)
        held = np.clip(count, 1.0, 3.0)
        return [
            self.total / np.maximum(count, 1.0),
            self.near / np.maximum(nearness, 1e-6),
            best[:, 2],
            best.sum(axis=1) / held,
        ]


def interaction_features(
    events: Events,
    table: CoOccurrences,
    vectors: Floats,
    *,
    window: int,
    attributes: Floats | None = None,
) -> Floats:
    """``[N, len(FEATURES)]`` of every event, and ``len(ATTRIBUTE_FEATURES)`` more columns with
    ``attributes``; zeros where it has no neighbours.

    Args:
        events: what is judged; may hold other items than ``table`` was counted on.
        table: co-occurrences of the original events.
        vectors: ``table.vectors(...)``.
        window: how far neighbours may stand.
        attributes: ``attribute_vectors(...)``, or None where nothing is known of the items.
    """
    size = len(events.items)
    summaries = [_Summary(size) for _ in _MEASURES]
    alike = _Summary(size)
    count, nearness, met, total, chance = (np.zeros(size, np.float32) for _ in range(5))
    for distance, earlier, later in events.neighbours(window):
        first, second, fold = events.items[earlier], events.items[later], events.folds[earlier]
        counts = table.counts(first, second, fold)
        expected = table.expected(first, second, fold)
        popularity = table.popularity[fold, first] * table.popularity[fold, second]
        measures = (
            np.log((counts + 1.0) / (expected + 1.0)),
            counts / np.sqrt(popularity + 1.0),
            np.einsum("pd,pd->p", vectors[fold, first], vectors[fold, second]),
        )
        for end in (earlier, later):
            count[end] += 1.0
            nearness[end] += 1.0 / distance
            met[end] += counts > 0
            total[end] += counts
            chance[end] += expected
            for summary, values in zip(summaries, measures, strict=True):
                summary.add(end, values, distance)
        if attributes is not None:
            similarity = np.einsum("pd,pd->p", attributes[first], attributes[second])
            for end in (earlier, later):
                alike.add(end, similarity, distance)

    columns: list[npt.NDArray[Any]] = [
        column for summary in summaries for column in summary.columns(count, nearness)
    ]
    columns += [
        met / np.maximum(count, 1.0),
        np.log((total + 1.0) / (chance + 1.0)),
        np.log1p(total),
        np.log1p(chance),
        np.log1p(table.popularity[events.folds, events.items]),
        np.log(events.lengths[events.users].astype(np.float32)),
    ]
    by_name = dict(zip(FEATURES, columns, strict=False))
    columns += [_user_mean(events, by_name[name]) for name in _USER_MEANS]
    columns += [by_name[name] * by_name["log_popularity"] for name in _BY_POPULARITY]
    if attributes is not None:
        of_attributes = alike.columns(count, nearness)
        columns += [*of_attributes, _user_mean(events, of_attributes[0])]
    return np.stack(columns, axis=1).astype(np.float32)


def _user_mean(events: Events, column: Floats) -> npt.NDArray[Any]:
    """``[N]``, for every event the mean of ``column [N]`` over its user."""
    sums = np.bincount(events.users, column, len(events.lengths))
    return (sums / np.maximum(events.lengths, 1))[events.users]
