"""RecBole's atomic files: tab separated, a header of ``name:type`` fields."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import polars as pl

from ..errors import DataError, listed, shown
from ..interactions import Interactions
from .columns import GUESSES, PlaceOf, Roles, guessed, optional_numbers
from .feature_tables import table_of_parts
from .recognise import FIELD_TYPES, find_source
from .streams import HEAD_BYTES, first_line, read_bytes
from .tables import read_delimited
from .text import DelimitedText


def read_recbole(
    path: str | Path,
    *,
    user_column: str | None = None,
    item_column: str | None = None,
    time_column: str | None = None,
    rating_column: str | None = None,
    weight_column: str | None = None,
) -> Interactions:
    """A RecBole ``.inter`` file (``user_id:token <tab> item_id:token ...``), plain or gzip.

    Columns are named without their type; those not given are guessed. In a folder the ``.item``
    and ``.user`` files beside it are read as ``items`` and ``users``: ``token`` as String,
    ``token_seq`` as List(String), ``float`` as Float64, ``float_seq`` as List(String) as written.

    Raises:
        DataError: naming file, line and column of the first thing that does not fit.
    """
    source = find_source(path, "recbole")
    types = header_types(source.interactions)
    roles = Roles(user_column, item_column, time_column, rating_column, weight_column)
    found = roles.find(list(types), str(source.interactions))
    interactions = read_delimited(_text(source.interactions, types), found)
    tables = {"item": source.items, "user": source.users}
    items, users = (
        None if file is None else read_feature_table(file, key, found[key])
        for key, file in tables.items()
    )
    return replace(interactions, items=items, users=users)


def header_types(path: Path) -> dict[str, str]:
    """The type of each field of a RecBole file by its name.

    Raises:
        DataError: a field that is not ``name:type``, or a name twice.
    """
    fields = first_line(read_bytes(path, HEAD_BYTES), path).split("\t")
    for field in fields:
        if field.rpartition(":")[2] not in FIELD_TYPES or ":" not in field:
            raise DataError(
                f"{path}:1: header field {shown(field)} must be name:type with a type among "
                f"{', '.join(FIELD_TYPES)}; the header is {listed(fields)}"
            )
    names = [field.rpartition(":")[0] for field in fields]
    for name in names:
        if names.count(name) > 1:
            raise DataError(f"{path}:1: the header names {shown(name)} more than once")
    return {field.rpartition(":")[0]: field.rpartition(":")[2] for field in fields}


def _text(path: Path, types: dict[str, str]) -> DelimitedText:
    return DelimitedText(path, "\t", list(types), has_header=True, quoted=False)


def read_feature_table(path: Path, key: str, name: str | None = None) -> pl.DataFrame:
    """An ``.item`` or ``.user`` file, the column of ids called ``key``; types as above.

    ``name`` is what the ids are called beside it; where there is no such column it is guessed.
    """
    types = header_types(path)
    ids = [name] if name in types else guessed(key, list(types))
    if len(ids) != 1:
        raise DataError(
            f"{path}:1: wanted one column of {key} ids ({', '.join(GUESSES[key])}), "
            f"the columns are {listed(types)}"
        )
    return table_of_parts(_typed_parts(path, types), key, ids[0], path)


def _typed_parts(path: Path, types: dict[str, str]) -> Iterator[tuple[pl.DataFrame, PlaceOf]]:
    for part in _text(path, types).parts():
        frame = part.parse()
        columns = [_typed(frame[name], types[name], part.place_of) for name in types]
        yield pl.DataFrame(columns), part.place_of


def _typed(column: pl.Series, type: str, place_of: PlaceOf) -> pl.Series:
    if type == "float":
        return optional_numbers(column, place_of)
    if type == "token":
        return column
    words: pl.Series = column.str.extract_all(r"\S+")
    return words
