"""JSON lines to columns: fast when a chunk is sound, exact about where it is not.

As in ``text.py``, polars parses a chunk at once; only when it refuses, the lines are walked one by
one, to read what Python can and to name the first line that nobody can.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import Literal

import numpy as np
import polars as pl

from ..errors import DataError, shown
from .literals import literal_value, literals_to_json
from .streams import Chunk, chunks, encoding_error

# "text" becomes String (a number as it is written), "list" and "paths" List(String): a list of
# texts, and a list of such lists, flattened.
Kind = Literal["text", "list", "paths"]

_TYPES: dict[str, pl.DataType | type[pl.DataType]] = {
    "text": pl.String,
    "list": pl.List(pl.String),
    "paths": pl.List(pl.List(pl.String)),
}
_LITERAL = re.compile(rb"\s*\{\s*u?'")


@dataclass(frozen=True, slots=True)
class JsonPart:
    """Some lines of a file, parsed.

    Args:
        frame: A column per field asked for, null where a line lacks it; a row per line that is
            not blank.
        path: For messages.
        chunk: The lines.
    """

    frame: pl.DataFrame
    path: str | Path
    chunk: Chunk

    def place_of(self, row: int) -> str:
        """``file:line`` of a row of ``frame``."""
        for index, (line, _) in enumerate(_lines(self.chunk)):
            if index == row:
                return f"{self.path}:{line}"
        raise IndexError(f"row must be below the number of rows, got {row}")


def json_parts(path: str | Path, fields: Mapping[str, Kind]) -> Iterator[JsonPart]:
    """A file of one object per line, plain or gzip, in parts of bounded size.

    Lines are JSON or Python literals (``{'asin': ...}``); blank ones are skipped. Of a key that an
    object holds twice either value may count.

    Args:
        path: The file.
        fields: The keys to read and what their values are; all others are checked for syntax only.

    Raises:
        DataError: naming the first line that is no such object, or whose field is of another kind;
            or if the file is missing, unreadable, empty, or a broken gzip.
    """
    for chunk in chunks(path):
        frame = _parsed(chunk, fields)
        if frame is None:
            frame = _line_by_line(path, chunk, fields)
        yield JsonPart(frame, path, chunk)


def first_objects(path: str | Path, limit: int) -> Iterator[tuple[int, dict[str, object]]]:
    """The first objects of a file, at most ``limit``, and the lines (from 1) they stand on.

    Raises:
        DataError: as ``json_parts``, of these lines.
    """
    lines = chain.from_iterable(map(_lines, chunks(path)))
    for number, line in islice(lines, limit):
        yield number, _object(path, number, line)


def _parsed(chunk: Chunk, fields: Mapping[str, Kind]) -> pl.DataFrame | None:
    """The columns if polars understands every line, else ``None``."""
    data = chunk.data
    if _LITERAL.match(data):
        try:
            translated = literals_to_json(data.decode())
        except UnicodeDecodeError:
            return None
        if translated is None:
            return None
        data = translated.encode()
    for name, kind in fields.items():
        # polars would take a list inside of a list for text.
        if kind == "list" and re.search(rb'"%s"\s*:\s*\[\s*\[' % re.escape(name.encode()), data):
            return None
    try:
        frame = pl.read_ndjson(data, schema={name: _TYPES[kind] for name, kind in fields.items()})
    except pl.exceptions.PolarsError:
        return None
    if frame.height != sum(1 for _ in _lines(chunk)):
        return None
    # Explodes the inner lists where they are, inside of the outer one.
    leaves = {"list": pl.element().drop_nulls(), "paths": pl.element().explode().drop_nulls()}
    return frame.with_columns(
        pl.col(name).list.eval(leaves[kind]) for name, kind in fields.items() if kind in leaves
    )


def _line_by_line(path: str | Path, chunk: Chunk, fields: Mapping[str, Kind]) -> pl.DataFrame:
    columns: dict[str, list[object]] = {name: [] for name in fields}
    for number, line in _lines(chunk):
        value = _object(path, number, line)
        for name, kind in fields.items():
            columns[name].append(_field(value.get(name), name, kind, f"{path}:{number}"))
    types = {n: pl.String if k == "text" else pl.List(pl.String) for n, k in fields.items()}
    return pl.DataFrame(columns, schema=types)


def _object(path: str | Path, number: int, line: bytes) -> dict[str, object]:
    place = f"{path}:{number}"
    literal = _LITERAL.match(line) is not None
    kind = "Python literal" if literal else "JSON"
    try:
        text = line.decode()
    except UnicodeDecodeError as error:
        raise encoding_error(line, path, number) from error
    try:
        value = literal_value(text) if literal else json.loads(text)
    except (ValueError, RecursionError) as error:
        reason = error.msg if isinstance(error, json.JSONDecodeError) else str(error)
        raise DataError(
            f"{place}: no {kind} ({' '.join(reason.split())}), wanted one object per line, "
            f"got {shown(text.strip())}"
        ) from error
    if not isinstance(value, dict):
        raise DataError(f"{place}: wanted one object per line, got {shown(text.strip())}")
    return value


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
    # Halves of a character, which two escapes of a Python literal can be: joined, or replaced.
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _lines(chunk: Chunk) -> Iterator[tuple[int, bytes]]:
    """Line number (from 1) and bytes of every line that is not blank."""
    for number, line in enumerate(chunk.data.split(b"\n"), start=chunk.line):
        if line and not line.isspace():
            yield number, line
