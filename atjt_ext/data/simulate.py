"""Simulated interactions with planted noise whose truth is known.

Real data never say which interactions are noise; here every one is labelled, so that a noise model
can be judged. The clean part has what a sequential recommender can learn: tastes, popularity, and
an order (from an item, a few others are likely next).
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import polars as pl

from .interactions import Interactions

Codes = npt.NDArray[np.int64]

_SECONDS_PER_DAY = 86_400
_FIRST_DAY = 1_577_836_800  # 2020-01-01, UTC


@dataclass(frozen=True, slots=True, kw_only=True)
class PlantedNoise:
    """What noise to plant. Both kinds may be combined; an interaction is noise once.

    A user's last two interactions (the validation and test targets) always stay clean, so the
    shares are of all interactions but those.

    Args:
        diffuse_share: Share of the interactions replaced wherever they stand (stray clicks).
        noisy_user_share: Share of the users with concentrated noise (bots, shared accounts).
        noisy_item_share: Share of such a user's interactions that are replaced.
        noisy_item_source: What those are replaced by: items of the ``catalogue``, one by one (a
            bot), or, in real sequences only, what ``another_user`` had in succession (a second
            person at the account).
        popularity_power: Replacing items are drawn in proportion to popularity to this power; 0
            is uniform, 1 makes noise as popular as the rest.

    Raises:
        ValueError: on a share outside ``[0, 1]``, a negative power, or another source.
    """

    diffuse_share: float = 0.0
    noisy_user_share: float = 0.0
    noisy_item_share: float = 0.5
    noisy_item_source: Literal["catalogue", "another_user"] = "catalogue"
    popularity_power: float = 0.0

    def __post_init__(self) -> None:
        for name in ("diffuse_share", "noisy_user_share", "noisy_item_share"):
            _check_share(name, getattr(self, name))
        if self.noisy_item_source not in ("catalogue", "another_user"):
            raise ValueError(
                "noisy_item_source must be 'catalogue' or 'another_user', "
                f"got {self.noisy_item_source!r}"
            )
        if not self.popularity_power >= 0:
            raise ValueError(f"popularity_power must be at least 0, got {self.popularity_power}")


def simulate_interactions(
    *,
    num_users: int,
    num_items: int,
    seed: int,
    noise: PlantedNoise | None = None,
    num_topics: int = 16,
    popularity_skew: float = 0.8,
    order_strength: float = 0.6,
    num_successors: int = 4,
    min_length: int = 5,
    mean_length: float = 15.0,
    max_length: int = 50,
) -> Interactions:
    """Interactions of users with latent tastes over items with latent topics.

    User and item factors are sparse mixtures of ``num_topics`` topics. A user's next item follows
    from the one before with probability ``order_strength``, along a sparse transition kernel (each
    item has ``num_successors`` among similar items, with weights halving from one to the next);
    otherwise it is drawn by taste and popularity. No user has an item twice. Noise replaces items
    afterwards, by ones the user has nowhere else.

    Args:
        num_users: At least 1.
        num_items: At least twice ``max_length``, so that users do not exhaust the catalogue.
        seed: Same seed and arguments, same data.
        noise: What to plant; ``None`` leaves all clean.
        num_topics: Number of latent factors.
        popularity_skew: The item of popularity rank r has popularity ``r ** -popularity_skew``.
        order_strength: In ``[0, 1]``; 0 leaves nothing to learn from the order.
        num_successors: Per item, at least 1.
        min_length: Shortest sequence, at least 3 (train, validation, test).
        mean_length: Mean of the geometric lengths before the cut at ``max_length``.
        max_length: Longest sequence.

    Returns:
        Columns ``user`` ("u00012"), ``item`` ("i0345"), ``time`` (Unix seconds, rising for each
        user) and ``is_noise``; user after user.

    Raises:
        ValueError: on an argument out of range.
    """
    for name, value, least in (
        ("num_users", num_users, 1),
        ("seed", seed, 0),
        ("num_topics", num_topics, 1),
        ("num_successors", num_successors, 1),
        ("min_length", min_length, 3),
        ("mean_length", mean_length, min_length),
        ("max_length", max_length, min_length),
        ("num_items", num_items, max(2 * max_length, num_successors + 1)),
        ("popularity_skew", popularity_skew, 0),
    ):
        if not value >= least:
            raise ValueError(f"{name} must be at least {least}, got {value}")
    _check_share("order_strength", order_strength)
    noise = noise or PlantedNoise()
    if noise.noisy_item_source != "catalogue":
        raise ValueError(
            f"noise.noisy_item_source must be 'catalogue' here, got {noise.noisy_item_source!r}; "
            "inject_noise plants it into sequences"
        )

    random = np.random.default_rng(seed)
    popularity = random.permutation(np.arange(1.0, num_items + 1) ** -popularity_skew)
    item_factors = random.dirichlet(np.full(num_topics, 0.1), num_items)  # [I, T]
    item_factors += 1e-9  # so that no topic is without items, however few there are
    user_factors = random.dirichlet(np.full(num_topics, 0.2), num_users)  # [U, T]
    items_by_topic = _Categorical((item_factors * popularity[:, None]).T)
    topics_by_user = _Categorical(user_factors)
    successors = _successors(random, item_factors, items_by_topic, num_successors)

    extra = random.geometric(1.0 / (mean_length - min_length + 1.0), num_users) - 1
    lengths = np.minimum(min_length + extra, max_length)
    everyone = np.arange(num_users)

    def by_taste(users: Codes) -> Codes:
        return items_by_topic.draw(random, topics_by_user.draw(random, users))

    sequences = np.full((num_users, int(lengths.max())), -1)
    for step in range(sequences.shape[1]):
        active = everyone[lengths > step]
        drawn = by_taste(active)
        if step:
            follow = random.random(active.size) < order_strength
            choice = np.minimum(random.geometric(0.5, active.size), num_successors) - 1
            drawn = np.where(follow, successors[sequences[active, step - 1], choice], drawn)
        sequences[active, step] = _unseen(random, sequences, active, drawn, by_taste, num_items)

    is_noise = _plant(random, sequences, lengths, popularity, noise)
    gaps = 1 + random.exponential(0.5 * _SECONDS_PER_DAY, sequences.shape).astype(np.int64)
    starts = _FIRST_DAY + random.integers(0, 365 * _SECONDS_PER_DAY, num_users)
    times = starts[:, None] + gaps.cumsum(1)

    filled = sequences >= 0
    user_ids = pl.Series([f"u{user:0{len(str(num_users - 1))}d}" for user in everyone])
    item_ids = pl.Series([f"i{item:0{len(str(num_items - 1))}d}" for item in range(num_items)])
    frame = pl.DataFrame(
        {
            "user": user_ids.gather(np.nonzero(filled)[0]),
            "item": item_ids.gather(sequences[filled]),
            "time": times[filled],
            "is_noise": is_noise[filled],
        }
    )
    return Interactions(frame, source="simulated interactions")


class _Categorical:
    """Draws from the rows of a matrix of weights, any number of rows at once."""

    def __init__(self, weights: npt.NDArray[np.float64]) -> None:
        cumulative = weights.cumsum(1)
        cumulative /= cumulative[:, -1:]
        self.num_columns = weights.shape[1]
        # One sorted array for all rows: row r lies in (r, r + 1].
        self._flat = (cumulative + np.arange(len(weights))[:, None]).ravel()

    def draw(self, random: np.random.Generator, rows: Codes) -> Codes:
        """One column for each of ``rows``."""
        points = rows + random.random(rows.size)
        columns = np.searchsorted(self._flat, points, side="right") - rows * self.num_columns
        # A point may round up to its row's end.
        return np.asarray(np.minimum(columns, self.num_columns - 1), dtype=np.int64)


def _successors(
    random: np.random.Generator,
    item_factors: npt.NDArray[np.float64],
    items_by_topic: _Categorical,
    count: int,
) -> Codes:
    """``[I, count]``, distinct items other than the item itself, mostly of its own topics."""
    num_items = len(item_factors)
    items = np.arange(num_items)
    topics_by_item = _Categorical(item_factors)
    table = np.full((num_items, count + 1), -1)
    table[:, 0] = items

    def similar(of: Codes) -> Codes:
        return items_by_topic.draw(random, topics_by_item.draw(random, of))

    for column in range(1, count + 1):
        drawn = similar(items)
        table[:, column] = _unseen(random, table, items, drawn, similar, num_items)
    return table[:, 1:]


def _unseen(
    random: np.random.Generator,
    taken: Codes,
    rows: Codes,
    drawn: Codes,
    redraw: Callable[[Codes], Codes],
    num_items: int,
) -> Codes:
    """``drawn`` (one item for each of ``rows``), drawn again where ``taken[row]`` holds it."""
    drawn = drawn.copy()
    pending = np.arange(rows.size)
    for attempt in itertools.count():
        clash = (taken[rows[pending]] == drawn[pending, None]).any(1)
        pending = pending[clash]
        if not pending.size:
            break
        # Whoever has most of what they like gets any other item, so that this ends.
        exhausted = attempt >= 8
        drawn[pending] = (
            random.integers(0, num_items, pending.size) if exhausted else redraw(rows[pending])
        )
    return drawn


def _plant(
    random: np.random.Generator,
    sequences: Codes,
    lengths: Codes,
    popularity: npt.NDArray[np.float64],
    noise: PlantedNoise,
) -> npt.NDArray[np.bool_]:
    """Replaces items of ``sequences`` (``[U, T]``, -1 where empty) in place; returns where."""
    num_users, width = sequences.shape
    eligible = np.arange(width) < (lengths - 2)[:, None]
    is_noise = np.zeros_like(eligible)

    cells = np.flatnonzero(eligible)
    count = round(noise.diffuse_share * cells.size)
    is_noise.ravel()[random.permutation(cells)[:count]] = True

    noisy_users = random.permutation(num_users)[: round(noise.noisy_user_share * num_users)]
    keys = np.where(eligible[noisy_users], random.random((noisy_users.size, width)), np.inf)
    ranks = keys.argsort(1).argsort(1)
    counts = np.rint(noise.noisy_item_share * (lengths[noisy_users] - 2))
    is_noise[noisy_users] |= ranks < counts[:, None]

    replacements = _Categorical(popularity[None] ** noise.popularity_power)

    def any_item(users: Codes) -> Codes:
        return replacements.draw(random, np.zeros_like(users))

    for step in range(width):
        users = np.flatnonzero(is_noise[:, step])
        # The item itself still stands there, so a replacement always differs from it.
        sequences[users, step] = _unseen(
            random, sequences, users, any_item(users), any_item, popularity.size
        )
    return is_noise


def _check_share(name: str, value: float) -> None:
    if not 0 <= value <= 1:
        raise ValueError(f"{name} must be in [0, 1], got {value}")
