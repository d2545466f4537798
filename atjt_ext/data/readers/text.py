"""Delimited text to columns of strings: fast if the file is sound, exact about its first bad line.

polars parses each chunk, but cannot name a bad line, and fills short rows with nulls. So a chunk
that looks wrong is read again line by line. ``DelimitedText.read`` decides what quotes mean.
"""

from __future__ import annotations

import csv
import io
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

import polars as pl

from ..errors import DataError, listed, shown
from ..formats import Quoting
from ..interactions import Interactions
from .columns import BLANKS, Part, interactions_of_parts
from .quoting import Evidence, Marks, QuotedRecordEnd, quote_marks
from .streams import (
    BLANK_LINES,
    BYTE_ORDER_MARK,
    LINE_BYTES,
    Chunk,
    chunks,
    decoded,
    first_line,
    place_of,
    text_lines,
)

_T = TypeVar("_T")


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
    quoting: Quoting  # whether '"' quotes a field ("csv") or is an ordinary character ("none")
    padded: bool = False  # whether blanks around a field do not belong to it
    data: bytes = b""  # the part of the file
    line: int = 1  # on which the part starts

    def __post_init__(self) -> None:
        require_distinct(self.names, self.path)

    def read(self, build: Callable[[Iterator[Part]], _T]) -> _T:
        """What ``build`` makes of :meth:`frames`. Decides what quotes mean if ``quoting`` is auto.

        A file is CSV if it can be read as CSV and no quoted field of several lines looks like
        rows. Else, quotes are ordinary characters if every line then has the right number of fields
        and ``build`` takes its rows. Else, the file is CSV, unless most of its quoted fields of
        several lines look like rows and no line shows that quotes matter.

        Raises:
            DataError: as :meth:`frames` and ``build``, or if that stays unclear.
        """
        if self.quoting != "auto":
            return build(self.frames())
        ends = self._quoted_record_end()
        evidence = Evidence(self.separator, len(self.names))
        literal = replace(self, quoting="none")
        try:
            result = build(self.frames(ends, evidence))
        except DataError as error:
            # A field that is never closed may be too long for a chunk: ``evidence`` never gets it.
            if not ends.met or self._header_is_quoted():
                raise
            try:
                return build(literal.frames())
            except DataError:
                raise error from None  # about the file as CSV, which most files with quotes are
        if not evidence.doubtful:
            return result
        wanted = f"{len(self.names)} fields"
        doubt = (
            f"{self.path}:{evidence.line}: a quoted field of several lines, which would be rows of "
            f"{wanted} if quotes were ordinary characters"
        )
        if evidence.fits and not self._header_is_quoted():
            try:
                taken = build(literal.frames())
            except DataError:
                return result  # it has no other meaning than as CSV
            warnings.warn(
                f"{doubt}; they were read as these rows. quoting=none says that this is right, "
                "quoting=csv reads the field",
                stacklevel=2,
            )
            return taken
        if 2 * evidence.doubtful > evidence.spans and not evidence.csv_only:
            raise DataError(f"{doubt}; pass quoting=csv or quoting=none")
        more = f" (and {evidence.doubtful - 1:,} more)" if evidence.doubtful > 1 else ""
        warnings.warn(
            f"{doubt}{more}; it was read as one field. quoting=csv says that this is right",
            stacklevel=2,
        )
        return result

    def _header_is_quoted(self) -> bool:
        return self.has_header and '"' in first_line(self.path)

    def _quoted_record_end(self) -> QuotedRecordEnd:
        return QuotedRecordEnd(self.separator, padded=self.padded)

    def frames(
        self, ends: QuotedRecordEnd | None = None, evidence: Evidence | None = None
    ) -> Iterator[Part]:
        """The parsed parts of the file, in order; ``auto`` reads CSV.

        Args:
            ends: Finds the ends of records; a new one if ``None``. Unused if quotes are ordinary
                characters.
            evidence: Gets the chunks with quotes.

        Raises:
            DataError: as ``chunks`` and ``parse``.
        """
        quoted = self.quoting != "none"
        part = replace(self, quoting="csv" if quoted else "none")
        ends = (ends or self._quoted_record_end()) if quoted else None
        for chunk in chunks(self.path, ends):
            part = replace(part, data=chunk.data, line=chunk.line)
            marks = part._marks() if ends is not None and ends.quotes else None
            if evidence is not None and marks is not None:
                evidence.add(chunk.data, marks, chunk.line)
            yield part.parse(marks), part.place_of
            part = replace(part, has_header=False)

    def _marks(self) -> Marks | None:
        """The marks of a part of CSV; ``None`` if it has no quotes."""
        if b'"' not in self.data:
            return None
        return quote_marks(self.data, self.separator, padded=self.padded)

    def parse(self, marks: Marks | None = None) -> pl.DataFrame:
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
        quoted = marks is not None and len(marks.at) > 0
        # polars does not read fields with quotes inside, as in 5" disk, beside quoted ones; and it
        # drops a byte order mark, which is part of an id here.
        mixed = marks is not None and quoted and not marks.clean
        if mixed or self.data.startswith(BYTE_ORDER_MARK, start):
            return self._line_by_line()
        try:
            raw = pl.read_csv(
                self.data[start:],
                has_header=False,
                separator=self.separator[0],
                quote_char='"' if quoted else None,
                infer_schema=False,
            )
        except pl.exceptions.PolarsError:
            return self._line_by_line()
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
            filled = pl.all().str.strip_chars(" ").fill_null("") != ""
            frame = frame.filter(pl.any_horizontal(filled))
        return self._without_blanks(frame)

    def _line_by_line(self) -> pl.DataFrame:
        self._find_bad_line()
        rows = [[field or None for field in fields] for _, fields in self._records()]
        schema = dict.fromkeys(self.names, pl.String)
        return self._without_blanks(pl.DataFrame(rows, schema=schema, orient="row"))

    def _without_blanks(self, frame: pl.DataFrame) -> pl.DataFrame:
        if not self.padded:
            return frame
        return frame.with_columns(pl.all().str.strip_chars(BLANKS).replace("", None))

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
            if self.data[start:end].strip(BLANK_LINES):
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
            if not any(field.strip(" ") for field in fields):
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
        quoted = self.quoting != "none" and b'"' in self.data
        records = self._quoted() if quoted else self._plain()
        header = self.has_header
        for line, fields in records:
            if len(fields) < 2 and not "".join(fields).strip(" "):
                continue
            if header:
                header = False
                continue
            yield line, fields

    def _plain(self) -> Iterator[tuple[int, list[str]]]:
        lines = text_lines(Chunk(self.line, self.data), self.path)
        for number, line in enumerate(lines, start=self.line):
            yield number, line.split(self.separator)

    def _quoted(self) -> Iterator[tuple[int, list[str]]]:
        # Only "\n" ends a line, as in polars: a quoted field may hold a "\r".
        stream = io.StringIO(decoded(self.data, self.path, self.line), newline="\n")
        reader = csv.reader(
            stream, delimiter=self.separator, strict=True, skipinitialspace=self.padded
        )
        start = self.line
        usual = csv.field_size_limit(2 * LINE_BYTES)
        try:
            for fields in reader:
                yield start, fields
                start = self.line + reader.line_num
        except csv.Error as error:
            raise DataError(
                f"{self.path}:{start}: broken quoting ({error}), wanted CSV; "
                "quoting=none takes quotes as ordinary characters"
            ) from error
        finally:
            csv.field_size_limit(usual)


def require_distinct(names: list[str], path: str | Path) -> None:
    """Raises DataError if a name occurs twice in the header of a file."""
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise DataError(f"{path}:1: the header names {listed(twice)} more than once")


def read_delimited(text: DelimitedText, roles: dict[str, str]) -> Interactions:
    """The interactions of a delimited file, part by part; ``roles`` as from ``find_roles``."""
    interactions = text.read(lambda parts: interactions_of_parts(parts, roles, text.path))
    return replace(interactions, columns=roles) if text.has_header else interactions
