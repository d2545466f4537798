"""CSV and TSV files with a header."""

from __future__ import annotations

import csv
import re
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import DataError
from ..formats import Quoting, require_quoting
from ..interactions import Interactions
from .columns import BLANKS, ColumnNames, find_roles
from .recognise import FileFormat, Sign, is_number
from .streams import first_line
from .text import DelimitedText, read_delimited

if TYPE_CHECKING:
    from typing_extensions import Unpack

_SEPARATORS = ("\t", ",", ";")  # of equally frequent ones the first counts


def read_csv(
    path: str | Path,
    *,
    separator: str | None = None,
    quoting: Quoting = "auto",
    **columns: Unpack[ColumnNames],
) -> Interactions:
    """A CSV or TSV file with a header.

    A column ``is_noise`` is read as planted noise. Every column without a role becomes a feature.
    Times are numbers or dates (:mod:`~atjt_ext.data.readers.times`). If the header has blanks
    beside its separators, blanks around all fields are dropped.

    Args:
        path: The file.
        separator: One character; ``None`` takes the most frequent of tab, comma and semicolon in
            the header.
        quoting: What ``"`` means: ``"csv"``, it quotes fields; ``"none"``, it is an ordinary
            character; ``"auto"``, what the file shows.
        columns: Names of columns (:class:`~atjt_ext.data.readers.columns.ColumnNames`).

    Raises:
        DataError: for the first value that does not fit, with its file, line and column.
        ValueError: if ``separator`` is not one character of ASCII, or there is no such ``quoting``.
    """
    if separator is not None and (len(separator) != 1 or separator in '"\r\n' or separator > "~"):
        raise ValueError(f"separator must be one character of ASCII, got {separator!r}")
    require_quoting(quoting)
    text = csv_text(path, separator=separator, quoting=quoting)
    return read_delimited(text, find_roles(text.names, f"{path}:1", columns))


def csv_text(
    path: str | Path, *, separator: str | None = None, quoting: Quoting = "auto"
) -> DelimitedText:
    """The text of a CSV or TSV file, with the names of its header; arguments of :func:`read_csv`.

    Raises:
        DataError: on a header that is no CSV, or names a column twice; as ``first_line``.
    """
    header = first_line(path)
    if "\r" in header:
        raise DataError(
            f"{path}:1: a carriage return inside the header, wanted lines that end at \\n"
        )
    separator = separator or _separator(header)
    unquoted = header if quoting == "none" else re.sub('"[^"]*"', '""', header)
    padded = any(field != field.strip(BLANKS) for field in unquoted.split(separator))
    names = header.split(separator)
    if quoting != "none":
        fields = csv.reader([header], delimiter=separator, strict=True, skipinitialspace=padded)
        try:
            names = next(fields)
        except csv.Error as error:
            raise DataError(f"{path}:1: broken quoting ({error}), wanted a CSV header") from error
    names = [name.strip(BLANKS) for name in names]
    return DelimitedText(path, separator, names, has_header=True, quoting=quoting, padded=padded)


def _separator(line: str) -> str:
    return max(_SEPARATORS, key=line.count)


def _is_header(line: str) -> bool:
    separator = _separator(line)
    return separator in line and not any(map(is_number, line.split(separator)))


FORMAT = FileFormat(
    "csv",
    read_csv,
    Sign(line=_is_header, last_resort_suffixes=".csv .tsv"),
    files="CSV and TSV with a header",
    named_columns=True,
    has_quotes=True,
    published=False,
)
