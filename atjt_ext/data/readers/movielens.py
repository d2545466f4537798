"""MovieLens ratings in the three layouts GroupLens has published."""

from __future__ import annotations

from pathlib import Path

from ..errors import DataError, shown
from ..interactions import Interactions
from .columns import to_interactions
from .tables import read_csv
from .text import DelimitedText, first_line, read_bytes

_FIELDS = ["user", "item", "rating", "time"]


def read_movielens(path: str | Path) -> Interactions:
    """MovieLens ratings, plain or gzip, the layout told by the first line.

    * ``u.data`` (100K): ``user <tab> item <tab> rating <tab> time``, no header;
    * ``ratings.dat`` (1M, 10M): ``user::item::rating::time``, no header;
    * ``ratings.csv`` (20M and later): header ``userId,movieId,rating,timestamp``.

    Raises:
        DataError: naming file, line and column of the first thing that does not fit.
    """
    data = read_bytes(path)
    line = first_line(data, path)
    if line.replace('"', "").split(",")[:2] == ["userId", "movieId"]:
        return read_csv(path)
    separator = "::" if "::" in line else "\t"
    if separator not in line:
        raise DataError(
            f"{path}:1: not a MovieLens layout: wanted four fields between tabs or '::', or the "
            f"header userId,movieId,rating,timestamp, got {shown(line)}"
        )
    text = DelimitedText(path, data, separator, _FIELDS, has_header=False, quoted=False)
    roles = {name: name for name in _FIELDS}
    return to_interactions(
        text.parse(), roles, str(path), lambda row: f"{path}:{text.line_of(row)}"
    )
