"""JSON lines to columns, and to interactions.

As in ``text.py``, polars parses each chunk first; if it refuses, Python reads line by line. Python
also reads Amazon's oldest files, which hold Python literals instead of JSON.
"""

from __future__ import annotations

import ast
import json
import math
import re
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import partial
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import polars as pl

from ..errors import DataError, shown
from ..interactions import Interactions
from .columns import ColumnNames, Part, find_roles, interactions_of_parts
from .recognise import FileFormat, Sign
from .streams import Chunk, chunks, decoded, place_of

if TYPE_CHECKING:
    from typing_extensions import Unpack

# "text" becomes String (a number as written). "list", a list of texts, and "paths", a list of such
# lists, become List(String), flattened.
Kind = Literal["text", "list", "paths"]

_TYPES: dict[str, pl.DataType | type[pl.DataType]] = {
    "text": pl.String,
    "list": pl.List(pl.String),
    "paths": pl.List(pl.List(pl.String)),
}
# Both patterns start with a literal: the search would be a hundred times slower otherwise.
# Numbers with more digits than the floats of polars keep.
_LONG_NUMBER = re.compile(
    rb"\.[0-9](?:(?<=[0-9]{16}\.[0-9])|(?<=[0-9]{10}\.[0-9])[0-9]{7}"
    rb"|(?<=[0-9]\.[0-9])[0-9]{15,}[eE]\+?[1-9][0-9])"
)
# An escape that is half of a character; polars would read a zero.
_HALF = re.compile(
    rb"\\u[dD](?:[89abAB][0-9a-fA-F]{2}(?!\\u[dD][c-fC-F])"
    rb"|(?<!\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD])[c-fC-F])"
)
_LITERAL = re.compile(rb"\s*\{\s*u?'")
# The first object of a stream of events may lack some keys.
_OBJECTS_TO_KNOW_KEYS_BY = 1000


def json_parts(path: str | Path, fields: Mapping[str, Kind]) -> Iterator[Part]:
    """The ``fields`` (keys and their kinds) of one object per line, plain or gzip, part by part.

    Lines are JSON or Python literals (``{'asin': ...}``); blank lines are skipped. A column is null
    where a line lacks the field. If an object has a key twice, either value may count.

    Raises:
        DataError: for the first line that is no such object or has a field of another kind, or if
            the file is missing, unreadable, empty, or a broken gzip.
    """
    for chunk in chunks(path):
        frame = _parsed(chunk, fields)
        if frame is None:
            frame = _line_by_line(path, chunk, fields)
        yield frame, partial(place_of, path, partial(_lines, chunk))


def _parsed(chunk: Chunk, fields: Mapping[str, Kind]) -> pl.DataFrame | None:
    """The columns if polars understands every line, else ``None``."""
    data = chunk.data
    if _LITERAL.match(data) or _LONG_NUMBER.search(data):
        return None
    if b"\\u" in data and _HALF.search(data):
        return None
    for name, kind in fields.items():
        # polars would read a list inside a list as text.
        if kind == "list" and re.search(rb'"%s"\s*:\s*\[\s*\[' % re.escape(name.encode()), data):
            return None
    try:
        frame = pl.read_ndjson(data, schema={name: _TYPES[kind] for name, kind in fields.items()})
    except pl.exceptions.PolarsError:
        return None
    if frame.height != sum(1 for _ in _lines(chunk)):
        return None
    # Flattens inner lists in place.
    leaves = {"list": pl.element().drop_nulls(), "paths": pl.element().explode().drop_nulls()}
    return frame.with_columns(
        pl.col(name).list.eval(leaves[kind]) for name, kind in fields.items() if kind in leaves
    )


def _line_by_line(path: str | Path, chunk: Chunk, fields: Mapping[str, Kind]) -> pl.DataFrame:
    columns: dict[str, list[object]] = {name: [] for name in fields}
    for number, line in _lines(chunk):
        value = _object(path, number, line)
        try:
            for name, kind in fields.items():
                columns[name].append(_field(value.get(name), name, kind, f"{path}:{number}"))
        except RecursionError as error:
            raise DataError(f"{path}:{number}: values are nested too deeply") from error
    types = {n: pl.String if k == "text" else pl.List(pl.String) for n, k in fields.items()}
    return pl.DataFrame(columns, schema=types)


def _object(path: str | Path, number: int, line: bytes) -> dict[str, object]:
    place = f"{path}:{number}"
    literal = _LITERAL.match(line) is not None
    kind = "Python literal" if literal else "JSON"
    text = decoded(line, path, number)
    try:
        value = _literal(text.strip("\r\n")) if literal else json.loads(text, parse_float=_number)
    except (ValueError, RecursionError) as error:
        reason = error.msg if isinstance(error, json.JSONDecodeError) else str(error)
        raise DataError(
            f"{place}: no {kind} ({' '.join(reason.split())}), wanted one object per line, "
            f"got {shown(text.strip())}"
        ) from error
    if not isinstance(value, dict):
        raise DataError(f"{place}: wanted one object per line, got {shown(text.strip())}")
    return {_text(key): one for key, one in value.items()} if "\\u" in text else value


def _number(text: str) -> float | str:
    """A float, or its text if that has digits that a float would lose."""
    return text if _LONG_NUMBER.search(text.encode()) else float(text)


def _literal(line: str) -> object:
    """A Python literal, evaluated without running code; ValueError if the line is none."""
    try:
        with warnings.catch_warnings():
            # Escapes that Python does not know, such as "\\/", give warnings about source code.
            warnings.simplefilter("ignore")
            return ast.literal_eval(line)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError) as error:
        raise ValueError(error.msg if isinstance(error, SyntaxError) else str(error)) from error


def _field(value: object, name: str, kind: Kind, place: str) -> object:
    if value is None:
        return None
    if kind == "text":
        return _text(value)
    if not isinstance(value, list | tuple | str):
        raise DataError(f"{place}: field {shown(name)} must be a list, got {shown(value)}")
    return [_text(leaf) for leaf in _leaves(value) if leaf is not None]


def _leaves(value: object) -> Iterator[object]:
    if isinstance(value, list | tuple):
        for inner in value:
            yield from _leaves(inner)
    else:
        yield value


def _text(value: object) -> str:
    if isinstance(value, float) and math.isfinite(value):
        return np.format_float_positional(value, trim="-")  # as polars writes it: 7.0 is 7
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    # Two escapes of a Python literal can be the halves of a character: they are joined. A half
    # alone is replaced.
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _lines(chunk: Chunk) -> Iterator[tuple[int, bytes]]:
    """Line number (from 1) and bytes of every line that is not blank."""
    for number, line in enumerate(chunk.data.split(b"\n"), start=chunk.line):
        if line and not line.isspace():
            yield number, line


def read_json_lines(path: str | Path, **columns: Unpack[ColumnNames]) -> Interactions:
    """JSON lines with an object per interaction, plain or gzip; columns as in ``read_csv``.

    The keys of the first 1,000 objects are the columns; a line may lack some of them. Ids are text
    or numbers (``7.0`` is ``7``). A list becomes a feature of several values. Keys that hold
    objects are left out.

    Raises:
        DataError: for the first value that does not fit, with its file, line and column.
    """
    lines = islice(chain.from_iterable(map(_lines, chunks(path))), _OBJECTS_TO_KNOW_KEYS_BY)
    first = [(number, _object(path, number, line)) for number, line in lines]
    kinds = _kinds([value for _, value in first])
    roles = find_roles(list(kinds), f"{path}:{first[0][0]}", columns)
    for number, value in first:
        for role in ("user", "item"):
            id = value.get(roles[role])
            if isinstance(id, bool | list):
                raise DataError(
                    f"{path}:{number}: column {shown(roles[role])} must be an id, text or a "
                    f"number, got {shown(str(id))}"
                )
    kinds |= dict.fromkeys(roles.values(), "text")
    interactions = interactions_of_parts(json_parts(path, kinds), roles, path)
    return replace(interactions, columns=roles)


def _kinds(objects: list[dict[str, object]]) -> dict[str, Kind]:
    """The kind of the values of each key, without keys that hold objects."""
    kinds: dict[str, Kind | None] = {}
    nested = set()
    for value in objects:
        for key, one in value.items():
            if isinstance(one, dict):
                nested.add(key)
            elif kinds.setdefault(key, None) is None and one is not None:
                kinds[key] = "list" if isinstance(one, list) else "text"
    return {key: kind or "text" for key, kind in kinds.items() if key not in nested}


FORMAT = FileFormat(
    "jsonl",
    read_json_lines,
    Sign(events=True, last_resort_suffixes=".jsonl .ndjson"),
    files="one JSON object per line",
    named_columns=True,
    published=False,
)
