"""Delimited text to columns of strings: fast if the file is sound, exact about its first bad line.

polars parses a chunk at once, but cannot say on which line it failed, and fills short rows with
nulls. So polars parses each chunk first. Only if something is wrong, the lines are read one by one
to name the first bad line.
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
from .columns import PlaceOf, interactions_of_parts
from .streams import chunks, encoding_error, place_of, quoted_record_end


@dataclass(frozen=True, slots=True)
class DelimitedText:
    """A file of text, or a part of it, and how its lines are cut into fields.

    Args:
        path: The file.
        separator: One character, or ``"::"`` (MovieLens).
        names: One name per field.
        has_header: Whether the first line is a header.
        quoted: Whether ``"`` quotes a field (CSV) or is an ordinary character.
        data: The part of the file; see ``parts``.
        line: The line (from 1) on which ``data`` starts.

    Raises:
        DataError: if a name occurs twice.
    """

    path: str | Path
    separator: str
    names: list[str]
    has_header: bool
    quoted: bool
    data: bytes = b""
    line: int = 1

    def __post_init__(self) -> None:
        twice = sorted({name for name in self.names if self.names.count(name) > 1})
        if twice:
            raise DataError(f"{self.path}:1: the header names {listed(twice)} more than once")

    def parts(self) -> Iterator[DelimitedText]:
        """The file in parts of whole rows, of bounded size, in order.

        Raises:
            DataError: if the file is missing, unreadable, empty, or a broken gzip.
        """
        part = self
        for chunk in chunks(self.path, quoted_record_end(self.separator) if self.quoted else None):
            part = replace(part, data=chunk.data, line=chunk.line)
            yield part
            part = replace(part, has_header=False)

    def frames(self) -> Iterator[tuple[pl.DataFrame, PlaceOf]]:
        """The parsed parts of the file, each with ``"file:line"`` of its rows."""
        for part in self.parts():
            yield part.parse(), part.place_of

    def parse(self) -> pl.DataFrame:
        """The fields as strings, one column per name; blank lines are skipped.

        Raises:
            DataError: if a line has another number of fields, a quote is never closed, or the text
                is not UTF-8; names the line.
        """
        # "::" is read as two separators with an empty field between them, so every other field is
        # taken. A separator of two characters would need a far slower engine.
        stride = len(self.separator)
        width = (len(self.names) - 1) * stride + 1
        start = self._first_row()
        if start >= len(self.data):
            return pl.DataFrame(schema=dict.fromkeys(self.names, pl.String))
        try:
            raw = pl.read_csv(
                self.data[start:],
                has_header=False,
                separator=self.separator[0],
                quote_char='"' if self.quoted else None,
                infer_schema=False,
            )
        except pl.exceptions.PolarsError:
            # All lines may be sound still: an unquoted field may hold a quote, as in 5" disk.
            self._find_bad_line()
            return self._record_by_record()
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

    def _record_by_record(self) -> pl.DataFrame:
        rows = [[field or None for field in fields] for _, fields in self._records()]
        return pl.DataFrame(rows, schema=dict.fromkeys(self.names, pl.String), orient="row")

    def place_of(self, row: int) -> str:
        """``file:line`` of row ``row`` of ``parse()``."""
        return place_of(self.path, self._records(), row)

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
            # polars' result does not tell such a line from a blank one, which is skipped.
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
        try:
            text = self.data.decode("utf-8")
        except UnicodeDecodeError as error:
            raise encoding_error(self.data, self.path, self.line) from error
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
        while True:
            try:
                fields = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                raise DataError(
                    f"{self.path}:{start}: broken quoting ({error}), wanted CSV"
                ) from error
            yield start, fields
            start = self.line + reader.line_num


def read_delimited(text: DelimitedText, roles: dict[str, str]) -> Interactions:
    """The interactions of a delimited file, part by part; ``roles`` as from ``find_roles``."""
    interactions = interactions_of_parts(text.frames(), roles, text.path)
    return replace(interactions, columns=roles) if text.has_header else interactions
