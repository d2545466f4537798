"""One reader for every format."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from ..errors import DataError
from ..interactions import Interactions
from .amazon import read_amazon
from .columns import Roles
from .movielens import read_movielens
from .recbole import read_recbole
from .recognise import Format, find_source, recognise
from .sequence_files import read_sequences
from .tables import read_csv, read_json_lines, read_parquet
from .yelp import read_yelp

_NAMED_COLUMNS: dict[str, Callable[..., Interactions]] = {
    "recbole": read_recbole,
    "csv": read_csv,
    "jsonl": read_json_lines,
    "parquet": read_parquet,
}
_FIXED_COLUMNS: dict[str, Callable[..., Interactions]] = {
    "movielens": read_movielens,
    "amazon": read_amazon,
    "yelp": read_yelp,
    "sequences": read_sequences,
}


def read_interactions(
    path: str | Path,
    *,
    format: Format = "auto",
    user_column: str | None = None,
    item_column: str | None = None,
    time_column: str | None = None,
    rating_column: str | None = None,
    weight_column: str | None = None,
) -> Interactions:
    """Interactions from a file or a folder in any format this package reads, plain or gzip.

    ``"recbole"`` (``.inter``), ``"movielens"`` (``u.data``, ``ratings.dat``, ``ratings.csv``),
    ``"amazon"`` (reviews of 2014, 2018, 2023), ``"yelp"`` (reviews), ``"csv"`` (CSV and TSV with a
    header), ``"jsonl"`` (an object per line), ``"parquet"``, ``"sequences"`` (``user item item
    ...`` lines). ``"auto"`` goes by the name, then by the first lines. In a folder with one such
    file, tables of items and users of the same source are read as well (``Interactions.items``,
    ``.users``).

    Args:
        path: The file, or the folder.
        format: One of the above.
        user_column: Name of the column of user ids, where columns have names; guessed if ``None``.
            The same for the others, but for weights, which are not guessed.

    Raises:
        DataError: if the format cannot be told (says what was tried or recognised), or naming
            file, line and column of the first thing that does not fit.
        ValueError: on an unknown ``format``, or a column name for a format without names.
    """
    if format not in ("auto", *_NAMED_COLUMNS, *_FIXED_COLUMNS):
        known = ", ".join(["auto", *_NAMED_COLUMNS, *_FIXED_COLUMNS])
        raise ValueError(f"format must be one of {known}, got {format!r}")
    roles = Roles(user_column, item_column, time_column, rating_column, weight_column)
    if format == "auto":
        format = _format_of(path, roles)
    if format in _NAMED_COLUMNS:
        if Path(path).is_dir() and format != "recbole":
            path = find_source(path, format).interactions
        return _NAMED_COLUMNS[format](
            path,
            user_column=user_column,
            item_column=item_column,
            time_column=time_column,
            rating_column=rating_column,
            weight_column=weight_column,
        )
    if roles.any_named():
        raise ValueError(f"{path}: {format} files have no named columns, but a column was named")
    return _FIXED_COLUMNS[format](path)


def _format_of(path: str | Path, roles: Roles) -> Format:
    if Path(path).is_dir():
        return find_source(path).format
    content = recognise(path)
    if content.named and roles.any_named():
        return content.named
    if content.role != "interactions":
        raise DataError(
            f"{path}: holds {content.format}'s table of {content.role}, no interactions; "
            "name the file of interactions, or the folder of both"
            + ("; or name its columns" if content.named else "")
        )
    return content.format
