"""The Yelp open dataset: reviews, businesses and users as JSON lines."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import polars as pl

from ..interactions import Interactions
from .columns import Part, PlaceOf, interactions_of_parts, optional_numbers, refuse, table_of_parts
from .json_lines import Kind, json_parts, kinds_of_roles
from .recognise import FileFormat, Sign, find_source

_REVIEW = {"user": "user_id", "item": "business_id", "time": "date", "rating": "stars"}
_USER_COUNTS = ("review_count", "fans", "average_stars")


def read_yelp(
    path: str | Path, *, business: str | Path | None = None, user: str | Path | None = None
) -> Interactions:
    """Yelp reviews (``yelp_academic_dataset_review.json``), plain or gzip.

    ``time`` is the date of the review in seconds since 1970 (Int64); texts are left out. Businesses
    become ``items``: ``name``, ``city``, ``state`` as String and ``categories`` as List(String).
    Users become ``users``: ``yelping_since`` (String), and ``review_count``, ``fans`` and
    ``average_stars`` (Float64; as counted at publication, so a model must not read them).

    Args:
        path: The file of reviews, or the folder with businesses and users.
        business: The file of businesses, if it is not in that folder.
        user: The file of users, if it is not in that folder.

    Raises:
        DataError: for the first value that does not fit, with its file, line and field.
    """
    source = find_source(path, [FORMAT])
    parts = json_parts(source.interactions, kinds_of_roles(_REVIEW))
    timed = ((_with_seconds(frame, place_of), place_of) for frame, place_of in parts)
    interactions = interactions_of_parts(timed, _REVIEW, source.interactions)
    items, users = business or source.items, user or source.users
    return replace(
        interactions,
        items=None if items is None else read_businesses(items),
        users=None if users is None else table_of_parts(_users(users), "user", "user_id", users),
    )


def read_businesses(path: str | Path) -> pl.DataFrame:
    """``yelp_academic_dataset_business.json``, as ``items``."""
    return table_of_parts(_businesses(path), "item", "business_id", path)


def _with_seconds(frame: pl.DataFrame, place_of: PlaceOf) -> pl.DataFrame:
    text = frame["date"].str.strip_chars()
    # The older data sets have dates without a time of day.
    time = text.str.to_datetime("%Y-%m-%d %H:%M:%S", strict=False, time_unit="ms")
    day = text.str.to_datetime("%Y-%m-%d", strict=False, time_unit="ms")
    time = time.zip_with(time.is_not_null(), day)
    refuse(frame["date"], time.is_null(), "YYYY-MM-DD hh:mm:ss", place_of)
    return frame.with_columns(date=time.dt.epoch("s"))


def _businesses(path: str | Path) -> Iterator[Part]:
    fields = ("business_id", "name", "city", "state", "categories")
    # Categories are one text with commas; the lists of the older data sets come as the text
    # '["Food", "Tea"]'.
    text = pl.col("categories")
    is_list = text.str.contains(r'(?s)^\[(".*")?\]$')
    listed = pl.when(is_list).then(text).str.json_decode(pl.List(pl.String))
    split = text.str.split(",").list.eval(pl.element().str.strip_chars())
    categories = pl.when(is_list).then(listed).otherwise(split)
    for frame, place_of in json_parts(path, _kinds(fields)):
        named = frame.with_columns(
            categories.list.eval(pl.element().filter(pl.element() != "")).alias("categories")
        )
        yield named, place_of


def _kinds(fields: Sequence[str]) -> dict[str, Kind]:
    """The first of ``fields`` is the id."""
    return {name: "text" if number else "id" for number, name in enumerate(fields)}


def _users(path: str | Path) -> Iterator[Part]:
    fields = ("user_id", "yelping_since", *_USER_COUNTS)
    for frame, place_of in json_parts(path, _kinds(fields)):
        counts = [optional_numbers(frame[name], place_of) for name in _USER_COUNTS]
        yield frame.with_columns(counts), place_of


FORMAT = FileFormat(
    "yelp",
    read_yelp,
    Sign(keys="review_id user_id business_id"),
    Sign("items", keys="business_id city", no_keys="user_id"),
    Sign("users", keys="user_id yelping_since"),
    files="reviews",
    read_items=read_businesses,
)
