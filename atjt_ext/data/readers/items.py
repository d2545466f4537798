"""Tables of items in files of their own, away from the interactions."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import polars as pl

from ..errors import DataError, listed, shown
from ..interactions import Interactions
from .amazon import read_metadata
from .movielens import read_movies
from .recbole import read_feature_table
from .recognise import Content, recognise
from .streams import encoding_error, read_bytes
from .yelp import read_businesses


def read_items(path: str | Path) -> pl.DataFrame:
    """A table of items, plain or gzip, as ``Interactions.items`` wants it.

    Understands those that :func:`read_interactions` finds beside interactions (RecBole's ``.item``,
    MovieLens' ``movies``, Amazon's metadata, Yelp's businesses), and one JSON object
    ``{item: [value, ...]}``, as S3-Rec's data have, whose only feature is called ``attributes``.

    Returns:
        A row per item: its id in ``item`` (String), every other column a feature.

    Raises:
        DataError: if the file holds something else, or naming the first thing that does not fit.
    """
    if read_bytes(path, 1 << 10).lstrip()[:1] == b"{" and not _is_known(path):
        return _attributes(path)
    content = recognise(path)
    if content.role != "items":
        raise DataError(f"{path}: holds {content}, wanted a table of items")
    return _read(content, path)


def with_items(interactions: Interactions, path: str | Path) -> Interactions:
    """The interactions with a table of their items from another file (:func:`read_items`).

    Raises:
        DataError: as ``read_items``, or if the table knows none of the items.
    """
    items = read_items(path)
    if not interactions.frame["item"].is_in(items["item"].implode()).any():
        ours, theirs = interactions.frame["item"].head(3), items["item"].head(3)
        raise DataError(
            f"{path}: knows none of the items; it has {listed(theirs.to_list())}, "
            f"the interactions {listed(ours.to_list())}"
        )
    return replace(interactions, items=items)


def _is_known(path: str | Path) -> bool:
    try:
        return recognise(path).format != "jsonl"
    except DataError:
        return False


def _read(content: Content, path: str | Path) -> pl.DataFrame:
    if content.format == "recbole":
        return read_feature_table(Path(path), "item")
    if content.format == "movielens":
        return read_movies(Path(path))
    return read_metadata(path) if content.format == "amazon" else read_businesses(path)


def _attributes(path: str | Path) -> pl.DataFrame:
    data = read_bytes(path)
    try:
        table = json.loads(data)
    except UnicodeDecodeError as error:
        raise encoding_error(data, path) from error
    except ValueError as error:
        raise DataError(
            f"{path}: no JSON object {{item: [value, ...]}} ({error}), and no known table of items"
        ) from error
    lists = []
    for item, values in table.items():
        if not isinstance(values, list) or any(isinstance(v, list | dict) for v in values):
            raise DataError(
                f"{path}: item {shown(item)} must have a list of values, got {shown(str(values))}"
            )
        lists.append([str(value) for value in values])
    return pl.DataFrame(
        {"item": list(table), "attributes": lists},
        schema={"item": pl.String, "attributes": pl.List(pl.String)},
    )
