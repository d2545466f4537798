"""The Yelp open dataset: reviews, businesses and users as JSON lines."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import polars as pl

from ..interactions import Interactions
from .columns import PlaceOf, convert, interactions_of_parts, optional_numbers, refuse
from .feature_tables import table_of_parts
from .json_lines import JsonPart, json_parts
from .recognise import find_source

_REVIEW = {"user": "user_id", "item": "business_id", "time": "date", "rating": "stars"}
_USER_COUNTS = ("review_count", "fans", "average_stars")


def read_yelp(
    path: str | Path, *, business: str | Path | None = None, user: str | Path | None = None
) -> Interactions:
    """Yelp reviews (``yelp_academic_dataset_review.json``), plain or gzip.

    ``time`` is the review's date in seconds from 1970 (Int64); texts are left out. Businesses
    become ``items``: ``name``, ``city``, ``state`` as String and ``categories`` as List(String),
    given by Yelp as one text between commas or (older) as a list. Users become ``users``:
    ``yelping_since`` (String) and, as they stood when the data were published and so unknown at
    the time of a review, ``review_count``, ``fans``, ``average_stars`` (Float64).

    Args:
        path: The file of reviews, or the folder with businesses and users.
        business: The file of businesses, where it is not in that folder.
        user: The file of users, likewise.

    Raises:
        DataError: naming file, line and field of the first thing that does not fit.
    """
    source = find_source(path, "yelp")
    parts = json_parts(source.interactions, dict.fromkeys(_REVIEW.values(), "text"))
    interactions = interactions_of_parts(
        (convert(_with_seconds(part), _REVIEW, part.place_of) for part in parts),
        source.interactions,
    )
    items, users = business or source.items, user or source.users
    return replace(
        interactions,
        items=None if items is None else read_businesses(items),
        users=None if users is None else table_of_parts(_users(users), "user", "user_id", users),
    )


def read_businesses(path: str | Path) -> pl.DataFrame:
    """``yelp_academic_dataset_business.json``, as ``items``."""
    return table_of_parts(_businesses(path), "item", "business_id", path)


def _with_seconds(part: JsonPart) -> pl.DataFrame:
    text = part.frame["date"].str.strip_chars()
    # Dates alone in the older sets.
    time = text.str.to_datetime("%Y-%m-%d %H:%M:%S", strict=False, time_unit="ms")
    day = text.str.to_datetime("%Y-%m-%d", strict=False, time_unit="ms")
    time = time.zip_with(time.is_not_null(), day)
    refuse(part.frame["date"], time.is_null(), "YYYY-MM-DD hh:mm:ss", part.place_of)
    return part.frame.with_columns(date=time.dt.epoch("s"))


def _businesses(path: str | Path) -> Iterator[tuple[pl.DataFrame, PlaceOf]]:
    fields = ("business_id", "name", "city", "state", "categories")
    # A list, as the older sets have, comes as the text '["Food", "Tea"]'.
    text = pl.col("categories")
    is_list = text.str.contains(r'(?s)^\[(".*")?\]$')
    listed = pl.when(is_list).then(text).str.json_decode(pl.List(pl.String))
    split = text.str.split(",").list.eval(pl.element().str.strip_chars())
    categories = pl.when(is_list).then(listed).otherwise(split)
    for part in json_parts(path, dict.fromkeys(fields, "text")):
        frame = part.frame.with_columns(
            categories.list.eval(pl.element().filter(pl.element() != "")).alias("categories")
        )
        yield frame, part.place_of


def _users(path: str | Path) -> Iterator[tuple[pl.DataFrame, PlaceOf]]:
    fields = ("user_id", "yelping_since", *_USER_COUNTS)
    for part in json_parts(path, dict.fromkeys(fields, "text")):
        counts = [optional_numbers(part.frame[name], part.place_of) for name in _USER_COUNTS]
        yield part.frame.with_columns(counts), part.place_of
