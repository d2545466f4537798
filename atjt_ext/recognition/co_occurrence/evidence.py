"""The counts behind a judgement, as numbers that a person can check."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .counts import CoOccurrences
from .events import Codes, Doubles, Events

__all__ = ["Evidence", "evidence_of"]


@dataclass(frozen=True, eq=False, slots=True)
class Evidence:
    """How often an interaction's item meets the items of its neighbours in other sequences.

    The other sequences belong to users outside the fold of the interaction's user.

    Attributes:
        window: largest distance of two neighbours in a sequence.
        neighbours: ``[N]`` int64, interactions of the same user within the window.
        neighbours_met: ``[N]`` int64, neighbours whose item stands near this item at least once in
            another user's sequence.
        times_met: ``[N]`` int64, how often the item stands near its neighbours' items there, summed
            over the neighbours.
        times_expected: ``[N]`` float64, the same sum if items were placed at random.
    """

    window: int
    neighbours: Codes
    neighbours_met: Codes
    times_met: Codes
    times_expected: Doubles


def evidence_of(events: Events, table: CoOccurrences, *, window: int) -> Evidence:
    """The counts behind :func:`~.interaction_features.interaction_features` of the same data."""
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
