"""A limit on what one user contributes: no single user decides what a normal interaction is."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ...data import Sequences
from ...data.errors import shown
from .events import Codes

__all__ = ["UserLimit"]

# A user is busy with more interactions than twice the length that a tenth of the users exceed.
_USUAL = 0.9
_TIMES = 2
# In large data, nobody with less than this share of all interactions is busy.
_SHARE = 0.01


@dataclass(frozen=True, eq=False, slots=True)
class UserLimit:
    """Treats a busy user like the other users: no part of the sequence counts as more than theirs.

    A long sequence gives each interaction more neighbours, and features that the classifiers have
    not met in other users. Therefore recognition learns from the latest ``longest`` interactions of
    a busy user, and judges the whole sequence in stretches of at most this length.

    Attributes:
        longest: length of the longest sequence of the users who are not busy.
        busy: ``[num_users]`` bool, the users with a longer sequence.
    """

    longest: int
    busy: npt.NDArray[np.bool_]

    @staticmethod
    def of(lengths: Codes) -> UserLimit | None:
        """The limit for users with sequences of ``lengths [num_users]``; None if nobody is busy.

        The lengths of the longest tenth of the sequences do not decide who is busy.
        """
        known = np.sort(lengths[lengths > 0])
        if not len(known):
            return None
        usual = _TIMES * int(known[int(_USUAL * (len(known) - 1))])
        most = max(usual, int(_SHARE * np.minimum(known, usual).sum()))
        if known[-1] <= most:
            return None
        return UserLimit(int(known[known <= most][-1]), lengths > most)

    def stretches_of(self, lengths: Codes) -> Codes:
        """``[num_users]``, into how many stretches of nearly equal length each user's sequence of
        ``lengths [num_users]`` is cut."""
        return np.where(self.busy, -(-lengths // self.longest), 1)

    def warn(self, train: Sequences) -> None:
        """Warns the caller of the caller of the busiest user in ``train``."""
        busiest, count = int(train.lengths.argmax()), int(self.busy.sum())
        held, total = int(train.lengths[busiest]), train.num_interactions
        others = ""
        if count > 1:
            rest = "1 other user is" if count == 2 else f"{count - 1:,} other users are"
            others = f", and {rest} limited likewise"
        warnings.warn(
            f"user {shown(train.user_ids[busiest])} has {held:,} of {total:,} interactions "
            f"({100 * held / total:.1f} %): recognition learns from the latest {self.longest:,} of "
            f"them only{others}; if it is a bot, leave the user out of the data",
            stacklevel=3,
        )
