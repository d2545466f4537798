"""Known noise planted into real sequences."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import torch

from .catalogue import Codes
from .errors import DataError, require_at_least, shown
from .sequences import Sequences
from .simulate import PlantedNoise

_HELD_OUT = 2  # items of every user that leave-one-out holds out
# After so many draws by popularity the user has all popular items: draws are uniform from then on.
_MAX_POPULAR_DRAWS = 64


def inject_noise(sequences: Sequences, noise: PlantedNoise, *, seed: int) -> Sequences:
    """Replaces training interactions by items that the user does not have in the data.

    The last two items of a user, the targets of leave-one-out, are never replaced. The noise stays
    in the histories at test time, as in deployment. Lengths, users and catalogue stay; an item may
    lose all of its interactions.

    Args:
        sequences: Whole sequences, before any split.
        noise: The shares and the source of new items. Popularity is the training frequency.
        seed: At least 0. Same seed, sequences and noise, same result.

    Returns:
        Sequences on the CPU. ``is_noise [N]`` is true exactly where an item was replaced, or was
        marked as noise before.

    Raises:
        ValueError: if the seed is negative.
        DataError: if a user has so many items that too few others are left.
    """
    require_at_least(0, seed=seed)
    random = np.random.default_rng(seed)
    items = sequences.items.cpu().numpy().copy()
    lengths = sequences.lengths.cpu().numpy()
    trained = np.maximum(lengths - _HELD_OUT, 0)
    eligible = sequences.from_the_end.cpu().numpy() > _HELD_OUT
    chosen = np.zeros(items.size, dtype=np.bool_)
    cells = np.flatnonzero(eligible)
    chosen[random.permutation(cells)[: round(noise.diffuse_share * cells.size)]] = True
    of_noisy_users = _of_noisy_users(random, noise, sequences, eligible, trained)
    if noise.noisy_item_source == "another_user":
        theirs = np.flatnonzero(of_noisy_users)
        items[theirs] = _items_of_another_user(random, sequences, trained, theirs)
        from_catalogue = chosen & ~of_noisy_users
    else:
        from_catalogue = chosen | of_noisy_users
    popularity = np.bincount(items[eligible], minlength=sequences.num_items + 1)[1:]
    mass = popularity.astype(np.float64) ** noise.popularity_power
    where = np.flatnonzero(from_catalogue)
    items[where] = _unseen_items(random, sequences, items, where, mass)
    chosen |= of_noisy_users
    if sequences.is_noise is not None:
        chosen |= sequences.is_noise.cpu().numpy()
    return replace(
        sequences.to("cpu"), items=torch.from_numpy(items), is_noise=torch.from_numpy(chosen)
    )


def _of_noisy_users(
    random: np.random.Generator,
    noise: PlantedNoise,
    sequences: Sequences,
    eligible: npt.NDArray[np.bool_],
    trained: Codes,
) -> npt.NDArray[np.bool_]:
    """``[N]`` bool: concentrated noise, an exact share of the items of each noisy user."""
    noisy = np.zeros(trained.size, dtype=np.bool_)
    noisy[random.permutation(trained.size)[: round(noise.noisy_user_share * trained.size)]] = True
    owner = sequences.owners.cpu().numpy()
    keys = np.where(eligible, random.random(owner.size), np.inf)
    # Sorted by owner, so a rank in all is a rank among the owner's items after the offset.
    rank = np.empty(owner.size, dtype=np.int64)
    rank[np.lexsort((keys, owner))] = np.arange(owner.size)
    rank -= sequences.offsets.cpu().numpy()[owner]
    counts = np.rint(noise.noisy_item_share * trained)
    return np.asarray(eligible & noisy[owner] & (rank < counts[owner]))


def _items_of_another_user(
    random: np.random.Generator, sequences: Sequences, trained: Codes, where: Codes
) -> Codes:
    """``[K]``: an item for each of ``where``, a stretch of another user's training items per user.

    A second person at the account has tastes too, so the stretch keeps its order. It holds no item
    that the user has. If one other user has too few items, further users add their items.
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
                f"the other users have only {len(found)} items that user "
                f"{shown(sequences.user_ids[user])} does not have, too few to replace {count}; "
                "plant less noise"
            )
        drawn[start : start + count] = found
    return drawn


def _unseen_items(
    random: np.random.Generator,
    sequences: Sequences,
    items: Codes,
    where: Codes,
    mass: npt.NDArray[np.float64],
) -> Codes:
    """``[K]``: a new item for each of ``where``, distinct from its user's old and new items."""
    owner = sequences.owners.cpu().numpy()
    stride = mass.size + 1
    taken = np.unique(owner * stride + items)
    wanted = np.bincount(owner[where], minlength=sequences.num_users)
    room = mass.size - np.bincount(taken // stride, minlength=sequences.num_users)
    short = np.flatnonzero(room < wanted)
    if short.size:
        user = int(short[0])
        raise DataError(
            f"user {shown(sequences.user_ids[user])} lacks only {int(room[user])} of "
            f"{mass.size} items, too few to replace {int(wanted[user])}; plant less noise"
        )
    until = mass.cumsum()
    drawn = np.zeros(where.size, dtype=np.int64)
    pending = np.arange(where.size)
    attempts = itertools.count()
    while pending.size:
        if next(attempts) < _MAX_POPULAR_DRAWS:
            points = random.random(pending.size) * until[-1]
            new = 1 + np.minimum(np.searchsorted(until, points, side="right"), mass.size - 1)
        else:
            new = random.integers(1, stride, pending.size)
        keys = owner[where[pending]] * stride + new
        first = np.zeros(keys.size, dtype=np.bool_)
        first[np.unique(keys, return_index=True)[1]] = True
        at = np.minimum(np.searchsorted(taken, keys), taken.size - 1)
        free = first & (taken[at] != keys)
        drawn[pending[free]] = new[free]
        taken = np.union1d(taken, keys[free])
        pending = pending[~free]
    return drawn
