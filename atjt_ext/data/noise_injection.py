"""Noise planted into real sequences, so that the truth about them is known."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import torch

from .errors import DataError, shown
from .second_person import items_of_another_user
from .sequences import Sequences
from .simulate import PlantedNoise

Codes = npt.NDArray[np.int64]

# The items that leave-one-out holds out of every user's sequence: they stay as they are.
_HELD_OUT = 2
# Draws by popularity before a user who has all popular items gets any other.
_MAX_POPULAR_DRAWS = 64


def inject_noise(sequences: Sequences, noise: PlantedNoise, *, seed: int) -> Sequences:
    """Replaces training interactions by items that the user has nowhere in the data.

    A user's last two items (validation and test target of leave-one-out) are never replaced. What
    is read *before* them at test time is what was trained on, noise included: that is what a
    recommender meets in use. Lengths, users and catalogue stay; an item may lose all of its
    interactions. Both kinds of ``noise`` may be combined; an interaction is noise once.

    Args:
        sequences: whole sequences, before any split. Noise that they are known to hold already
            stays marked.
        noise: ``diffuse_share`` of all training interactions, wherever they stand, and
            ``noisy_item_share`` of the training interactions of a ``noisy_user_share`` of the
            users. New items are drawn by training frequency ``** popularity_power``: 0 is uniform
            over the catalogue, 1 as popular as the rest; or they are what other users had in
            succession (``noisy_item_source``).
        seed: at least 0. Same seed, sequences and noise, same result.

    Returns:
        Sequences with ``is_noise [N]`` true exactly where an item was replaced (or was known to be
        noise before); on the CPU.

    Raises:
        ValueError: a negative seed. DataError: a user has so much of the catalogue that too few
            items are left to replace theirs by.
    """
    if seed < 0:
        raise ValueError(f"seed must be at least 0, got {seed}")
    random = np.random.default_rng(seed)
    items = sequences.items.cpu().numpy().copy()
    lengths = sequences.lengths.cpu().numpy()
    trained = np.maximum(lengths - _HELD_OUT, 0)
    owner = np.repeat(np.arange(sequences.num_users), lengths)
    place = np.arange(items.size) - sequences.offsets.cpu().numpy()[owner]
    eligible = place < trained[owner]

    chosen = np.zeros(items.size, dtype=np.bool_)
    cells = np.flatnonzero(eligible)
    chosen[random.permutation(cells)[: round(noise.diffuse_share * cells.size)]] = True
    of_noisy_users = _of_noisy_users(random, noise, owner, eligible, trained)
    if noise.noisy_item_source == "another_user":
        theirs = np.flatnonzero(of_noisy_users)
        items[theirs] = items_of_another_user(random, sequences, trained, theirs)
        from_catalogue = chosen & ~of_noisy_users
    else:
        from_catalogue = chosen | of_noisy_users

    popularity = np.bincount(items[eligible], minlength=sequences.num_items + 1)[1:]
    where = np.flatnonzero(from_catalogue)
    _require_room(sequences, owner, items, where)
    items[where] = _unseen_items(
        random, owner, items, where, popularity.astype(np.float64) ** noise.popularity_power
    )
    chosen |= of_noisy_users
    if sequences.is_noise is not None:
        chosen |= sequences.is_noise.cpu().numpy()
    return replace(
        sequences.to("cpu"), items=torch.from_numpy(items), is_noise=torch.from_numpy(chosen)
    )


def _of_noisy_users(
    random: np.random.Generator,
    noise: PlantedNoise,
    owner: Codes,
    eligible: npt.NDArray[np.bool_],
    trained: Codes,
) -> npt.NDArray[np.bool_]:
    """Where users with concentrated noise have it: an exact share of each one's items."""
    noisy = np.zeros(trained.size, dtype=np.bool_)
    noisy[random.permutation(trained.size)[: round(noise.noisy_user_share * trained.size)]] = True
    keys = np.where(eligible, random.random(owner.size), np.inf)
    order = np.lexsort((keys, owner))
    rank = np.empty(owner.size, dtype=np.int64)
    rank[order] = np.arange(owner.size)
    first = np.concatenate([[0], np.cumsum(np.bincount(owner, minlength=trained.size))[:-1]])
    counts = np.rint(noise.noisy_item_share * trained)
    return np.asarray(eligible & noisy[owner] & (rank - first[owner] < counts[owner]))


def _require_room(sequences: Sequences, owner: Codes, items: Codes, where: Codes) -> None:
    wanted = np.bincount(owner[where], minlength=sequences.num_users)
    held = np.unique(owner * (sequences.num_items + 1) + items) // (sequences.num_items + 1)
    room = sequences.num_items - np.bincount(held, minlength=sequences.num_users)
    short = np.flatnonzero(room < wanted)
    if short.size:
        user = int(short[0])
        raise DataError(
            f"user {shown(sequences.user_ids[user])} lacks {int(room[user])} of "
            f"{sequences.num_items} items, too few to replace {int(wanted[user])}; "
            "plant less noise"
        )


def _unseen_items(
    random: np.random.Generator,
    owner: Codes,
    items: Codes,
    where: Codes,
    mass: npt.NDArray[np.float64],
) -> Codes:
    """One new item for each of ``where``, distinct from all of its user's old and new ones."""
    stride = mass.size + 1
    taken = np.unique(owner * stride + items)
    until = mass.cumsum()
    drawn = np.zeros(where.size, dtype=np.int64)
    pending = np.arange(where.size)
    for attempt in itertools.count():
        if not pending.size:
            return drawn
        if attempt < _MAX_POPULAR_DRAWS:
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
    raise AssertionError("unreachable")
