"""Tables of items or users: an id and its features in each row."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import polars as pl

from ..errors import DataError
from .columns import PlaceOf, ids


def table_of_parts(
    parts: Iterable[tuple[pl.DataFrame, PlaceOf]], key: str, column: str, path: str | Path
) -> pl.DataFrame:
    """One table from the parts of a file, in order; of rows with the same id the first counts.

    Args:
        parts: Frames, each with a function that gives ``"file:line"`` of a row.
        key: ``"item"`` or ``"user"``, the name of the first column of the result.
        column: The column of ids in the frames.
        path: For messages.

    Raises:
        DataError: on an empty id, with its place; or if there are no rows.
    """
    frames = [
        frame.select(ids(frame[column], place_of).alias(key), pl.exclude(column))
        for frame, place_of in parts
    ]
    if not any(frame.height for frame in frames):
        raise DataError(f"{path}: a table of {key}s without rows")
    return pl.concat(frames, how="vertical_relaxed").unique(key, keep="first", maintain_order=True)
