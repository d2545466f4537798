"""Files opened for reading: unpacked if they are packed, and refused if they are no plain data."""

from __future__ import annotations

import gzip
import re
import stat
import sys
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from importlib import import_module
from io import BufferedReader
from pathlib import Path
from typing import BinaryIO, cast

from ..errors import DataError, listed
from .packed_streams import PackedStreams

# Patterns of the first bytes of files that are read unpacked. Text may start with "BZh9"; the bytes
# after that start a block of bzip2, or end an empty file.
_UNPACKED = {
    rb"\x1f\x8b": "gzip",
    rb"BZh[1-9](1AY&SY|\x17rE8P\x90)": "bzip2",
    rb"\xfd7zXZ\x00": "xz",
    rb"PK\x03\x04": "zip",
}
# Not imported above: some builds of Python lack the first two.
_MODULES = {"bzip2": "bz2", "xz": "lzma", "zip": "zipfile"}
_SUFFIXES = (".gz", ".bz2", ".xz", ".zip")
_NOT_UNPACKED = {
    b"\x28\xb5\x2f\xfd": "Zstandard data",
    b"7z\xbc\xaf\x27\x1c": "a 7z archive",
    b"Rar!\x1a\x07": "a RAR archive",
    b"\x1f\x9d": "data of compress",
    b"PK\5\6": "an empty zip archive",
}
# A tar archive of today has these bytes at this place.
_TAR, _TAR_AT = b"ustar", 257
_ERRORS = {"lzma": "LZMAError", "zipfile": "BadZipFile"}


def bare_name(path: str | Path) -> str:
    """The name of a file in lower case, without the suffix of a packer."""
    name = Path(path).name.lower()
    return next((name.removesuffix(one) for one in _SUFFIXES if name.endswith(one)), name)


def name_inside(path: str | Path) -> str:
    """:func:`bare_name`, and for a zip archive that of the file in it.

    Raises:
        DataError: as :func:`opened`, for a zip archive.
    """
    if Path(path).suffix.lower() != ".zip":
        return bare_name(path)
    with opened(path) as stream:
        return bare_name(stream.name)


@contextmanager
def opened(path: str | Path) -> Iterator[BinaryIO]:
    """The unpacked bytes of a file: plain, gzip, bzip2, xz, or a zip archive with one file.

    Raises:
        DataError: if there is no such file, it is no regular file, cannot be read or unpacked, or
            is packed in another way. Also for errors while the bytes are read.
    """
    path, packer = Path(path), ""
    try:
        mode = path.stat().st_mode
        if stat.S_ISDIR(mode):
            raise DataError(f"{path}: is a directory, wanted a file")
        if not stat.S_ISREG(mode):
            # Bytes that were looked at to tell the format could not be read again.
            raise DataError(f"{path}: is a pipe or a device, wanted a file; write the data to one")
        with path.open("rb") as raw:
            packer = _packer(raw, path)
            stream = _unpacked(raw, packer, path) if packer else raw
            start = stream.peek(_TAR_AT + len(_TAR))
            if start[_TAR_AT:].startswith(_TAR):
                raise DataError(f"{path}: holds a tar archive, wanted one file; unpack it")
            yield cast(BinaryIO, stream)
    except FileNotFoundError as error:
        raise DataError(f"{path}: no such file") from error
    except _broken() as error:
        raise DataError(f"{path}: truncated or corrupt {packer} ({error})") from error
    except OSError as error:
        # Errors of broken bzip2 and gzip have no number.
        if packer and error.errno is None:
            raise DataError(f"{path}: truncated or corrupt {packer} ({error})") from error
        raise DataError(f"{path}: {error.strerror or error}") from error


def _packer(raw: BufferedReader, path: Path) -> str:
    """How a file is packed; an empty text for a plain file."""
    start = raw.peek(10)
    for magic, kind in _NOT_UNPACKED.items():
        if start.startswith(magic):
            raise DataError(f"{path}: holds {kind}, wanted a plain file; unpack it")
    found = (kind for magic, kind in _UNPACKED.items() if re.match(magic, start))
    return next(found, "gzip" if path.suffix == ".gz" else "")


def _unpacked(raw: BufferedReader, packer: str, path: Path) -> BufferedReader:
    if packer == "gzip":
        return cast(BufferedReader, gzip.GzipFile(fileobj=raw))
    try:
        module = import_module(_MODULES[packer])
    except ImportError as error:
        raise DataError(f"{path}: this Python cannot read {packer} ({error}); unpack it") from error
    if packer == "bzip2":
        return BufferedReader(PackedStreams(raw, packer, module.BZ2Decompressor))
    if packer == "xz":
        new = partial(module.LZMADecompressor, module.FORMAT_XZ)
        return BufferedReader(PackedStreams(raw, packer, new))
    archive = module.ZipFile(raw)
    members = [one for one in archive.infolist() if not one.is_dir()]
    if len(members) != 1:
        names = listed((one.filename for one in members), limit=3)
        raise DataError(
            f"{path}: holds a zip archive of {len(members)} files ({names}), wanted one; unpack it"
        )
    try:
        return cast(BufferedReader, archive.open(members[0].filename))
    except (RuntimeError, NotImplementedError) as error:  # a password, an unknown compression
        raise DataError(f"{path}: this zip archive cannot be read ({error}); unpack it") from error


def _broken() -> tuple[type[Exception], ...]:
    """The errors of broken data; those of packers that were not used need not be imported."""
    used = (getattr(sys.modules[m], name) for m, name in _ERRORS.items() if m in sys.modules)
    return EOFError, zlib.error, *used
