"""Amazon reviews as McAuley's group has published them: 2014, 2018 and 2023."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import cast

import polars as pl

from ..errors import DataError, listed
from ..interactions import Interactions
from .columns import ColumnNames, Part, interactions_of_parts, table_of_parts
from .csv_files import read_csv
from .json_lines import Kind, json_parts, kinds_of_roles
from .recognise import FileFormat, Sign, find_source, header_of, keys_of
from .streams import glimpse

# Keys of a review by role.
_2014 = {"user": "reviewerID", "item": "asin", "time": "unixReviewTime", "rating": "overall"}
_2023 = {"user": "user_id", "item": "parent_asin", "time": "timestamp", "rating": "rating"}

# Keys of an item's metadata; the name and the kind of each feature.
_METADATA: dict[str, dict[str, tuple[str, Kind]]] = {
    "2014": {"asin": ("asin", "id"), "title": ("title", "text"), "brand": ("brand", "text"),
             "categories": ("categories", "paths")},
    "2018": {"asin": ("asin", "id"), "title": ("title", "text"), "brand": ("brand", "text"),
             "main_cat": ("main_category", "text"), "category": ("categories", "list")},
    "2023": {"parent_asin": ("parent_asin", "id"), "title": ("title", "text"),
             "store": ("brand", "text"), "main_category": ("main_category", "text"),
             "categories": ("categories", "list")},
}  # fmt: skip


def read_amazon(path: str | Path, *, metadata: str | Path | None = None) -> Interactions:
    """Amazon reviews, plain or gzip; the first line tells the layout.

    * 2014 and 2018: JSON lines with ``reviewerID``, ``asin``, ``overall``, ``unixReviewTime``
      (seconds), also as Python literals with single quotes (about 10,000 reviews a second);
    * 2023: JSON lines with ``user_id``, ``parent_asin``, ``rating``, ``timestamp`` (milliseconds),
      or CSV with the same names.

    Other fields are left out. Metadata becomes ``items``: ``title``, ``brand`` (2023: the store),
    ``main_category`` (2018, 2023) as String and ``categories`` as List(String), from general to
    special, each once. The first line of an item counts.

    Args:
        path: The file of reviews, or the folder of reviews and metadata.
        metadata: The metadata file, if it is not in that folder.

    Raises:
        DataError: for the first value that does not fit, with its file, line and field.
    """
    source = find_source(path, [FORMAT])
    items = source.items if metadata is None else metadata
    interactions = _read_reviews(source.interactions)
    return interactions if items is None else replace(interactions, items=read_metadata(items))


def _read_reviews(path: Path) -> Interactions:
    line = glimpse(path)
    if not line.lstrip().startswith("{"):
        return _read_ratings(path, header_of(line))
    keys = set(keys_of(line))
    layout = _2014 if _2014["user"] in keys else _2023
    for role in ("user", "item"):
        if layout[role] not in keys:
            raise DataError(
                f"{path}:1: no Amazon reviews: wanted the keys {listed(_2014.values())} or "
                f"{listed(_2023.values())}, got {listed(sorted(keys))}"
            )
    parts = json_parts(path, kinds_of_roles(layout))
    return interactions_of_parts(parts, layout, path)


def _read_ratings(path: Path, header: list[str]) -> Interactions:
    if not set(header) >= set(_2023.values()):
        raise DataError(
            f"{path}:1: no Amazon reviews: wanted JSON lines or a header with "
            f"{listed(_2023.values())}, got {listed(header)}"
        )
    columns = cast(ColumnNames, {f"{role}_column": name for role, name in _2023.items()})
    return read_csv(path, **columns)


def read_metadata(path: str | Path) -> pl.DataFrame:
    """The metadata of any year, as ``items``."""
    keys = set(keys_of(glimpse(path)))
    if not keys & {"asin", "parent_asin"}:
        raise DataError(
            f"{path}:1: no Amazon metadata: wanted the key asin or parent_asin, "
            f"got {listed(sorted(keys))}"
        )
    # Files of 2014 have "categories".
    year = "2018" if keys & {"category", "main_cat"} else "2014"
    year = "2023" if "parent_asin" in keys else year
    key = next(iter(_METADATA[year]))
    return table_of_parts(_metadata_parts(path, _METADATA[year]), "item", key, path)


def _metadata_parts(path: str | Path, fields: dict[str, tuple[str, Kind]]) -> Iterator[Part]:
    names = {key: name for key, (name, _) in fields.items()}
    categories = pl.col("categories").list.unique(maintain_order=True)
    for frame, place_of in json_parts(path, {key: kind for key, (_, kind) in fields.items()}):
        yield frame.rename(names).with_columns(categories), place_of


FORMAT = FileFormat(
    "amazon",
    read_amazon,
    Sign(keys="reviewerID asin"),
    Sign(keys="user_id parent_asin", header="user_id parent_asin rating timestamp"),
    Sign("items", keys="parent_asin", no_keys="user_id"),
    Sign("items", keys="asin", no_keys="reviewerID user_id question"),
    files="reviews of 2014, 2018 and 2023",
    read_items=read_metadata,
)
