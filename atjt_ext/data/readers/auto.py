"""One reader for every format."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

from ..errors import DataError
from ..formats import FORMATS, Format, Quoting, require_quoting
from ..interactions import Interactions
from .columns import ColumnNames
from .recognise import FileFormat, find_source, recognise

READERS: dict[str, FileFormat] = {
    name: import_module(f".{module}", __package__).FORMAT for name, module in FORMATS.items()
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
    quoting: Quoting = "auto",
) -> Interactions:
    """Interactions from a file or a folder, in any format that this package reads.

    <formats>

    In a folder with one file of interactions, the tables of items and users beside it are read too
    (``Interactions.items`` and ``.users``).

    Args:
        path: The file, or the folder.
        format: One of the table.
        user_column: The column of user ids, if columns have names; guessed if ``None``.
        item_column: Likewise.
        time_column: Likewise; an empty name reads no times.
        rating_column: Likewise; an empty name reads no ratings.
        weight_column: The column of weights in [0, 1]; never guessed.
        quoting: What ``"`` means in CSV and TSV (:func:`read_csv`).

    Raises:
        DataError: if the format is unknown, or for the first value that does not fit, with
            its file, line and column.
        ValueError: on an unknown ``format`` or ``quoting``, or a column name or ``quoting`` for a
            format without such names or quotes.
    """
    columns: ColumnNames = {
        "user_column": user_column,
        "item_column": item_column,
        "time_column": time_column,
        "rating_column": rating_column,
        "weight_column": weight_column,
    }
    named = any(name is not None for name in columns.values())
    require_quoting(quoting)
    if format == "auto":
        reader = _format_of(path, named or quoting != "auto")
    elif format in READERS:
        reader = READERS[format]
    else:
        raise ValueError(f"format must be one of {', '.join(['auto', *READERS])}, got {format!r}")
    if named and not reader.named_columns:
        raise ValueError(
            f"{path}: {reader.name} files have no named columns, but a column was named"
        )
    if quoting != "auto" and not reader.has_quotes:
        raise ValueError(
            f"{path}: quoting={quoting} has no effect on {reader.name} files, only on CSV and TSV"
        )
    # A reader of several kinds of files takes a folder and finds its tables there.
    if Path(path).is_dir() and all(sign.role == "interactions" for sign in reader.signs):
        path = find_source(path, list(READERS.values()), only=reader).interactions
    quotes = {"quoting": quoting} if reader.has_quotes else {}
    return reader.read(path, **(columns if reader.named_columns else {}), **quotes)


def _table_of_formats() -> str:
    """A row for each format and the files that it has, in reStructuredText."""
    files = {name: one.files for name, one in READERS.items()}
    files["auto"] = "any of them, recognised by name, then by the first line"
    widths = [max(map(len, texts)) for texts in (files.keys(), files.values())]
    rule = ("=" * widths[0], "=" * widths[1])
    rows = [rule, ("format", "files"), rule, *files.items(), rule]
    return "\n    ".join(f"{name:{widths[0]}}  {text}" for name, text in rows)


if read_interactions.__doc__:  # python -OO drops docstrings
    read_interactions.__doc__ = read_interactions.__doc__.replace("<formats>", _table_of_formats())


def _format_of(path: str | Path, general: bool) -> FileFormat:
    formats = list(READERS.values())
    if Path(path).is_dir():
        return find_source(path, formats).format
    content = recognise(path, formats)
    if content.named and general:
        return READERS[content.named]
    if content.role != "interactions":
        raise DataError(
            f"{path}: holds {content.format.name}'s table of {content.role}, no interactions; "
            "pass the file of interactions, or the folder with both"
            + ("; or name its columns" if content.named else "")
        )
    return content.format
