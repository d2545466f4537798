"""Sequence files: one user per line, ``user item item ...``, items in the order of time."""

from __future__ import annotations

import re
from pathlib import Path

import polars as pl

from ..errors import DataError, shown
from ..interactions import Interactions
from .recognise import FileFormat, Sign
from .streams import decoded, read_bytes

# An id with a digit; prose would otherwise pass for sequences.
_ID = re.compile(r"[^\s,;]*\d[^\s,;]*")


def read_sequences(path: str | Path) -> Interactions:
    """A file of lines ``user item item ...`` with white space between, plain or gzip.

    ``time`` is the position in the user's sequence, from 0. Further lines of a user continue the
    sequence, so pairs ``user item`` in the order of time (SASRec's layout) can be read too. Blank
    lines are skipped.

    Raises:
        DataError: on a user without items, or text that is not UTF-8; names the line.
    """
    # Not splitlines(): it also cuts at form feeds and the like, which end no line in an editor.
    lines = pl.Series("fields", decoded(read_bytes(path), path).split("\n"))
    fields = lines.str.extract_all(r"\S+")
    lengths = fields.list.len()
    lonely = (lengths == 1).arg_true()
    if len(lonely):
        line = lonely[0]
        raise DataError(
            f"{path}:{line + 1}: a user without items, wanted 'user item item ...', "
            f"got {shown(lines[line].strip())}"
        )
    frame = (
        pl.DataFrame({"fields": fields})
        .filter(lengths > 0)
        .select(user=pl.col("fields").list.first(), item=pl.col("fields").list.slice(1))
        .explode("item")
        .with_columns(time=pl.int_range(pl.len(), dtype=pl.Int64).over("user"))
    )
    return Interactions(frame, source=str(path))


def _is_sequence(line: str) -> bool:
    words = line.split()
    return len(words) > 1 and all(map(_ID.fullmatch, words))


FORMAT = FileFormat(
    "sequences", read_sequences, Sign(line=_is_sequence), files="lines ``user item item ...``"
)
