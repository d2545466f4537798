"""How often two items stand near each other in the sequences of *other* users."""

from __future__ import annotations

import numpy as np
import torch

from .events import Codes, Events, Floats
from .item_vectors import unit_vectors

__all__ = ["CoOccurrences"]


class CoOccurrences:
    """Counts of item pairs within a window. Each fold has the counts of the users outside it.

    Memory: ``4 * num_folds`` bytes per distinct pair; there are at most ``N * window`` pairs.

    Args:
        events: the interactions to count.
        window: largest distance of two neighbours in a sequence.

    Attributes:
        popularity: ``[num_folds, num_items + 1]`` float32, interactions with each item outside
            each fold.
    """

    def __init__(self, events: Events, window: int) -> None:
        self._stride = events.num_items + 1
        self.num_folds = events.num_folds
        keys, folds = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
        for _, earlier, later in events.neighbours(window):
            keys.append(self._keys(events.items[earlier], events.items[later]))
            folds.append(events.folds[earlier])
        self._pairs, pair = np.unique(np.concatenate(keys), return_inverse=True)
        self._counts = self._outside(pair, np.concatenate(folds), len(self._pairs))
        self.popularity: Floats = self._outside(events.items, events.folds, self._stride)
        # Pair ends at each item: by chance, items meet in proportion to these.
        low, high = np.divmod(self._pairs, self._stride)
        ends = [
            np.bincount(low, row, self._stride) + np.bincount(high, row, self._stride)
            for row in self._counts
        ]
        self._ends = np.stack(ends).astype(np.float32)
        self._total = np.maximum(self._ends.sum(axis=1), 1.0)

    def _keys(self, first: Codes, second: Codes) -> Codes:
        return np.minimum(first, second) * self._stride + np.maximum(first, second)

    def _outside(self, codes: Codes, folds: Codes, size: int) -> Floats:
        """``[num_folds, size]``, how often each code occurs outside each fold."""
        inside = np.bincount(codes + folds * size, minlength=self.num_folds * size)
        inside = inside.reshape(self.num_folds, size)
        return np.asarray(inside.sum(axis=0) - inside, dtype=np.float32)

    def counts(self, first: Codes, second: Codes, folds: Codes) -> Floats:
        """``[P]``, how often the two items of each pair met outside ``folds [P]``."""
        if not len(self._pairs):
            return np.zeros(len(first), np.float32)
        keys = self._keys(first, second)
        at = np.minimum(np.searchsorted(self._pairs, keys), len(self._pairs) - 1)
        met = self._pairs[at] == keys
        return np.where(met, self._counts[folds, at], 0.0).astype(np.float32)

    def expected(self, first: Codes, second: Codes, folds: Codes) -> Floats:
        """``[P]``, how often the two items would meet by chance."""
        chance = self._ends[folds, first] * self._ends[folds, second] / self._total[folds]
        return np.asarray(chance, dtype=np.float32)

    def vectors(self, dimension: int, *, seed: int) -> Floats:
        """``[num_folds, num_items + 1, D]`` unit vectors that factor each fold's positive PMI.

        The factored table is ``max(0, log(count / expected)) * count / (count + 1)``; the last
        factor shrinks pairs seen once or twice. Two items that never met are similar if they meet
        the same others. See :func:`~.item_vectors.unit_vectors`.
        """
        low, high = np.divmod(self._pairs, self._stride)
        width = min(dimension, self._stride)
        result = np.zeros((self.num_folds, self._stride, width), np.float32)
        for fold, counts in enumerate(self._counts):
            chance = self.expected(low, high, np.full(len(low), fold))
            more = counts > chance
            if not more.any():
                continue
            i, j, count = low[more], high[more], counts[more]
            value = np.log(count / chance[more]) * count / (count + 1.0)
            matrix = torch.sparse_coo_tensor(
                torch.from_numpy(np.stack([np.r_[i, j], np.r_[j, i]])),
                torch.from_numpy(np.r_[value, value]).float(),
                (self._stride, self._stride),
                check_invariants=True,
            ).coalesce()
            result[fold] = unit_vectors(matrix, dimension, seed=seed)
        return result
