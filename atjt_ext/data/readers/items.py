"""Tables of items in files outside the folder of the interactions."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import polars as pl

from ..errors import DataError, listed, shown
from ..interactions import Interactions
from .auto import READERS
from .recognise import recognise
from .streams import decoded, read_bytes


def read_items(path: str | Path) -> pl.DataFrame:
    """A table of items, plain or gzip, for ``Interactions.items``.

    The file is RecBole's ``.item``, MovieLens' ``movies``, Amazon's metadata, Yelp's businesses, or
    one JSON object ``{item: [value, ...]}`` (S3-Rec's data), whose feature is ``attributes``.

    Returns:
        A row per item: its id in ``item`` (String), every other column a feature.

    Raises:
        DataError: if the file holds something else, or for the first value that does not fit.
    """
    if read_bytes(path, 1 << 10).lstrip()[:1] == b"{" and not _is_known(path):
        return _attributes(path)
    content = recognise(path, READERS.values())
    if content.role != "items" or content.format.read_items is None:
        raise DataError(f"{path}: holds {content}, wanted a table of items")
    return content.format.read_items(Path(path))


def with_items(interactions: Interactions, path: str | Path) -> Interactions:
    """The interactions with the table of items of another file (:func:`read_items`).

    Raises:
        DataError: as ``read_items``, or if the table has none of the items.
    """
    items = read_items(path)
    if not interactions.frame["item"].is_in(items["item"].implode()).any():
        ours, theirs = interactions.frame["item"].head(3), items["item"].head(3)
        raise DataError(
            f"{path}: has none of the items; it has {listed(theirs.to_list())}, "
            f"the interactions {listed(ours.to_list())}"
        )
    return replace(interactions, items=items)


def _is_known(path: str | Path) -> bool:
    try:
        return recognise(path, READERS.values()).format.name != "jsonl"
    except DataError:
        return False


def _attributes(path: str | Path) -> pl.DataFrame:
    text = decoded(read_bytes(path), path)
    try:
        # Pairs: a dict would keep the last of several values of an item, not the first.
        table = json.loads(text, object_pairs_hook=tuple)
    except (ValueError, RecursionError) as error:
        raise DataError(
            f"{path}: no JSON object {{item: [value, ...]}} ({error}), and no known table of items"
        ) from error
    rows = []
    for item, values in table:
        if not isinstance(values, list) or any(isinstance(v, list | tuple) for v in values):
            raise DataError(
                f"{path}: item {shown(item)} must have a list of values, got {shown(str(values))}"
            )
        if not item.strip():
            raise DataError(f"{path}: item {shown(item)} must be an id that is not empty")
        rows.append((item, list(map(str, values))))
        try:
            "".join((item, *rows[-1][1])).encode()
        except UnicodeEncodeError as error:
            raise DataError(f"{path}: item {shown(item)}: half of a character") from error
    frame = pl.DataFrame(
        rows, schema={"item": pl.String, "attributes": pl.List(pl.String)}, orient="row"
    )
    return frame.unique("item", keep="first", maintain_order=True)
