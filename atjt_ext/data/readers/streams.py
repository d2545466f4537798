"""Files as streams of bytes: unpacked, and cut at the ends of records.

Chunks of ``CHUNK_BYTES`` are parsed to narrow columns one by one, so that no file is held whole.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from ..errors import DataError
from .packing import opened

# So large that the costs per call and per chunk do not matter; a few hundred MB once parsed.
CHUNK_BYTES = 1 << 25
# Read to recognise the format. The text of a review may stand before its distinctive keys.
HEAD_BYTES = 1 << 20
# A longer line, or field between quotes, is refused. A small packed file can hold a huge line.
LINE_BYTES = 1 << 26
# A packed file that is read whole may not hold more.
UNPACKED_BYTES = 1 << 30
BYTE_ORDER_MARK = b"\xef\xbb\xbf"
BLANK_LINES = b" \r\n"  # tabs separate fields, which are empty then


@dataclass(frozen=True, slots=True)
class Chunk:
    """Some whole records of a file, and the line (from 1) on which they start."""

    line: int
    data: bytes


def read_bytes(path: str | Path, limit: int = -1) -> bytes:
    """At most ``limit`` bytes of a file (-1: all), unpacked; a UTF-8 byte order mark is dropped.

    Raises:
        DataError: if the file is empty, or unpacks to more than ``UNPACKED_BYTES`` without a
            limit; as :func:`~atjt_ext.data.readers.packing.opened`.
    """
    with opened(path) as stream:
        # A plain file is never longer than its size.
        most = max(UNPACKED_BYTES, Path(path).stat().st_size)
        data = stream.read(most + 1 if limit < 0 else limit)
    if limit < 0 and len(data) > most:
        raise DataError(f"{path}: unpacks to more than {most >> 20} MiB; unpack it")
    data = data.removeprefix(BYTE_ORDER_MARK)
    if not data.strip():
        raise DataError(f"{path}: the file is empty")
    return data


def chunks(
    path: str | Path, record_end: Callable[[bytes], int] | None = None, *, size: int | None = None
) -> Iterator[Chunk]:
    """A file in chunks of whole records, unpacked.

    Chunks of blank lines are left out. A record longer than ``size`` is read whole, up to
    ``LINE_BYTES``.

    Args:
        path: The file.
        record_end: Gives the index after the last whole record in bytes that start at a record;
            0 if no record ends there. ``None`` means that records are lines.
        size: Bytes to read at a time; ``CHUNK_BYTES`` if ``None``.

    Raises:
        DataError: on a longer record or a zero byte; as ``read_bytes``, for a broken packed file
            only when its broken part is reached.
    """
    record_end = record_end or _last_line_end
    size = size or CHUNK_BYTES
    line, empty = 1, True
    with opened(path) as stream:
        rest = stream.read(len(BYTE_ORDER_MARK)).removeprefix(BYTE_ORDER_MARK)
        # A block is at least as long as the rest, or a long record would be copied once per block.
        while block := stream.read(max(size, len(rest))):
            data = rest + block if rest else block
            end = record_end(data)
            rest = data[end:]
            data = data[:end]
            if not _is_blank(data):
                empty = False
                yield Chunk(line, require_text(data, path, line))
            line += data.count(b"\n")
            if len(rest) > LINE_BYTES:
                quoted = record_end is not _last_line_end and b'"' in rest
                raise DataError(
                    f"{path}:{line}: a line or a quoted field of more than {LINE_BYTES >> 20} MiB, "
                    "wanted shorter lines"
                    + ("; quoting=none takes quotes as ordinary characters" if quoted else "")
                )
    if not _is_blank(rest):
        empty = False
        yield Chunk(line, require_text(rest, path, line))
    if empty:
        raise DataError(f"{path}: the file is empty")


def _is_blank(data: bytes) -> bool:
    # isspace() stops at the first letter; strip() would copy the whole chunk.
    return not data or (data.isspace() and not data.strip(BLANK_LINES))


def _last_line_end(data: bytes) -> int:
    return data.rfind(b"\n") + 1


def glimpse(path: str | Path) -> str:
    """The start of the first line that is not blank: what shows the format, in any encoding.

    Raises:
        DataError: as ``read_bytes``.
    """
    head = read_bytes(path, HEAD_BYTES)
    return head.lstrip(b"\r\n").split(b"\n", 1)[0].decode("utf-8", "replace").strip()


def first_line(path: str | Path) -> str:
    """The first line of a file that is not blank, without its line break.

    Raises:
        DataError: as ``read_bytes``, or if the line is not UTF-8 or longer than ``HEAD_BYTES``.
    """
    head = read_bytes(path, HEAD_BYTES)
    data = head.lstrip(b"\r\n")
    line, end, _ = data.partition(b"\n")
    number = 1 + head.count(b"\n", 0, len(head) - len(data))
    if not end and len(head) >= HEAD_BYTES - len(BYTE_ORDER_MARK):
        size = f"{HEAD_BYTES >> 20} MiB"
        raise DataError(
            f"{path}:{number}: the first line is longer than {size}, wanted a shorter one"
        )
    return decoded(line.removesuffix(b"\r"), path, number)


def text_lines(chunk: Chunk, path: str | Path) -> list[str]:
    """The lines of a chunk. Only ``\\n`` and ``\\r\\n`` end a line: ids may hold all other
    characters, at some of which ``str.splitlines`` would cut them.

    Raises:
        DataError: on bytes that are not UTF-8.
    """
    text = decoded(chunk.data, path, chunk.line)
    return [line.removesuffix("\r") for line in text.removesuffix("\n").split("\n")]


def decoded(data: bytes, path: str | Path, line: int = 1) -> str:
    """UTF-8 text that starts on ``line`` of a file.

    Raises:
        DataError: on bytes that are not UTF-8, or zero; names the line of the first.
    """
    try:
        return require_text(data, path, line).decode("utf-8")
    except UnicodeDecodeError as error:
        line += data.count(b"\n", 0, error.start)
        raise DataError(
            f"{path}:{line}: not UTF-8 text (byte 0x{data[error.start]:02x}), wanted UTF-8"
        ) from error


def require_text(data: bytes, path: str | Path, line: int = 1) -> bytes:
    """``data``, if it may be text.

    Raises:
        DataError: on a zero byte; names its line.
    """
    at = data.find(b"\0")
    if at < 0:
        return data
    line += data.count(b"\n", 0, at)
    raise DataError(f"{path}:{line}: a zero byte, wanted UTF-8 text; is the file binary?")


def place_of(path: str | Path, lines: Callable[[], Iterable[tuple[int, object]]], row: int) -> str:
    """``file:line`` of row ``row``; ``lines`` gives numbers (from 1) and contents of lines."""
    return f"{path}:{next(islice(lines(), row, None))[0]}"
