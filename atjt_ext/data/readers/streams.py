"""Files as streams of bytes: unpacked, and cut where records end.

A file is never held whole: chunks of ``CHUNK_BYTES`` are parsed to narrow columns one by one.
"""

from __future__ import annotations

import gzip
import re
import zlib
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

from ..errors import DataError

# Enough that polars' cost per call and Python's per chunk vanish; a few hundred MB once parsed.
CHUNK_BYTES = 1 << 25
# What a format is told by; a review may be long before the fields that tell it.
HEAD_BYTES = 1 << 20
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True)
class Chunk:
    """Some whole records of a file.

    Args:
        line: The line (from 1) on which ``data`` starts.
        data: Bytes that end where a record ends (or the file does).
    """

    line: int
    data: bytes


def read_bytes(path: str | Path, limit: int = -1) -> bytes:
    """The content of a file, unpacked if it is gzip (told by its first bytes or by ``.gz``).

    A UTF-8 byte order mark is dropped.

    Args:
        path: The file.
        limit: Read no more than this many (unpacked) bytes; -1 means all.

    Raises:
        DataError: if the file is missing, a directory, unreadable, empty, or a broken gzip.
    """
    with _opened(path) as stream:
        data = stream.read(limit).removeprefix(_BYTE_ORDER_MARK)
    if not data.strip():
        raise DataError(f"{path}: the file is empty")
    return data


def chunks(
    path: str | Path, record_end: Callable[[bytes], int] | None = None, *, size: int | None = None
) -> Iterator[Chunk]:
    """A file in chunks of whole records, unpacked if it is gzip.

    Chunks of nothing but white space are left out. A record longer than ``size`` is read whole.

    Args:
        path: The file.
        record_end: Where the last whole record of some bytes ends, 0 if none does; ``None`` takes
            records to be lines. The bytes start where a record does.
        size: Bytes to read at a time; ``CHUNK_BYTES`` if ``None``.

    Raises:
        DataError: as ``read_bytes``; a broken gzip shows only when its broken part is reached.
    """
    record_end = record_end or last_line_end
    size = size or CHUNK_BYTES
    line, rest, empty = 1, b"", True
    with _opened(path) as stream:
        # At least what is left, or a very long record would be copied once per block.
        while block := stream.read(max(size, len(rest))):
            data = rest + block if rest else block
            if line == 1:
                data = data.removeprefix(_BYTE_ORDER_MARK)
            end = record_end(data)
            rest = data[end:]
            data = data[:end]
            if data and not data.isspace():
                empty = False
                yield Chunk(line, data)
            line += data.count(b"\n")
    if rest.strip():
        empty = False
        yield Chunk(line, rest)
    if empty:
        raise DataError(f"{path}: the file is empty")


def last_line_end(data: bytes) -> int:
    return data.rfind(b"\n") + 1


def quoted_record_end(separator: str) -> Callable[[bytes], int]:
    """``record_end`` for CSV, whose quoted fields may hold line breaks.

    A quote opens a field only at its start; elsewhere it is an ordinary character.
    """
    # A field that is not closed runs to the end, and takes its line breaks with it.
    field_or_line_end = re.compile(
        rb'(?:(?<=[\n%s])|\A)"[^"]*(?:""[^"]*)*(?:"|\Z)|(?P<line_end>\n)'
        % re.escape(separator.encode())
    )

    def record_end(data: bytes) -> int:
        if b'"' not in data:
            return last_line_end(data)
        ends = (m.end() for m in field_or_line_end.finditer(data) if m.lastgroup)
        return max(deque(ends, maxlen=1), default=0)

    return record_end


def first_line(data: bytes, path: str | Path, encoding: str = "utf-8") -> str:
    """The first line that is not blank, without its end."""
    line = data.lstrip(b"\r\n").split(b"\n", 1)[0].removesuffix(b"\r")
    try:
        return line.decode(encoding)
    except UnicodeDecodeError as error:
        raise encoding_error(data, path) from error


def encoding_error(data: bytes, path: str | Path, line: int = 1) -> DataError:
    """What to raise for bytes that are not UTF-8, naming the line of the first.

    Args:
        data: The bytes.
        path: For the message.
        line: The line on which ``data`` starts.
    """
    try:
        data.decode("utf-8")
    except UnicodeDecodeError as error:
        line += data.count(b"\n", 0, error.start)
        return DataError(
            f"{path}:{line}: not UTF-8 text (byte 0x{data[error.start]:02x}), wanted UTF-8"
        )
    return DataError(f"{path}: not UTF-8 text, wanted UTF-8")


@contextmanager
def _opened(path: str | Path) -> Iterator[BinaryIO]:
    """The unpacked bytes of a file, and what goes wrong in reading them as DataError."""
    path = Path(path)
    if path.is_dir():
        raise DataError(f"{path}: is a directory, wanted a file")
    try:
        with path.open("rb") as raw:
            packed = path.suffix == ".gz" or raw.peek(2)[:2] == b"\x1f\x8b"
            yield cast(BinaryIO, gzip.GzipFile(fileobj=raw)) if packed else raw
    except FileNotFoundError as error:
        raise DataError(f"{path}: no such file") from error
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise DataError(f"{path}: truncated or corrupt gzip ({error})") from error
    except OSError as error:
        raise DataError(f"{path}: {error.strerror or error}") from error
