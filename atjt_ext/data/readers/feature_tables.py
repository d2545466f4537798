"""Tables of items or users: an id, and features of it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import polars as pl

from ..errors import DataError
from .columns import PlaceOf, ids


def table_of_parts(
    parts: Iterable[tuple[pl.DataFrame, PlaceOf]], key: str, column: str, path: str | Path
) -> pl.DataFrame:
    """One table from parts of a file, in order; of an id that comes again the first row counts.

    Args:
        parts: Frames, and ``"file:line"`` of their rows.
        key: ``"item"`` or ``"user"``, which becomes the first column.
        column: Its name in the frames.
        path: For messages.

    Raises:
        DataError: on an empty id, naming its place; or if there are no rows.
    """
    frames = [
        frame.select(ids(frame[column], place_of).alias(key), pl.exclude(column))
        for frame, place_of in parts
    ]
    if not any(frame.height for frame in frames):
        raise DataError(f"{path}: a table of {key}s without rows")
    return pl.concat(frames, how="vertical_relaxed").unique(key, keep="first", maintain_order=True)
