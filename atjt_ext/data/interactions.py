"""Interactions as read: one row per event, with the ids of the data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt
import polars as pl
import torch

from .catalogue import Codes, codes_by_appearance, item_features
from .errors import DataError, at, listed, require_at_least
from .sequences import Sequences


@dataclass(frozen=True, eq=False)
class Interactions:
    """A polars frame of user-item events, in file order.

    ========  ================  ====================================
    column    type              meaning
    ========  ================  ====================================
    user      String            id of the user
    item      String            id of the item
    time      Int64 or Float64  optional; only the order matters
    rating    Float64           optional
    is_noise  Boolean           optional: planted noise
    weight    Float64           optional: P(clean), in [0, 1]
    ========  ================  ====================================

    Every further column is a side feature. A user may have an item several times.

    Args:
        frame: The events; the columns of the table hold no null.
        source: Where the events came from, for messages.
        items: Features of items: a row per item, its id in ``item`` (String), every other column
            a feature. Items of ``frame`` may be missing, and further items present.
        users: Features of users in the same form, by ``user``.
        columns: The column of the file for each role (``{"user": "customer_id", ...}``); empty if
            the format fixes the columns.

    Raises:
        DataError: if there are no events, a column is missing, has another type or holds nulls, or
            an id occurs twice in ``items`` or ``users``.
    """

    frame: pl.DataFrame
    source: str | None = None
    items: pl.DataFrame | None = None
    users: pl.DataFrame | None = None
    columns: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        place = at(self.source)
        for name in ("user", "item"):
            if name not in self.frame.columns:
                found = listed(self.frame.columns)
                raise DataError(f"{place}interactions need a column {name!r}, found {found}")
        for name, types in _TYPES.items():
            if name not in self.frame.columns:
                continue
            dtype = self.frame.schema[name]
            if dtype not in types:
                wanted = " or ".join(str(t) for t in types)
                raise DataError(f"{place}column {name!r} must be {wanted}, got {dtype}")
            nulls = self.frame[name].null_count()
            if nulls:
                raise DataError(f"{place}column {name!r} must be filled, {nulls} rows are empty")
        if self.frame.is_empty():
            raise DataError(f"{place}no interactions")
        if "weight" in self.frame.columns and not self.frame["weight"].is_between(0, 1).all():
            raise DataError(f"{place}column 'weight' must hold numbers in [0, 1]")
        for key, table in (("item", self.items), ("user", self.users)):
            if table is None:
                continue
            if table.schema.get(key) != pl.String:
                found = listed(table.columns)
                raise DataError(f"{place}{key}s need a String column {key!r}, found {found}")
            if table[key].null_count() or not table[key].is_unique().all():
                raise DataError(f"{place}{key}s must have a row per id, some are empty or repeated")

    def __len__(self) -> int:
        return self.frame.height

    @property
    def num_users(self) -> int:
        """Number of different users."""
        return self.frame["user"].n_unique()

    @property
    def num_items(self) -> int:
        """Number of different items."""
        return self.frame["item"].n_unique()


_TYPES: dict[str, tuple[type[pl.DataType] | pl.DataType, ...]] = {
    "user": (pl.String,),
    "item": (pl.String,),
    "time": (pl.Int64, pl.Float64),
    "rating": (pl.Float64,),
    "is_noise": (pl.Boolean,),
    "weight": (pl.Float64,),
}


def k_core(interactions: Interactions, k: int) -> Interactions:
    """The largest part in which every user and every item has at least ``k`` interactions.

    Without a rare item a user may become rare, and the other way round, so both are removed until
    nothing changes. Repeats count. Rows keep their order. ``k <= 1`` changes nothing.

    Raises:
        DataError: if no interaction is left.
    """
    if k <= 1:
        return interactions
    users, _ = codes_by_appearance(interactions.frame["user"])
    items, _ = codes_by_appearance(interactions.frame["item"])
    kept = np.arange(len(users))
    while True:
        enough = (np.bincount(users)[users] >= k) & (np.bincount(items)[items] >= k)
        if enough.all():
            break
        users, items, kept = users[enough], items[enough], kept[enough]
    if not len(kept):
        raise DataError(
            f"{at(interactions.source)}k_core={k} leaves nothing of {len(interactions)} "
            f"interactions ({interactions.num_users} users, {interactions.num_items} items); "
            "use a smaller k"
        )
    if len(kept) == len(interactions):
        return interactions
    # By a mask, not by row numbers: polars then copies text in runs.
    mask = np.zeros(len(interactions), dtype=np.bool_)
    mask[kept] = True
    return replace(interactions, frame=interactions.frame.filter(mask))


def drop_short_users(interactions: Interactions, min_length: int) -> Interactions:
    """Only the users with at least ``min_length`` interactions, and the items that they have.

    ``min_length <= 1`` changes nothing.

    Raises:
        DataError: if no user is left.
        ValueError: if ``min_length`` is below 0.
    """
    require_at_least(0, min_length=min_length)
    if min_length <= 1:
        return interactions
    kept = interactions.frame.filter(pl.len().over("user") >= min_length)
    if kept.is_empty():
        longest = int(np.bincount(codes_by_appearance(interactions.frame["user"])[0]).max())
        raise DataError(
            f"{at(interactions.source)}min_length is {min_length}, the longest user has {longest}"
        )
    return replace(interactions, frame=kept)


def to_sequences(interactions: Interactions) -> Sequences:
    """One sequence per user, in the order of time; equal times keep the order of the rows.

    Codes count by first appearance: users from 0, items from 1. Without a column ``time`` the rows
    keep their order. Columns of ``interactions.items`` that hold text or lists of text become
    ``item_features``.
    """
    frame = interactions.frame
    user_ids, order, offsets = _by_user_and_time(frame)[1:]
    items, item_ids = codes_by_appearance(frame["item"])

    def in_order(column: str) -> torch.Tensor | None:
        if column not in frame.columns:
            return None
        return torch.from_numpy(frame[column].to_numpy()[order])

    weights, table = in_order("weight"), interactions.items
    return Sequences(
        offsets=torch.from_numpy(offsets),
        items=torch.from_numpy(items[order] + 1),
        user_ids=user_ids,
        item_ids=item_ids,
        is_noise=in_order("is_noise"),
        weights=None if weights is None else weights.float(),
        source=interactions.source,
        item_features={} if table is None else item_features(table, item_ids),
    )


def positions_in_sequences(interactions: Interactions) -> Codes:
    """``[rows]``: where each row of the frame stands in its user's sequence, from 0."""
    users, _, order, offsets = _by_user_and_time(interactions.frame)
    positions = np.empty(len(users), dtype=np.int64)
    positions[order] = np.arange(len(users)) - offsets[users[order]]
    return positions


def _by_user_and_time(frame: pl.DataFrame) -> tuple[Codes, list[str], Codes, Codes]:
    """User codes ``[rows]`` and their ids, the rows by (user, time, row), and users' offsets."""
    users, user_ids = codes_by_appearance(frame["user"])
    offsets = np.append(0, np.bincount(users).cumsum())
    order = _order(users, frame["time"].to_numpy() if "time" in frame.columns else None)
    return users, user_ids, order, offsets


def _order(users: Codes, times: npt.NDArray[np.int64 | np.float64] | None) -> Codes:
    """The rows by (user, time, row)."""
    if times is None:
        return np.argsort(users, kind="stable")
    if times.dtype == np.int64:
        first = int(times.min())
        span = int(times.max()) - first + 1
        if span * (int(users.max()) + 1) < 2**63:
            # One sort of one key; it is fast on files in the order of users or of times.
            return np.argsort(users * span + (times - first), kind="stable")
    return np.lexsort((times, users))
