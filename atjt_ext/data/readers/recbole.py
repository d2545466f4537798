"""RecBole's atomic files: tab separated, a header of ``name:type`` fields."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from ..errors import DataError, listed, shown
from ..interactions import Interactions
from .columns import (
    GUESSES,
    ColumnNames,
    Part,
    PlaceOf,
    find_roles,
    guessed,
    optional_numbers,
    table_of_parts,
)
from .recognise import FileFormat, Sign, find_source
from .streams import first_line
from .text import DelimitedText, read_delimited, require_distinct

if TYPE_CHECKING:
    from typing_extensions import Unpack

_TYPES = ("token", "float", "token_seq", "float_seq")


def read_recbole(path: str | Path, **columns: Unpack[ColumnNames]) -> Interactions:
    """A RecBole ``.inter`` file (``user_id:token <tab> item_id:token ...``), plain or gzip.

    ``path`` is the file or its folder; columns as in ``read_csv``, named without their type. In a
    folder the ``.item`` and ``.user`` files are read as ``items`` and ``users``: ``token`` as
    String, ``token_seq`` as List(String), ``float`` as Float64, ``float_seq`` as List(String) of
    the text.

    Raises:
        DataError: for the first value that does not fit, with its file, line and column.
    """
    source = find_source(path, [FORMAT])
    types = header_types(source.interactions)
    roles = find_roles(list(types), str(source.interactions), columns)
    interactions = read_delimited(_text(source.interactions, types), roles)
    items, users = (
        None if file is None else read_feature_table(file, key, roles[key])
        for key, file in (("item", source.items), ("user", source.users))
    )
    return replace(interactions, items=items, users=users)


def header_types(path: Path) -> dict[str, str]:
    """The type of each field of a RecBole file by its name.

    Raises:
        DataError: on a field that is not ``name:type``, or a name that occurs twice.
    """
    fields = first_line(path).split("\t")
    for field in fields:
        if not _is_typed(field):
            raise DataError(
                f"{path}:1: header field {shown(field)} must be name:type with a type among "
                f"{', '.join(_TYPES)}; the header is {listed(fields)}"
            )
    pairs = [(name, type) for name, _, type in (field.rpartition(":") for field in fields)]
    require_distinct([name for name, _ in pairs], path)
    return dict(pairs)


def _is_typed(field: str) -> bool:
    return ":" in field and field.rpartition(":")[2] in _TYPES


def _is_header(line: str) -> bool:
    return all(map(_is_typed, line.split("\t")))


def _text(path: Path, types: dict[str, str]) -> DelimitedText:
    return DelimitedText(path, "\t", list(types), has_header=True, quoting="none")


def read_feature_table(path: Path, key: str, name: str | None = None) -> pl.DataFrame:
    """An ``.item`` or ``.user`` file; types as in :func:`read_recbole`.

    The column of ids, ``name`` or a guessed column, becomes ``key`` (``"item"`` or ``"user"``).
    """
    types = header_types(path)
    ids = [name] if name in types else guessed(key, list(types))
    if len(ids) != 1:
        raise DataError(
            f"{path}:1: wanted one column of {key} ids ({', '.join(GUESSES[key])}), "
            f"the columns are {listed(types)}"
        )
    return table_of_parts(_typed_parts(path, types), key, ids[0], path)


def _typed_parts(path: Path, types: dict[str, str]) -> Iterator[Part]:
    for frame, place_of in _text(path, types).frames():
        columns = [_typed(frame[name], type, place_of) for name, type in types.items()]
        yield pl.DataFrame(columns), place_of


def _typed(column: pl.Series, type: str, place_of: PlaceOf) -> pl.Series:
    if type == "float":
        return optional_numbers(column, place_of)
    if type == "token":
        return column
    words: pl.Series = column.str.extract_all(r"[^ ]+")
    return words


FORMAT = FileFormat(
    "recbole",
    read_recbole,
    Sign(names_or_suffixes=".inter", line=_is_header),
    Sign("items", names_or_suffixes=".item"),
    Sign("users", names_or_suffixes=".user"),
    files="``.inter``",
    named_columns=True,
    read_items=partial(read_feature_table, key="item"),
)
