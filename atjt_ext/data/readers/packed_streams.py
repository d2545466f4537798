"""Bytes of bzip2 and xz files. Python's own readers drop what follows a stream, rows included, if
it does not start another one.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import BinaryIO, Protocol

_MAGIC = {"bzip2": b"BZh", "xz": b"\xfd7zXZ\0"}
_BYTES = 1 << 16  # read at a time


class Decompressor(Protocol):
    """What this module uses of ``bz2.BZ2Decompressor`` and ``lzma.LZMADecompressor``."""

    eof: bool
    needs_input: bool
    unused_data: bytes

    def decompress(self, data: bytes, /, max_length: int = -1) -> bytes: ...


class PackedStreams(io.RawIOBase):
    """The unpacked bytes of the streams of a file, one after the other.

    Between the streams of xz there may be zero bytes, a multiple of four.

    Args:
        raw: The packed bytes.
        packer: ``"bzip2"`` or ``"xz"``.
        new: Makes a decompressor for one stream.

    Raises:
        EOFError: while it is read, at the end of a file that ends within a stream.
        OSError: while it is read, if bytes after a stream start no other one.
    """

    def __init__(self, raw: BinaryIO, packer: str, new: Callable[[], Decompressor]) -> None:
        self._raw, self._magic, self._new = raw, _MAGIC[packer], new
        self._padding = packer == "xz"
        self._stream: Decompressor | None = new()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview, /) -> int:  # type: ignore[override]
        data = b""
        while not data and len(buffer) and self._stream is not None:
            packed = b""
            if self._stream.eof:
                packed = self._next_stream(self._stream.unused_data)
            elif self._stream.needs_input and not (packed := self._raw.read(_BYTES)):
                raise EOFError("the file ends within a stream")
            if self._stream is not None:
                data = self._stream.decompress(packed, len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def _next_stream(self, start: bytes) -> bytes:
        """Goes to the next stream, if there is one; returns its first bytes."""
        zeros, more, start = 0, start or self._raw.read(_BYTES), b""
        while more:
            start += more
            if self._padding:
                zeros += len(start) - len(start.lstrip(b"\0"))
                start = start.lstrip(b"\0")
            more = self._raw.read(_BYTES) if len(start) < len(self._magic) else b""
        self._stream = self._new() if start else None
        if zeros % 4 or (start and not start.startswith(self._magic)):
            raise OSError("data after the end of a stream")
        return start
