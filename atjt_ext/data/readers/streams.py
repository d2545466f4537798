"""Files as streams of bytes: unpacked, and cut at the ends of records.

Chunks of ``CHUNK_BYTES`` are parsed to narrow columns one by one, so that no file is held whole.
"""

from __future__ import annotations

import gzip
import re
import zlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import BinaryIO, cast

from ..errors import DataError

# So large that the costs per call and per chunk do not matter; a few hundred MB once parsed.
CHUNK_BYTES = 1 << 25
# Read to recognise the format. The text of a review may stand before its distinctive keys.
HEAD_BYTES = 1 << 20
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True)
class Chunk:
    """Some whole records of a file, and the line (from 1) on which they start."""

    line: int
    data: bytes


def read_bytes(path: str | Path, limit: int = -1) -> bytes:
    """At most ``limit`` bytes of a file (-1: all), unpacked if its start or its suffix is gzip's.

    A UTF-8 byte order mark is dropped.

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

    Chunks of white space are left out. A record longer than ``size`` is read whole.

    Args:
        path: The file.
        record_end: Gives the index after the last whole record in bytes that start at a record;
            0 if no record ends there. ``None`` means that records are lines.
        size: Bytes to read at a time; ``CHUNK_BYTES`` if ``None``.

    Raises:
        DataError: as ``read_bytes``; a broken gzip only when its broken part is reached.
    """
    record_end = record_end or _last_line_end
    size = size or CHUNK_BYTES
    line, rest, empty = 1, b"", True
    with _opened(path) as stream:
        # A block is at least as long as the rest, or a long record would be copied once per block.
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


def _last_line_end(data: bytes) -> int:
    return data.rfind(b"\n") + 1


def quoted_record_end(separator: str) -> Callable[[bytes], int]:
    """``record_end`` for CSV, whose quoted fields may hold line breaks.

    A quote counts only at the start of a field; elsewhere it is an ordinary character.
    """
    # A field that is never closed runs to the end of the data.
    field_or_line_end = re.compile(
        rb'(?:(?<=[\n%s])|\A)"[^"]*(?:""[^"]*)*(?:"|\Z)|(?P<line_end>\n)'
        % re.escape(separator.encode())
    )

    def record_end(data: bytes) -> int:
        if b'"' not in data:
            return _last_line_end(data)
        ends = (m.end() for m in field_or_line_end.finditer(data) if m.lastgroup)
        return max(deque(ends, maxlen=1), default=0)

    return record_end


def first_line(path: str | Path) -> str:
    """The first line of a file that is not blank, without its line break.

    Raises:
        DataError: as ``read_bytes``, or if the line is not UTF-8.
    """
    head = read_bytes(path, HEAD_BYTES)
    data = head.lstrip(b"\r\n")
    line = data.split(b"\n", 1)[0].removesuffix(b"\r")
    return decoded(line, path, 1 + head.count(b"\n", 0, len(head) - len(data)))


def decoded(data: bytes, path: str | Path, line: int = 1) -> str:
    """UTF-8 text that starts on ``line`` of a file.

    Raises:
        DataError: on bytes that are not UTF-8; names the line of the first.
    """
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        line += data.count(b"\n", 0, error.start)
        raise DataError(
            f"{path}:{line}: not UTF-8 text (byte 0x{data[error.start]:02x}), wanted UTF-8"
        ) from error


def place_of(path: str | Path, lines: Callable[[], Iterable[tuple[int, object]]], row: int) -> str:
    """``file:line`` of row ``row``; ``lines`` gives numbers (from 1) and contents of lines."""
    return f"{path}:{next(islice(lines(), row, None))[0]}"


@contextmanager
def _opened(path: str | Path) -> Iterator[BinaryIO]:
    """The unpacked bytes of a file; errors in reading them become DataError."""
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
