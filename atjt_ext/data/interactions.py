"""Interactions as read: one row per event, users and items under their own ids."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt
import polars as pl
import torch

from .errors import DataError, listed
from .features import item_features
from .sequences import Sequences


@dataclass(frozen=True, eq=False)
class Interactions:
    """A polars frame of user-item events, in file order.

    Columns: ``user`` and ``item`` (String, the ids of the data); where the data has them ``time``
    (Int64 or Float64; only its order is used), ``rating`` (Float64), ``is_noise`` (Boolean, planted
    noise) and ``weight`` (Float64 in [0, 1], how clean); any further column is a side feature. A
    user's repeated items are kept.

    Args:
        frame: The events; none of the columns named above may hold a null.
        source: Where they came from, for messages.
        items: Features of items: a row per item, its id in ``item`` (String), every other column
            a feature. It may lack items and know others.
        users: Features of users likewise, by ``user``.
        columns: Which column of a table was read as what (``{"user": "customer_id", ...}``); empty
            where the format fixes that.

    Raises:
        DataError: if there are no events, a column is missing or has another type, or holds nulls,
            or an id occurs twice in ``items`` or ``users``.
    """

    frame: pl.DataFrame
    source: str | None = None
    items: pl.DataFrame | None = None
    users: pl.DataFrame | None = None
    columns: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        place = f"{self.source}: " if self.source else ""
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
        return self.frame["user"].n_unique()

    @property
    def num_items(self) -> int:
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

    Removing a rare item can make a user rare and the other way round, so both are removed until
    nothing changes; the fixed point does not depend on the order of removal. Repeats count. Rows
    keep their order. ``k <= 1`` returns the interactions as they are.

    Raises:
        DataError: if nothing is left.
    """
    if k <= 1:
        return interactions
    users, _ = _codes(interactions.frame["user"])
    items, _ = _codes(interactions.frame["item"])
    kept = np.arange(len(users))
    while True:
        enough = (np.bincount(users)[users] >= k) & (np.bincount(items)[items] >= k)
        if enough.all():
            break
        users, items, kept = users[enough], items[enough], kept[enough]
    if not len(kept):
        place = f"{interactions.source}: " if interactions.source else ""
        raise DataError(
            f"{place}k_core={k} leaves nothing of {len(interactions)} interactions "
            f"({interactions.num_users} users, {interactions.num_items} items); use a smaller k"
        )
    if len(kept) == len(interactions):
        return interactions
    # A mask, not row numbers: text is copied in runs.
    mask = np.zeros(len(interactions), dtype=np.bool_)
    mask[kept] = True
    return replace(interactions, frame=interactions.frame.filter(mask))


def drop_short_users(interactions: Interactions, min_length: int) -> Interactions:
    """Only users with at least ``min_length`` interactions; an item that nobody else has goes too.

    ``min_length <= 1`` returns the interactions as they are.

    Raises:
        DataError: if nobody is left.
        ValueError: if ``min_length`` is below 0.
    """
    if min_length < 0:
        raise ValueError(f"min_length must be at least 0, got {min_length}")
    if min_length <= 1:
        return interactions
    kept = interactions.frame.filter(pl.len().over("user") >= min_length)
    if kept.is_empty():
        place = f"{interactions.source}: " if interactions.source else ""
        longest = int(np.bincount(_codes(interactions.frame["user"])[0]).max())
        raise DataError(f"{place}min_length is {min_length}, the longest user has {longest}")
    return replace(interactions, frame=kept)


def to_sequences(interactions: Interactions) -> Sequences:
    """Interactions as one sequence per user, in the order of time; equal times keep file order.

    Codes are given by first appearance: users from 0, items from 1. Without a ``time`` column a
    user's order is that of the file. Columns of ``interactions.items`` that hold text or lists of
    text become ``item_features``.
    """
    frame = interactions.frame
    users, user_ids = _codes(frame["user"])
    items, item_ids = _codes(frame["item"])
    order = _order(users, frame["time"].to_numpy() if "time" in frame.columns else None)
    offsets = np.zeros(len(user_ids) + 1, dtype=np.int64)
    np.cumsum(np.bincount(users, minlength=len(user_ids)), out=offsets[1:])
    is_noise = None
    if "is_noise" in frame.columns:
        is_noise = torch.from_numpy(frame["is_noise"].to_numpy()[order])
    weights = None
    if "weight" in frame.columns:
        weights = torch.from_numpy(frame["weight"].to_numpy()[order]).float()
    return Sequences(
        offsets=torch.from_numpy(offsets),
        items=torch.from_numpy(items[order] + 1),
        user_ids=user_ids,
        item_ids=item_ids,
        is_noise=is_noise,
        weights=weights,
        source=interactions.source,
        item_features=(
            {} if interactions.items is None else item_features(interactions.items, item_ids)
        ),
    )


def positions_in_sequences(interactions: Interactions) -> npt.NDArray[np.int64]:
    """``[rows]``: where each row of the frame stands in its user's sequence, from 0."""
    frame = interactions.frame
    users, user_ids = _codes(frame["user"])
    order = _order(users, frame["time"].to_numpy() if "time" in frame.columns else None)
    counts = np.bincount(users, minlength=len(user_ids))
    starts = np.cumsum(counts) - counts
    positions = np.empty(len(users), dtype=np.int64)
    positions[order] = np.arange(len(users)) - starts[users[order]]
    return positions


def _order(
    users: npt.NDArray[np.int64], times: npt.NDArray[np.int64 | np.float64] | None
) -> npt.NDArray[np.int64]:
    """The rows by (user, time, row)."""
    if times is None:
        return np.argsort(users, kind="stable")
    if times.dtype == np.int64:
        first = int(times.min())
        span = int(times.max()) - first + 1
        if span * (int(users.max()) + 1) < 2**63:
            # One sort of one key, and a fast one: files mostly come grouped by user or by time.
            return np.argsort(users * span + (times - first), kind="stable")
    # Two stable sorts, the major key last.
    order = np.argsort(times, kind="stable")
    return order[np.argsort(users[order], kind="stable")]


def _codes(ids: pl.Series) -> tuple[npt.NDArray[np.int64], list[str]]:
    """Int64 codes from 0 by first appearance, and the ids they stand for."""
    unique = ids.unique(maintain_order=True)
    codes = ids.cast(pl.Enum(unique)).to_physical().cast(pl.Int64)
    return codes.to_numpy(writable=True), unique.to_list()
