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
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from decimal import Decimal
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

# "id" and "text" become String (a number as written). "list", a list of texts, and "paths", a list
# of such lists, become List(String), flattened.
Kind = Literal["id", "text", "list", "paths"]

_TYPES: dict[str, pl.DataType | type[pl.DataType]] = {
    "id": pl.String,
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
# Numbers that polars reads as 0.
_TINY = re.compile(rb"-[0-9](?<=[eE]-[0-9])[0-9]{2}")
_LITERAL = re.compile(rb"\s*\{\s*u?'")
_BLANK_LINE = re.compile(rb"\n(?:[ \t\r\v\f]*\n|[ \t\r\v\f]+\Z)")
# The first object of a stream of events may lack some keys.
_OBJECTS_TO_KNOW_KEYS_BY = 1000


def json_parts(path: str | Path, fields: Mapping[str, Kind]) -> Iterator[Part]:
    """The ``fields`` (keys and their kinds) of one object per line, plain or gzip, part by part.

    Lines are JSON or Python literals (``{'asin': ...}``); blank lines are skipped. A column is null
    where a line lacks the field, and an id is null if it is NaN. If an object has a key twice, the
    first value counts.

    Raises:
        DataError: for the first line that is no such object, has a field of another kind, or has
            the key of an id twice; or if the file is missing, unreadable, empty, or a broken gzip.
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
    # A search for one byte is five times faster than for two, and most files have no escapes.
    if b"\\" in data and _HALF.search(data):
        return None
    for name, kind in fields.items():
        # polars would read a list inside a list as text.
        if kind == "list" and re.search(rb'"%s"\s*:\s*\[\s*\[' % re.escape(name.encode()), data):
            return None
    try:
        frame = pl.read_ndjson(data, schema={name: _TYPES[kind] for name, kind in fields.items()})
    except pl.exceptions.PolarsError:
        return None
    if frame.height != _num_objects(chunk):
        return None
    ids = [name for name, kind in fields.items() if kind == "id"]
    if any(_is_doubtful(data, frame[name]) for name in ids):
        return None
    # Flattens inner lists in place.
    leaves = {"list": pl.element().drop_nulls(), "paths": pl.element().explode().drop_nulls()}
    return frame.with_columns(
        pl.col(name).list.eval(leaves[kind]) for name, kind in fields.items() if kind in leaves
    )


def _is_doubtful(data: bytes, ids: pl.Series) -> bool:
    """Whether the objects may have the key of ``ids`` twice, or values that are no ids."""
    key = b'"%s"' % ids.name.encode()
    # Most values are no keys: counting is far faster than the pattern.
    if data.count(key) > len(ids) and len(re.findall(rb"%s\s*:" % re.escape(key), data)) > len(ids):
        return True
    found = ids.is_in(["-0", "true", "false"])
    found |= ids.str.starts_with("[") | ids.str.starts_with("{")
    return bool(found.any()) or (bool((ids == "0").any()) and _TINY.search(data) is not None)


def _line_by_line(path: str | Path, chunk: Chunk, fields: Mapping[str, Kind]) -> pl.DataFrame:
    columns: dict[str, list[object]] = {name: [] for name in fields}
    ids = {name for name, kind in fields.items() if kind == "id"}
    for number, line in _lines(chunk):
        value = _object(path, number, line, ids)
        try:
            for name, kind in fields.items():
                columns[name].append(_field(value.get(name), name, kind, f"{path}:{number}"))
        except RecursionError as error:
            raise DataError(f"{path}:{number}: values are nested too deeply") from error
        except TypeError as error:  # of json.dumps, on a set or bytes in a Python literal
            raise DataError(f"{path}:{number}: {error}, wanted values that JSON has") from error
    types = {n: pl.String if k in ("id", "text") else pl.List(pl.String) for n, k in fields.items()}
    return pl.DataFrame(columns, schema=types)


def _object(
    path: str | Path, number: int, line: bytes, ids: Collection[str] = ()
) -> dict[str, object]:
    """The object of a line; DataError if there is none, or it has a key of ``ids`` twice."""
    place = f"{path}:{number}"
    repeated: list[str] = []

    def first_values(pairs: list[tuple[str, object]]) -> dict[str, object]:
        """As polars: the first value of a key counts. The last call is for the outer object."""
        value = dict(pairs)
        repeated.clear()
        if len(value) < len(pairs):
            value.update(reversed(pairs))
            repeated.extend(k for k, count in Counter(k for k, _ in pairs).items() if count > 1)
        return value

    literal = _LITERAL.match(line) is not None
    kind = "Python literal" if literal else "JSON"
    text = decoded(line, path, number)
    try:
        value = (
            _literal(text.strip("\r\n"))
            if literal
            else json.loads(text, parse_float=_number, object_pairs_hook=first_values)
        )
    except (ValueError, RecursionError) as error:
        reason = error.msg if isinstance(error, json.JSONDecodeError) else str(error)
        raise DataError(
            f"{place}: no {kind} ({' '.join(reason.split())}), wanted one object per line, "
            f"got {shown(text.strip())}"
        ) from error
    if not isinstance(value, dict):
        raise DataError(f"{place}: wanted one object per line, got {shown(text.strip())}")
    for key in repeated:
        if key in ids:
            raise DataError(f"{place}: the key {shown(key)} must occur once, got it more often")
    return {_text(key): one for key, one in value.items()} if "\\u" in text else value


def _number(text: str) -> float | str:
    """A float, or the digits of a number that a float would change, without zeros at the end."""
    number = float(text)
    if number == 0:
        is_zero = not text.lower().split("e")[0].strip("-0.")
        return number if is_zero else text
    if math.isinf(number) or not _LONG_NUMBER.search(text.encode()):
        return number
    digits = f"{Decimal(text):f}"
    return digits.rstrip("0").rstrip(".") if "." in digits else digits


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
    if kind == "id":
        return _id(value, name, place)
    if kind == "text":
        return _text(value)
    if not isinstance(value, list | tuple | str):
        raise DataError(f"{place}: field {shown(name)} must be a list, got {shown(value)}")
    return [_text(leaf) for leaf in _leaves(value) if leaf is not None]


def _id(value: object, name: str, place: str) -> str | None:
    """The text of an id; null for NaN."""
    wanted = f"{place}: column {shown(name)} must be an id, text or a number"
    if isinstance(value, float):
        if math.isnan(value):
            return None
        if math.isinf(value):
            raise DataError(f"{wanted}, got one beyond the range of 64-bit floats ({value})")
        value += 0.0  # -0.0 becomes 0.0
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise DataError(f"{wanted}, got {shown(str(value))}")
    try:
        return _text(value, "strict")
    except UnicodeDecodeError as error:
        raise DataError(f"{wanted}, got half of a character in {shown(value)}") from error


def _leaves(value: object) -> Iterator[object]:
    if isinstance(value, list | tuple):
        for inner in value:
            yield from _leaves(inner)
    else:
        yield value


def _text(value: object, errors: str = "replace") -> str:
    if isinstance(value, float) and math.isfinite(value):
        return np.format_float_positional(value, trim="-")  # as polars writes it: 7.0 is 7
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    # Two escapes of a Python literal can be the halves of a character: they are joined. A half
    # alone is an error.
    return text.encode("utf-16", "surrogatepass").decode("utf-16", errors)


def _lines(chunk: Chunk) -> Iterator[tuple[int, bytes]]:
    """Line number (from 1) and bytes of every line that is not blank."""
    for number, line in enumerate(chunk.data.split(b"\n"), start=chunk.line):
        if line and not line.isspace():
            yield number, line


def _num_objects(chunk: Chunk) -> int:
    """The number of lines that are not blank; without a loop where none is blank."""
    data = chunk.data
    if data[:1].isspace() or _BLANK_LINE.search(data):
        return sum(1 for _ in _lines(chunk))
    return data.count(b"\n") + (not data.endswith(b"\n"))


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
    kinds |= kinds_of_roles(roles)
    interactions = interactions_of_parts(json_parts(path, kinds), roles, path)
    return replace(interactions, columns=roles)


def kinds_of_roles(roles: Mapping[str, str]) -> dict[str, Kind]:
    """The kinds of the keys of interactions; ``roles`` as from ``find_roles``."""
    return {key: "id" if role in ("user", "item") else "text" for role, key in roles.items()}


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
