"""Tables with named columns: CSV, TSV, JSON lines, Parquet, and data frames in memory."""

from __future__ import annotations

import csv
import io
from dataclasses import replace
from pathlib import Path

import polars as pl

from ..errors import DataError, shown
from ..interactions import Interactions
from .columns import Roles, convert, interactions_of_parts
from .json_lines import Kind, first_objects, json_parts
from .recognise import SEPARATORS
from .streams import HEAD_BYTES, first_line, read_bytes
from .text import DelimitedText


def read_csv(
    path: str | Path,
    *,
    user_column: str | None = None,
    item_column: str | None = None,
    time_column: str | None = None,
    rating_column: str | None = None,
    weight_column: str | None = None,
    separator: str | None = None,
) -> Interactions:
    """A CSV or TSV file with a header, plain or gzip.

    Columns that are not named are guessed (``user``, ``user_id``, ``userId``, ...; ``time`` and
    ``rating`` may be absent). A column ``is_noise`` is read as planted noise, one that
    ``weight_column`` names (numbers in [0, 1]) as how clean each interaction is believed to be;
    every other column becomes a feature. Times are numbers or dates
    (:mod:`~atjt_ext.data.readers.times`).

    Args:
        path: The file.
        user_column: Name of the column of user ids, and so on for the others.
        separator: One character; ``None`` takes the most frequent of tab, comma and semicolon in
            the header.

    Raises:
        DataError: naming file, line and column of the first thing that does not fit.
        ValueError: if ``separator`` is not one character.
    """
    if separator is not None and len(separator) != 1:
        raise ValueError(f"separator must be one character, got {separator!r}")
    header = first_line(read_bytes(path, HEAD_BYTES), path)
    separator = separator or max(SEPARATORS, key=header.count)
    try:
        names = next(csv.reader([header], delimiter=separator, strict=True))
    except csv.Error as error:
        raise DataError(f"{path}:1: broken quoting ({error}), wanted a CSV header") from error
    names = [name.strip() for name in names]
    roles = Roles(user_column, item_column, time_column, rating_column, weight_column).find(
        names, f"{path}:1"
    )
    return read_delimited(
        DelimitedText(path, separator, names, has_header=True, quoted=True), roles
    )


def read_delimited(text: DelimitedText, roles: dict[str, str]) -> Interactions:
    """The interactions of a delimited file, part by part; ``roles`` as from ``Roles.find``."""
    interactions = interactions_of_parts(
        (convert(part.parse(), roles, part.place_of) for part in text.parts()), text.path
    )
    return replace(interactions, columns=roles) if text.has_header else interactions


def read_json_lines(
    path: str | Path,
    *,
    user_column: str | None = None,
    item_column: str | None = None,
    time_column: str | None = None,
    rating_column: str | None = None,
    weight_column: str | None = None,
) -> Interactions:
    """JSON lines, an object per interaction, plain or gzip; see ``read_csv``.

    The keys of the first thousand objects are the columns, of which a line may lack some. Ids are
    text or numbers (``7.0`` is ``7``). A list becomes a feature of several values; keys that hold
    objects are left out.

    Raises:
        DataError: naming file, line and column of the first thing that does not fit.
    """
    first = list(first_objects(path, _OBJECTS_TO_KNOW_KEYS_BY))
    kinds = _kinds([value for _, value in first])
    roles = Roles(user_column, item_column, time_column, rating_column, weight_column).find(
        list(kinds), f"{path}:{first[0][0]}"
    )
    for number, value in first:
        for role in ("user", "item"):
            id = value.get(roles[role])
            if isinstance(id, bool | list):
                raise DataError(
                    f"{path}:{number}: column {shown(roles[role])} must be an id, text or a "
                    f"number, got {shown(str(id))}"
                )
    kinds |= dict.fromkeys(roles.values(), "text")
    interactions = interactions_of_parts(
        (convert(part.frame, roles, part.place_of) for part in json_parts(path, kinds)), path
    )
    return replace(interactions, columns=roles)


# A stream of events may not have all of them in its first.
_OBJECTS_TO_KNOW_KEYS_BY = 1000


def _kinds(objects: list[dict[str, object]]) -> dict[str, Kind]:
    """What the values of each key are, but of those that hold objects."""
    kinds: dict[str, Kind | None] = {}
    nested = set()
    for value in objects:
        for key, one in value.items():
            if isinstance(one, dict):
                nested.add(key)
            elif kinds.setdefault(key, None) is None and one is not None:
                kinds[key] = "list" if isinstance(one, list) else "text"
    return {key: kind or "text" for key, kind in kinds.items() if key not in nested}


def read_parquet(
    path: str | Path,
    *,
    user_column: str | None = None,
    item_column: str | None = None,
    time_column: str | None = None,
    rating_column: str | None = None,
    weight_column: str | None = None,
) -> Interactions:
    """A Parquet file with named columns; see ``read_csv``. Ids may be strings or integers, times
    numbers, dates, datetimes or text as in CSV.

    Raises:
        DataError: naming file, row (from 1) and column of the first thing that does not fit.
    """
    data = read_bytes(path)
    try:
        frame = pl.read_parquet(io.BytesIO(data))
    except pl.exceptions.PolarsError as error:
        reason = str(error).strip().splitlines()[0]
        raise DataError(f"{path}: not a readable Parquet file: {reason}") from error
    roles = Roles(user_column, item_column, time_column, rating_column, weight_column)
    return _from_polars(frame, roles, str(path))


def interactions_from_frame(
    frame: object,
    *,
    user_column: str | None = None,
    item_column: str | None = None,
    time_column: str | None = None,
    rating_column: str | None = None,
    weight_column: str | None = None,
    source: str = "data frame",
) -> Interactions:
    """A data frame in memory: polars, or any that speaks Arrow's PyCapsule protocol (pandas 2.2+,
    pyarrow, duckdb, ...); columns as in ``read_parquet``.

    Raises:
        DataError: naming row (from 1) and column of the first thing that does not fit.
        TypeError: if ``frame`` is no such frame.
    """
    if not isinstance(frame, pl.DataFrame):
        if not hasattr(frame, "__arrow_c_stream__"):
            raise TypeError(
                "frame must be a polars frame or have __arrow_c_stream__ (pandas 2.2+, pyarrow), "
                f"got {type(frame).__name__}"
            )
        frame = pl.DataFrame(frame)
    roles = Roles(user_column, item_column, time_column, rating_column, weight_column)
    return _from_polars(frame, roles, source)


def _from_polars(frame: pl.DataFrame, roles: Roles, source: str) -> Interactions:
    found = roles.find(frame.columns, source)
    if frame.is_empty():
        raise DataError(f"{source}: no interactions")
    converted = convert(frame, found, lambda row: f"{source}: row {row + 1}")
    return Interactions(converted, source=source, columns=found)
