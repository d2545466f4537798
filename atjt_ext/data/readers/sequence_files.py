"""Sequence files: one user per line, ``user item item ...``, items in the order of time."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import polars as pl

from ..errors import DataError, shown
from ..interactions import Interactions
from .columns import BLANKS
from .recognise import FileFormat, Sign, is_number
from .streams import Chunk, chunks, text_lines

# An id with a digit; prose would otherwise pass for sequences.
_ID = re.compile(r"[^\s,;]*\d[^\s,;]*")
# If no user repeats, a number in a longer line is no rating or time, but an item.
_WIDEST_TABLE = 8
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}.*|[0-9:.]+")


def read_sequences(path: str | Path) -> Interactions:
    """A file of lines ``user item item ...`` with blanks or tabs between.

    ``time`` is the position in the user's sequence, from 0. Further lines of a user continue the
    sequence, so pairs ``user item`` in the order of time (SASRec's layout) can be read too. Blank
    lines are skipped.

    Raises:
        DataError: on a user without items, or text that is not UTF-8; names the line.
    """
    frames = [_pairs(chunk, path) for chunk in chunks(path)]
    position = pl.int_range(pl.len(), dtype=pl.Int64).over("user")
    frame = pl.concat(frames, rechunk=False).with_columns(time=position)
    return Interactions(frame, source=str(path))


def _pairs(chunk: Chunk, path: str | Path) -> pl.DataFrame:
    """A row ``user item`` for each item of the lines."""
    lines = pl.Series("fields", text_lines(chunk, path))
    fields = lines.str.extract_all(f"[^{BLANKS}]+")
    lengths = fields.list.len()
    lonely = (lengths == 1).arg_true()
    if len(lonely):
        line = lonely[0]
        raise DataError(
            f"{path}:{chunk.line + line}: a user without items, wanted 'user item item ...', "
            f"got {shown(lines[line].strip())}"
        )
    return (
        pl.DataFrame({"fields": fields})
        .filter(lengths > 0)
        .select(user=pl.col("fields").list.first(), item=pl.col("fields").list.slice(1))
        .explode("item")
    )


def _is_sequence(line: str) -> bool:
    words = line.split()
    return len(words) > 1 and all(map(_ID.fullmatch, words))


def _doubt(lines: list[str]) -> str:
    """Lines of equal length may be rows of a table: its ratings and times would become items."""
    rows = [line.split() for line in lines]
    width, count = Counter(map(len, rows)).most_common(1)[0]
    users = len({row[0] for row in rows})
    if width < 3:
        return ""
    if count >= 0.9 * len(rows):
        columns = list(zip(*(row for row in rows if len(row) == width), strict=True))
        tabular = (
            users < len(rows)
            or (_is_time(columns[0]) and any(len(set(one)) < len(one) for one in columns[1:]))
            or (width <= _WIDEST_TABLE and any(_is_rating(c) or _is_time(c) for c in columns[2:]))
        )
    else:
        tabular = 2 * users <= len(rows) and max(map(len, rows)) <= _WIDEST_TABLE
    if not tabular:
        return ""
    return (
        f"{count} of the first {len(rows)} lines have {width} fields, so they may be rows of a "
        "table (user item rating time) as well as sequences (user item item ...); pass "
        "format=sequences if they are sequences, or else write the table as CSV with a header"
    )


def _is_rating(column: Sequence[str]) -> bool:
    return all(map(is_number, column)) and max(map(float, column)) <= 10


def _is_time(column: Sequence[str]) -> bool:
    if all(map(is_number, column)):
        return min(map(float, column)) >= 1e8
    return all(map(_DATE.fullmatch, column))


FORMAT = FileFormat(
    "sequences",
    read_sequences,
    Sign(line=_is_sequence, doubt=_doubt),
    files="lines ``user item item ...``",
)
