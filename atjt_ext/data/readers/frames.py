"""Data frames with named columns: Parquet files, and frames in memory."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from ..errors import DataError
from ..interactions import Interactions
from .columns import ColumnNames, convert, find_roles, with_settled_times
from .recognise import FileFormat, Sign
from .streams import read_bytes

if TYPE_CHECKING:
    from typing_extensions import Unpack


def read_parquet(path: str | Path, **columns: Unpack[ColumnNames]) -> Interactions:
    """A Parquet file; columns as in ``read_csv``.

    Ids are strings or integers; times are numbers, dates, datetimes or text as in CSV.

    Raises:
        DataError: for the first value that does not fit, with its file, row (from 1) and column.
    """
    data = read_bytes(path)
    try:
        frame = pl.read_parquet(io.BytesIO(data))
    except pl.exceptions.PolarsError as error:
        reason = str(error).strip().splitlines()[0]
        raise DataError(f"{path}: not a readable Parquet file: {reason}") from error
    return interactions_from_frame(frame, source=str(path), **columns)


def interactions_from_frame(
    frame: object, *, source: str = "data frame", **columns: Unpack[ColumnNames]
) -> Interactions:
    """A data frame in memory, with the columns of ``read_parquet``.

    Args:
        frame: A polars frame, or any frame that speaks Arrow's PyCapsule protocol (pandas 2.2+,
            pyarrow, duckdb).
        source: The name of the frame in messages.
        columns: As in ``read_csv``.

    Raises:
        DataError: for the first value that does not fit, with its row (from 1) and column.
        TypeError: if ``frame`` is no such frame.
    """
    if not isinstance(frame, pl.DataFrame):
        if not hasattr(frame, "__arrow_c_stream__"):
            raise TypeError(
                "frame must be a polars frame or have __arrow_c_stream__ (pandas 2.2+, pyarrow), "
                f"got {type(frame).__name__}"
            )
        frame = pl.DataFrame(frame)
    roles = find_roles(frame.columns, source, columns)
    if frame.is_empty():
        raise DataError(f"{source}: no interactions")
    converted = convert(frame, roles, lambda row: f"{source}: row {row + 1}")
    return Interactions(with_settled_times(converted, source), source=source, columns=roles)


FORMAT = FileFormat(
    "parquet",
    read_parquet,
    Sign(names_or_suffixes=".parquet .pq", magic=b"PAR1"),
    files="Parquet",
    named_columns=True,
    published=False,
)
