"""Training interactions as flat arrays, and the pairs of them that stand near each other."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch

from ...data import Sequences

Codes = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False, slots=True)
class Events:
    """Users' items one after another, and who they belong to.

    Attributes:
        items: ``[N]``, codes ``1 .. num_items``.
        users: ``[N]``, rising.
        folds: ``[N]``, the fold of each one's user.
        lengths: ``[num_users]``.
        num_items: size of the catalogue.
        num_folds: folds of users.
    """

    items: Codes
    users: Codes
    folds: Codes
    lengths: Codes
    num_items: int
    num_folds: int

    @staticmethod
    def of(sequences: Sequences, folds: torch.Tensor, num_folds: int) -> Events:
        """``folds [num_users]``: the fold of each user."""
        lengths = sequences.lengths.cpu().numpy()
        users = np.repeat(np.arange(sequences.num_users), lengths)
        return Events(
            sequences.items.cpu().numpy(),
            users,
            folds.cpu().numpy()[users],
            lengths,
            sequences.num_items,
            num_folds,
        )

    def with_items(self, items: Codes) -> Events:
        """The same events with other items."""
        return replace(self, items=items)

    def neighbours(self, window: int) -> Iterator[tuple[int, Codes, Codes]]:
        """For each distance ``1 .. window`` the pairs of one user's events that far apart.

        Yields:
            distance, earlier events, later events; an event is at most once in either.
        """
        for distance in range(1, min(window, int(self.lengths.max(initial=0)) - 1) + 1):
            earlier = np.flatnonzero(self.users[:-distance] == self.users[distance:])
            yield distance, earlier, earlier + distance
