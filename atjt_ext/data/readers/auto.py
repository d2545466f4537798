"""One reader for every format: which one a file has, by its name and by its first lines."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from ..errors import DataError, shown
from ..interactions import Interactions
from .columns import Roles
from .movielens import read_movielens
from .recbole import FIELD_TYPES, read_recbole
from .sequence_files import read_sequences
from .tables import SEPARATORS, read_csv, read_parquet
from .text import read_bytes

Format = Literal["auto", "recbole", "movielens", "csv", "parquet", "sequences"]

_NAMED_COLUMNS: dict[str, Callable[..., Interactions]] = {
    "recbole": read_recbole,
    "csv": read_csv,
    "parquet": read_parquet,
}
_FIXED_COLUMNS: dict[str, Callable[..., Interactions]] = {
    "movielens": read_movielens,
    "sequences": read_sequences,
}
_BY_NAME: dict[str, Format] = {"u.data": "movielens", "ratings.dat": "movielens"}
_BY_SUFFIX: dict[str, Format] = {
    ".inter": "recbole",
    ".csv": "csv",
    ".tsv": "csv",
    ".parquet": "parquet",
    ".pq": "parquet",
}


def read_interactions(
    path: str | Path,
    *,
    format: Format = "auto",
    user_column: str | None = None,
    item_column: str | None = None,
    time_column: str | None = None,
    rating_column: str | None = None,
) -> Interactions:
    """Interactions from a file in any format this package reads, plain or gzip.

    ``"recbole"`` (``.inter``), ``"movielens"`` (``u.data``, ``ratings.dat``, ``ratings.csv``),
    ``"csv"`` (CSV and TSV with a header), ``"parquet"``, ``"sequences"`` (``user item item ...``
    lines). ``"auto"`` goes by the name, then by the first lines.

    Args:
        path: The file.
        format: One of the above.
        user_column: Name of the column of user ids, where columns have names; guessed if ``None``.
            The same for the others.

    Raises:
        DataError: if the format cannot be told (says what was tried), or naming file, line and
            column of the first thing that does not fit.
        ValueError: on an unknown ``format``, or a column name for a format without names.
    """
    if format == "auto":
        format = detect_format(path)
    roles = Roles(user_column, item_column, time_column, rating_column)
    if format in _NAMED_COLUMNS:
        return _NAMED_COLUMNS[format](
            path,
            user_column=user_column,
            item_column=item_column,
            time_column=time_column,
            rating_column=rating_column,
        )
    if format not in _FIXED_COLUMNS:
        known = ", ".join(["auto", *_NAMED_COLUMNS, *_FIXED_COLUMNS])
        raise ValueError(f"format must be one of {known}, got {format!r}")
    if roles.any_named():
        raise ValueError(f"{path}: {format} files have no named columns, but a column was named")
    return _FIXED_COLUMNS[format](path)


def detect_format(path: str | Path) -> Format:
    """The format of a file, by its name (``.gz`` aside), then by its first line.

    Raises:
        DataError: if neither tells; names what was tried and shows the line.
    """
    name = Path(path).name.lower().removesuffix(".gz")
    by_name = _BY_NAME.get(name) or _BY_SUFFIX.get(Path(name).suffix)
    head = read_bytes(path, limit=1 << 16)
    if by_name is not None:
        return by_name
    if head.startswith(b"PAR1"):
        return "parquet"
    # The line may be cut by the limit, in the middle of a character too; enough is left to tell.
    line = head.lstrip(b"\r\n").split(b"\n", 1)[0].decode("utf-8", "replace").strip()
    tabbed = line.split("\t")
    if all(":" in field and field.rpartition(":")[2] in FIELD_TYPES for field in tabbed):
        return "recbole"
    if "::" in line or (len(tabbed) == 4 and all(map(_NUMBER.fullmatch, tabbed))):
        return "movielens"
    words = line.split()
    separator = max(SEPARATORS, key=line.count)
    if separator in line and not any(_NUMBER.fullmatch(f) for f in line.split(separator)):
        return "csv"
    if len(words) > 1 and all(map(_SEQUENCE_ID.fullmatch, words)):
        return "sequences"
    raise DataError(
        f"{path}: cannot tell the format; tried the name ({', '.join([*_BY_NAME, *_BY_SUFFIX])}) "
        f"and the first line, {shown(line)}, as a RecBole header, MovieLens ratings, a CSV header "
        "and 'user item item ...'; name it with format"
    )


_NUMBER = re.compile(r"\s*[-+]?\d+(\.\d*)?([eE][-+]?\d+)?\s*")
# Ids with a digit in them: prose would otherwise pass for sequences.
_SEQUENCE_ID = re.compile(r"[^\s,;]*\d[^\s,;]*")
