"""Interactions as flat arrays, and the pairs of interactions that stand near each other."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from ...data import Sequences

__all__ = ["Codes", "Doubles", "Events", "Floats"]

Codes = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False, slots=True)
class Events:
    """The users' items one after another."""

    items: Codes  # [N], codes 1 .. num_items
    users: Codes  # [N], the user of each interaction, ascending
    folds: Codes  # [N], the fold of that user
    lengths: Codes  # [num_users], interactions of each user
    num_items: int
    num_folds: int

    @staticmethod
    def of(sequences: Sequences, folds: torch.Tensor, num_folds: int) -> Events:
        """Flattens ``sequences``; ``folds [num_users]`` is the fold of each user."""
        items, lengths = sequences.items.cpu().numpy(), sequences.lengths.cpu().numpy()
        users = np.repeat(np.arange(sequences.num_users), lengths)
        of_users = folds.cpu().numpy()[users]
        return Events(items, users, of_users, lengths, sequences.num_items, num_folds)

    def neighbours(self, window: int) -> Iterator[tuple[int, Codes, Codes]]:
        """Pairs of one user's events, one distance from 1 to ``window`` at a time.

        Yields:
            distance, earlier events, later events. An event occurs at most once in each array.
        """
        for distance in range(1, min(window, int(self.lengths.max(initial=0)) - 1) + 1):
            earlier = np.flatnonzero(self.users[:-distance] == self.users[distance:])
            yield distance, earlier, earlier + distance
