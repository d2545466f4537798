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
    """The users' items one after another.

    A user's sequence is one stretch, or several if the user is busy. Neighbours, lengths and means
    stay within a stretch.
    """

    items: Codes  # [N], codes 1 .. num_items
    users: Codes  # [N], the user of each interaction, ascending
    folds: Codes  # [N], the fold of that user
    stretches: Codes  # [N], the stretch of each interaction, ascending
    lengths: Codes  # [num_stretches], interactions of each stretch
    num_items: int
    num_folds: int

    @staticmethod
    def of(
        sequences: Sequences, folds: torch.Tensor, num_folds: int, parts: Codes | None = None
    ) -> Events:
        """Flattens ``sequences``.

        Args:
            sequences: the sequences.
            folds: ``[num_users]`` the fold of each user.
            num_folds: the number of folds.
            parts: ``[num_users]`` the number of stretches of each user; None: 1 each.
        """
        items, lengths = sequences.items.cpu().numpy(), sequences.lengths.cpu().numpy()
        users = np.repeat(np.arange(sequences.num_users), lengths)
        of_users = folds.cpu().numpy()[users]
        stretches = users
        if parts is not None:
            first = parts.cumsum() - parts
            positions = sequences.positions.cpu().numpy()
            stretches = first[users] + positions * parts[users] // lengths[users]
            lengths = np.bincount(stretches, minlength=int(parts.sum()))
        sizes = sequences.num_items, num_folds
        return Events(items, users, of_users, stretches, lengths, *sizes)

    def neighbours(self, window: int) -> Iterator[tuple[int, Codes, Codes]]:
        """Pairs of one stretch's events, one distance from 1 to ``window`` at a time.

        Yields:
            distance, earlier events, later events. An event occurs at most once in each array.
        """
        for distance in range(1, min(window, int(self.lengths.max(initial=0)) - 1) + 1):
            earlier = np.flatnonzero(self.stretches[:-distance] == self.stretches[distance:])
            yield distance, earlier, earlier + distance
