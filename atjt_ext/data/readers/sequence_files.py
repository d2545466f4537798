"""Sequence files: one user per line, ``user item item ...``, in the order of time."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from ..errors import DataError, shown
from ..interactions import Interactions
from .streams import encoding_error, read_bytes


def read_sequences(path: str | Path) -> Interactions:
    """A file of whitespace separated ``user item item ...`` lines, plain or gzip.

    ``time`` is the position in the user's sequence, from 0. A user on several lines goes on where
    the line before ended, so ``user item`` pairs in order of time (SASRec's layout) read as well.
    Blank lines are skipped.

    Raises:
        DataError: naming the line of a user without items, or of text that is not UTF-8.
    """
    data = read_bytes(path)
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise encoding_error(data, path) from error
    # Not splitlines(): it also cuts at form feeds and other characters no editor counts as lines.
    lines = pl.Series("fields", text.split("\n"))
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
