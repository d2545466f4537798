"""Delimited text to columns of strings: fast if the file is sound, exact about its first bad line.

polars parses each chunk, but cannot name a bad line, and fills short rows with nulls. So a chunk
that looks wrong is read again line by line.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import polars as pl

from ..errors import DataError, listed, shown
from ..interactions import Interactions
from .columns import Part, interactions_of_parts
from .streams import chunks, decoded, place_of, quoted_record_end


@dataclass(frozen=True, slots=True)
class DelimitedText:
    """A file of text, or a part of it, and how its lines are cut into fields.

    Raises:
        DataError: if a name occurs twice.
    """

    path: str | Path
    separator: str  # one character, or "::" (MovieLens)
    names: list[str]  # of the fields
    has_header: bool
    quoted: bool  # whether '"' quotes a field (CSV) or is an ordinary character
    data: bytes = b""  # the part of the file
    line: int = 1  # on which the part starts

    def __post_init__(self) -> None:
        require_distinct(self.names, self.path)

    def frames(self) -> Iterator[Part]:
        """The parsed parts of the file, in order.

        Raises:
            DataError: if the file is missing, unreadable, empty, or a broken gzip; as ``parse``.
        """
        part = self
        for chunk in chunks(self.path, quoted_record_end(self.separator) if self.quoted else None):
            part = replace(part, data=chunk.data, line=chunk.line)
            yield part.parse(), part.place_of
            part = replace(part, has_header=False)

    def parse(self) -> pl.DataFrame:
        """The fields as strings, a column per name; blank lines are skipped.

        Raises:
            DataError: if a line has another number of fields, a quote is never closed, or the text
                is not UTF-8; names the line.
        """
        schema = dict.fromkeys(self.names, pl.String)
        # "::" is read as two separators with an empty field between them, and every other field is
        # dropped. A separator of two characters would need a far slower engine.
        stride = len(self.separator)
        width = (len(self.names) - 1) * stride + 1
        start = self._first_row()
        if start >= len(self.data):
            return pl.DataFrame(schema=schema)
        try:
            raw = pl.read_csv(
                self.data[start:],
                has_header=False,
                separator=self.separator[0],
                quote_char='"' if self.quoted else None,
                infer_schema=False,
            )
        except pl.exceptions.PolarsError:
            # All lines may still be sound: an unquoted field may hold a quote, as in 5" disk.
            self._find_bad_line()
            rows = [[field or None for field in fields] for _, fields in self._records()]
            return pl.DataFrame(rows, schema=schema, orient="row")
        if raw.width != width:
            self._find_bad_line()
            raise DataError(f"{self.path}: {raw.width} columns, wanted {width}")
        gaps = [raw.columns[i] for i in range(width) if i % stride]
        frame = raw.select(
            pl.col(raw.columns[i * stride]).alias(name) for i, name in enumerate(self.names)
        )
        # A short or blank line gives a null in the last column, and so does an empty last field.
        if frame[frame.columns[-1]].null_count() or any(
            raw[gap].null_count() < raw.height for gap in gaps
        ):
            self._find_bad_line()
            frame = frame.filter(~pl.all_horizontal(pl.all().is_null()))
        return frame

    def place_of(self, row: int) -> str:
        """``file:line`` of row ``row`` of ``parse()``."""
        return place_of(self.path, self._records, row)

    def _first_row(self) -> int:
        """The index in ``data`` of the first row, after the header and blank lines.

        polars takes the number of columns from the first line it gets, so that must be a row.
        """
        header, start = self.has_header, 0
        while start < len(self.data):
            end = self.data.find(b"\n", start) + 1 or len(self.data)
            if self.data[start:end].strip(b"\r\n"):
                if not header:
                    break
                header = False
            start = end
        return start

    def _find_bad_line(self) -> None:
        """Raises DataError for the first line that cannot be cut into the fields, if any."""
        wanted = len(self.names)
        for line, fields in self._records():
            # In polars' result such a line looks like a blank line, which is skipped.
            if not any(fields):
                raise DataError(f"{self.path}:{line}: every field is empty")
            if len(fields) != wanted:
                shape = f"{len(fields)} field{'' if len(fields) == 1 else 's'}"
                names = listed(self.names)
                raise DataError(
                    f"{self.path}:{line}: {shape}, wanted {wanted} ({names}), "
                    f"got {shown(self.separator.join(fields))}"
                )

    def _records(self) -> Iterator[tuple[int, list[str]]]:
        """Line number (from 1) and fields of every line but blank ones and the header."""
        text = decoded(self.data, self.path, self.line)
        records = self._quoted(text) if self.quoted else self._plain(text)
        header = self.has_header
        for line, fields in records:
            if not fields or fields == [""]:
                continue
            if header:
                header = False
                continue
            yield line, fields

    def _plain(self, text: str) -> Iterator[tuple[int, list[str]]]:
        for number, line in enumerate(text.split("\n"), start=self.line):
            yield number, line.removesuffix("\r").split(self.separator)

    def _quoted(self, text: str) -> Iterator[tuple[int, list[str]]]:
        # Only "\n" ends a line, as in polars: a quoted field may hold a "\r".
        stream = io.StringIO(text, newline="\n")
        reader = csv.reader(stream, delimiter=self.separator, strict=True)
        start = self.line
        try:
            for fields in reader:
                yield start, fields
                start = self.line + reader.line_num
        except csv.Error as error:
            raise DataError(f"{self.path}:{start}: broken quoting ({error}), wanted CSV") from error


def require_distinct(names: list[str], path: str | Path) -> None:
    """Raises DataError if a name occurs twice in the header of a file."""
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise DataError(f"{path}:1: the header names {listed(twice)} more than once")


def read_delimited(text: DelimitedText, roles: dict[str, str]) -> Interactions:
    """The interactions of a delimited file, part by part; ``roles`` as from ``find_roles``."""
    interactions = interactions_of_parts(text.frames(), roles, text.path)
    return replace(interactions, columns=roles) if text.has_header else interactions
