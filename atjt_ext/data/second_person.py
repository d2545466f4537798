"""Noise that makes sense by itself: what another user had in succession."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from .errors import DataError, shown
from .sequences import Sequences

Codes = npt.NDArray[np.int64]


def items_of_another_user(
    random: np.random.Generator, sequences: Sequences, trained: Codes, where: Codes
) -> Codes:
    """An item for each of ``where``, a stretch of another user's training items for each user.

    A second person at an account has tastes, too: the stretch stays in order, and holds no item of
    the account's own. Where one other user has too few items, further ones add theirs.

    Args:
        random: decides who the others are, and where their stretches begin.
        sequences: as they were read.
        trained: ``[U]``, how many of each user's items are trained on.
        where: ``[K]``, what to replace; rising.

    Raises:
        DataError: all others together have too few items that a user has not.
    """
    items, offsets = sequences.items.cpu().numpy(), sequences.offsets.cpu().numpy()
    owner = np.searchsorted(offsets, where, side="right") - 1
    drawn = np.zeros(where.size, dtype=np.int64)
    users, starts, counts = np.unique(owner, return_index=True, return_counts=True)
    for user, start, count in zip(users.tolist(), starts.tolist(), counts.tolist(), strict=True):
        taken = set(items[offsets[user] : offsets[user + 1]].tolist())
        found: list[int] = []
        for other in random.permutation(sequences.num_users):
            if other == user:
                continue
            theirs = items[offsets[other] : offsets[other] + trained[other]].tolist()
            new = [item for item in dict.fromkeys(theirs) if item not in taken]
            missing = count - len(found)
            first = int(random.integers(max(1, len(new) - missing + 1)))
            found += new[first : first + missing]
            taken.update(found)
            if len(found) == count:
                break
        else:
            raise DataError(
                f"all others have {len(found)} items that user {shown(sequences.user_ids[user])} "
                f"has not, too few to replace {count}; plant less noise"
            )
        drawn[start : start + count] = found
    return drawn
