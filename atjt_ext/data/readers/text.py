"""Delimited text to columns of strings: fast when the file is sound, exact about where it is not.

polars parses the whole file at once but cannot say on which line it failed (and fills short rows
with nulls). So a file is parsed first, and only when something is wrong its lines are walked one
by one to name the first bad one.
"""

from __future__ import annotations

import csv
import gzip
import io
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from ..errors import DataError, listed, shown


def read_bytes(path: str | Path, limit: int = -1) -> bytes:
    """The content of a file, unpacked if it is gzip (told by its first bytes or by ``.gz``).

    A UTF-8 byte order mark is dropped.

    Args:
        path: The file.
        limit: Read no more than this many (unpacked) bytes; -1 means all.

    Raises:
        DataError: if the file is missing, a directory, unreadable, empty, or a broken gzip.
    """
    path = Path(path)
    if path.is_dir():
        raise DataError(f"{path}: is a directory, wanted a file")
    try:
        with path.open("rb") as raw:
            packed = path.suffix == ".gz" or raw.peek(2)[:2] == b"\x1f\x8b"
            data = gzip.GzipFile(fileobj=raw).read(limit) if packed else raw.read(limit)
    except FileNotFoundError as error:
        raise DataError(f"{path}: no such file") from error
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise DataError(f"{path}: truncated or corrupt gzip ({error})") from error
    except OSError as error:
        raise DataError(f"{path}: {error.strerror or error}") from error
    data = data.removeprefix(b"\xef\xbb\xbf")
    if not data.strip():
        raise DataError(f"{path}: the file is empty")
    return data


def first_line(data: bytes, path: str | Path) -> str:
    """The first line that is not blank, without its end."""
    line = data.lstrip(b"\r\n").split(b"\n", 1)[0].removesuffix(b"\r")
    try:
        return line.decode("utf-8")
    except UnicodeDecodeError as error:
        raise encoding_error(data, path) from error


def encoding_error(data: bytes, path: str | Path) -> DataError:
    """What to raise for bytes that are not UTF-8, naming the line of the first."""
    try:
        data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        return DataError(
            f"{path}:{line}: not UTF-8 text (byte 0x{data[error.start]:02x}), wanted UTF-8"
        )
    return DataError(f"{path}: not UTF-8 text, wanted UTF-8")


@dataclass(frozen=True, slots=True)
class DelimitedText:
    """A file's content and how its lines are cut into fields.

    Args:
        path: For messages.
        data: The content.
        separator: Between fields; ``"::"`` is MovieLens' own.
        names: One name per field.
        has_header: Whether the first line is no data.
        quoted: Whether ``"`` quotes a field (CSV) or is an ordinary character.
    """

    path: str | Path
    data: bytes
    separator: str
    names: list[str]
    has_header: bool
    quoted: bool

    def __post_init__(self) -> None:
        twice = sorted({name for name in self.names if self.names.count(name) > 1})
        if twice:
            raise DataError(f"{self.path}:1: the header names {listed(twice)} more than once")

    def parse(self) -> pl.DataFrame:
        """All fields as strings, one column per name; blank lines are skipped.

        Raises:
            DataError: naming the line, if a line has another number of fields, a quote is never
                closed, or the text is not UTF-8; or if there is a header and nothing else.
        """
        # "::" is two separators with an empty field between: the wanted fields are every other
        # one. Parsing on two characters would need a far slower engine.
        stride = len(self.separator)
        width = (len(self.names) - 1) * stride + 1
        try:
            raw = pl.read_csv(
                self.data[self._first_row() :],
                has_header=False,
                separator=self.separator[0],
                quote_char='"' if self.quoted else None,
                infer_schema=False,
            )
        except pl.exceptions.NoDataError as error:
            raise self._nothing() from error
        except pl.exceptions.PolarsError as error:
            self._find_bad_line()
            reason = str(error).strip().splitlines()[0]
            raise DataError(f"{self.path}: cannot be parsed: {reason}") from error
        if raw.width != width:
            self._find_bad_line()
            raise DataError(f"{self.path}: {raw.width} columns, wanted {width}")
        gaps = [raw.columns[i] for i in range(width) if i % stride]
        frame = raw.select(
            pl.col(raw.columns[i * stride]).alias(name) for i, name in enumerate(self.names)
        )
        # A short or a blank line shows as a null in the last column; so does an empty last field.
        if frame[frame.columns[-1]].null_count() or any(
            raw[gap].null_count() < raw.height for gap in gaps
        ):
            self._find_bad_line()
            frame = frame.filter(~pl.all_horizontal(pl.all().is_null()))
        if frame.is_empty():
            raise self._nothing()
        return frame

    def line_of(self, row: int) -> int:
        """The line (from 1) on which row ``row`` of ``parse()`` starts."""
        for index, (line, _) in enumerate(self._records()):
            if index == row:
                return line
        raise IndexError(f"row must be below the number of rows, got {row}")

    def _first_row(self) -> int:
        """Where the data begin: behind the header and the blank lines around it.

        polars takes the number of columns from the line it sees first, so that must be a row.
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

    def _nothing(self) -> DataError:
        return DataError(f"{self.path}: a header and no interactions")

    def _find_bad_line(self) -> None:
        """Raises for the first line that cannot be cut into the named fields; else returns."""
        wanted = len(self.names)
        for line, fields in self._records():
            # Such a line would otherwise look like a blank one, and be skipped.
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
        """Line number (from 1) and fields of every line that is not blank, the header left out."""
        try:
            text = self.data.decode("utf-8")
        except UnicodeDecodeError as error:
            raise encoding_error(self.data, self.path) from error
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
        for number, line in enumerate(text.split("\n"), start=1):
            yield number, line.removesuffix("\r").split(self.separator)

    def _quoted(self, text: str) -> Iterator[tuple[int, list[str]]]:
        # Lines end at "\n" alone, as for polars: a quoted field may hold a "\r".
        stream = io.StringIO(text, newline="\n")
        reader = csv.reader(stream, delimiter=self.separator, strict=True)
        start = 1
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
            start = reader.line_num + 1
