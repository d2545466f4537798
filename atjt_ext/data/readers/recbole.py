"""RecBole's atomic files: tab separated, a header of ``name:type`` fields."""

from __future__ import annotations

from pathlib import Path

from ..errors import DataError, listed, shown
from ..interactions import Interactions
from .columns import Roles, to_interactions
from .text import DelimitedText, first_line, read_bytes

FIELD_TYPES = ("token", "float", "token_seq", "float_seq")


def read_recbole(
    path: str | Path,
    *,
    user_column: str | None = None,
    item_column: str | None = None,
    time_column: str | None = None,
    rating_column: str | None = None,
) -> Interactions:
    """A RecBole ``.inter`` file (``user_id:token <tab> item_id:token ...``), plain or gzip.

    Columns are named without their type; those not given are guessed.

    Raises:
        DataError: naming file, line and column of the first thing that does not fit.
    """
    data = read_bytes(path)
    fields = first_line(data, path).split("\t")
    for field in fields:
        if field.rpartition(":")[2] not in FIELD_TYPES or ":" not in field:
            raise DataError(
                f"{path}:1: header field {shown(field)} must be name:type with a type among "
                f"{', '.join(FIELD_TYPES)}; the header is {listed(fields)}"
            )
    names = [field.rpartition(":")[0] for field in fields]
    roles = Roles(user_column, item_column, time_column, rating_column).find(names, str(path))
    text = DelimitedText(path, data, "\t", names, has_header=True, quoted=False)
    return to_interactions(
        text.parse(), roles, str(path), lambda row: f"{path}:{text.line_of(row)}"
    )
