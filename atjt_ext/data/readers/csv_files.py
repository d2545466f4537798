"""CSV and TSV files with a header."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import DataError
from ..interactions import Interactions
from .columns import ColumnNames, find_roles
from .recognise import FileFormat, Sign, is_number
from .streams import first_line
from .text import DelimitedText, read_delimited

if TYPE_CHECKING:
    from typing_extensions import Unpack

_SEPARATORS = ("\t", ",", ";")  # of equally frequent ones the first counts


def read_csv(
    path: str | Path, *, separator: str | None = None, **columns: Unpack[ColumnNames]
) -> Interactions:
    """A CSV or TSV file with a header, plain or gzip.

    A column ``is_noise`` is read as planted noise. Every column without a role becomes a feature.
    Times are numbers or dates (:mod:`~atjt_ext.data.readers.times`).

    Args:
        path: The file.
        separator: One character; ``None`` takes the most frequent of tab, comma and semicolon in
            the header.
        columns: Names of columns (:class:`~atjt_ext.data.readers.columns.ColumnNames`).

    Raises:
        DataError: for the first value that does not fit, with its file, line and column.
        ValueError: if ``separator`` is not one character.
    """
    if separator is not None and len(separator) != 1:
        raise ValueError(f"separator must be one character, got {separator!r}")
    header = first_line(path)
    separator = separator or _separator(header)
    try:
        names = next(csv.reader([header], delimiter=separator, strict=True))
    except csv.Error as error:
        raise DataError(f"{path}:1: broken quoting ({error}), wanted a CSV header") from error
    names = [name.strip() for name in names]
    roles = find_roles(names, f"{path}:1", columns)
    text = DelimitedText(path, separator, names, has_header=True, quoted=True)
    return read_delimited(text, roles)


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
    published=False,
)
