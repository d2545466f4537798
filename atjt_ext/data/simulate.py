"""Simulated interactions in which every interaction is known to be clean or noise.

A sequential recommender can learn tastes, popularity and order from the clean part.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import polars as pl

from .catalogue import Codes
from .errors import require_at_least
from .interactions import Interactions

_SECONDS_PER_DAY = 86_400
_FIRST_DAY = 1_577_836_800  # 2020-01-01, UTC


@dataclass(frozen=True, slots=True, kw_only=True)
class PlantedNoise:
    """The noise to plant: diffuse, concentrated on some users, or both.

    A user's last two interactions, the validation and test targets, stay clean; the shares refer to
    all other interactions.

    Args:
        diffuse_share: Share of the interactions to replace, anywhere (stray clicks).
        noisy_user_share: Share of the users with concentrated noise (bots, shared accounts).
        noisy_item_share: Share of the interactions of such a user to replace.
        noisy_item_source: ``catalogue`` draws the new items of such a user one by one (a bot);
            ``another_user``, in real sequences only, takes a stretch of another user's items (a
            second person at the account).
        popularity_power: New items from the catalogue are drawn in proportion to popularity to
            this power: 0 is uniform, 1 makes noise as popular as the other interactions.

    Raises:
        ValueError: on a share outside ``[0, 1]``, a negative power, or an unknown source.
    """

    diffuse_share: float = 0.0
    noisy_user_share: float = 0.0
    noisy_item_share: float = 0.5
    noisy_item_source: Literal["catalogue", "another_user"] = "catalogue"
    popularity_power: float = 0.0

    def __post_init__(self) -> None:
        for name in ("diffuse_share", "noisy_user_share", "noisy_item_share"):
            _check_share(name, getattr(self, name))
        source = self.noisy_item_source
        if source not in ("catalogue", "another_user"):
            wanted = "'catalogue' or 'another_user'"
            raise ValueError(f"noisy_item_source must be {wanted}, got {source!r}")
        require_at_least(0, popularity_power=self.popularity_power)


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

    User and item factors are sparse mixtures of topics. With probability ``order_strength`` a
    user's next item is a successor of the previous item; an item's successors are similar items,
    each half as likely as the successor before it. Otherwise the next item is drawn by taste and
    popularity. No user has an item twice. Afterwards noise replaces items by items that the user
    does not have.

    Args:
        num_users: At least 1.
        num_items: At least twice ``max_length``, so that no user exhausts the catalogue.
        seed: At least 0. Same seed and arguments, same data.
        noise: The noise to plant; ``None`` plants none.
        num_topics: Number of latent factors.
        popularity_skew: The item of popularity rank r has popularity ``r ** -popularity_skew``.
        order_strength: In ``[0, 1]``; with 0 there is nothing to learn from the order.
        num_successors: Successors of each item, at least 1.
        min_length: Shortest sequence, at least 3 (training, validation, test).
        mean_length: Mean of the geometric distribution of lengths, before they are cut.
        max_length: Longest sequence.

    Returns:
        Columns ``user`` ("u00012"), ``item`` ("i0345"), ``time`` (Unix seconds) and ``is_noise``;
        user after user, in the order of time.

    Raises:
        ValueError: on an argument out of range.
    """
    require_at_least(1, num_users=num_users, num_topics=num_topics, num_successors=num_successors)
    require_at_least(0, seed=seed, popularity_skew=popularity_skew)
    require_at_least(3, min_length=min_length)
    require_at_least(min_length, mean_length=mean_length, max_length=max_length)
    require_at_least(max(2 * max_length, num_successors + 1), num_items=num_items)
    _check_share("order_strength", order_strength)
    noise = noise or PlantedNoise()
    if noise.noisy_item_source != "catalogue":
        raise ValueError(
            f"noise.noisy_item_source must be 'catalogue' here, got {noise.noisy_item_source!r}; "
            "use inject_noise to plant it into sequences"
        )

    random = np.random.default_rng(seed)
    popularity = random.permutation(np.arange(1.0, num_items + 1) ** -popularity_skew)
    item_factors = random.dirichlet(np.full(num_topics, 0.1), num_items)  # [I, T]
    item_factors += 1e-9  # so that no topic is without items, even in a small catalogue
    user_factors = random.dirichlet(np.full(num_topics, 0.2), num_users)  # [U, T]
    items_by_topic = _Categorical((item_factors * popularity[:, None]).T)
    topics_by_user = _Categorical(user_factors)
    successors = _successors(random, item_factors, items_by_topic, num_successors)

    extra = random.geometric(1.0 / (mean_length - min_length + 1.0), num_users) - 1
    lengths = np.minimum(min_length + extra, max_length)

    def by_taste(users: Codes) -> Codes:
        return items_by_topic.draw(random, topics_by_user.draw(random, users))

    sequences = np.full((num_users, int(lengths.max())), -1)
    for step in range(sequences.shape[1]):
        active = np.flatnonzero(lengths > step)
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
    user_ids = pl.Series([f"u{user:0{len(str(num_users - 1))}d}" for user in range(num_users)])
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
    """Draws columns of a matrix ``[rows, columns]`` of weights."""

    def __init__(self, weights: npt.NDArray[np.float64]) -> None:
        cumulative = weights.cumsum(1)
        cumulative /= cumulative[:, -1:]
        self.num_columns = weights.shape[1]
        # One sorted array holds all rows: row r lies in (r, r + 1].
        self._flat = (cumulative + np.arange(len(weights))[:, None]).ravel()

    def draw(self, random: np.random.Generator, rows: Codes) -> Codes:
        """``[R]``: a column drawn for each of ``rows`` (``[R]``)."""
        points = rows + random.random(rows.size)
        columns = np.searchsorted(self._flat, points, side="right") - rows * self.num_columns
        # Rounding may put a point at the end of its row.
        return np.asarray(np.minimum(columns, self.num_columns - 1), dtype=np.int64)


def _successors(
    random: np.random.Generator,
    item_factors: npt.NDArray[np.float64],
    items_by_topic: _Categorical,
    count: int,
) -> Codes:
    """``[I, count]``: for each item distinct other items, mostly of its own topics."""
    items = np.arange(len(item_factors))
    topics_by_item = _Categorical(item_factors)
    table = np.full((items.size, count + 1), -1)
    table[:, 0] = items

    def similar(of: Codes) -> Codes:
        return items_by_topic.draw(random, topics_by_item.draw(random, of))

    for column in range(1, count + 1):
        drawn = similar(items)
        table[:, column] = _unseen(random, table, items, drawn, similar, items.size)
    return table[:, 1:]


def _unseen(
    random: np.random.Generator,
    taken: Codes,
    rows: Codes,
    drawn: Codes,
    redraw: Callable[[Codes], Codes],
    num_items: int,
) -> Codes:
    """``drawn``, an item for each of ``rows``; items that ``taken[row]`` holds are drawn again."""
    pending = np.arange(rows.size)
    for attempt in itertools.count():
        pending = pending[(taken[rows[pending]] == drawn[pending, None]).any(1)]
        if not pending.size:
            break
        # After eight draws the row has most of the items it likes; it gets any other item.
        if attempt < 8:
            drawn[pending] = redraw(rows[pending])
        else:
            drawn[pending] = random.integers(0, num_items, pending.size)
    return drawn


def _plant(
    random: np.random.Generator,
    sequences: Codes,
    lengths: Codes,
    popularity: npt.NDArray[np.float64],
    noise: PlantedNoise,
) -> npt.NDArray[np.bool_]:
    """Replaces items of ``sequences`` (``[U, T]``, -1 where empty); returns where, a bool mask."""
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
        # The old item is still in its row, so the new item always differs from it.
        new = _unseen(random, sequences, users, any_item(users), any_item, popularity.size)
        sequences[users, step] = new
    return is_noise


def _check_share(name: str, value: float) -> None:
    if not 0 <= value <= 1:
        raise ValueError(f"{name} must be in [0, 1], got {value}")
