"""What the counts say of an interaction, as numbers that a person can check."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .counts import CoOccurrences
from .events import Codes, Doubles, Events

__all__ = ["Evidence", "evidence_of"]


@dataclass(frozen=True, eq=False, slots=True)
class Evidence:
    """How an interaction's item gets on with its neighbours, in the sequences of *other* users.

    Others are all users outside of the user's own fold: those that it is judged by.

    Attributes:
        window: how far apart in a sequence two interactions are neighbours, at most.
        neighbours: ``[N]``, how many interactions of the same user stand near it.
        neighbours_met: ``[N]``, how many of those have an item that stands near this one at least
            once in another user's sequence.
        times_met: ``[N]``, how often its item and theirs stand near each other there, all together.
        times_expected: ``[N]``, how often they would if items stood in any place by chance.
    """

    window: int
    neighbours: Codes
    neighbours_met: Codes
    times_met: Codes
    times_expected: Doubles


def evidence_of(events: Events, table: CoOccurrences, *, window: int) -> Evidence:
    """The counts behind :func:`~atjt_ext.recognition.co_occurrence.features.interaction_features`.

    Args:
        events: what is judged.
        table: co-occurrences in the sequences that were learned from.
        window: the one that ``table`` was counted with.
    """
    size = len(events.items)
    neighbours, neighbours_met, times_met = (np.zeros(size, np.int64) for _ in range(3))
    times_expected = np.zeros(size, np.float64)
    for _, earlier, later in events.neighbours(window):
        pair = events.items[earlier], events.items[later], events.folds[earlier]
        counts, expected = table.counts(*pair), table.expected(*pair)
        for end in (earlier, later):
            neighbours[end] += 1
            neighbours_met[end] += counts > 0
            times_met[end] += counts.astype(np.int64)
            times_expected[end] += expected
    return Evidence(window, neighbours, neighbours_met, times_met, times_expected)
