"""The manifest of a folder: a digest of every file that was written to it.

A file that was damaged or edited later is refused, so no other values are read. While a file is
replaced, its entry holds the digests of the old and of the new file. A process killed at any moment
therefore leaves a folder that fits its manifest. A folder without a manifest has no such checks.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, BinaryIO

from .files import move, write_text_atomically, written

__all__ = [
    "DamagedFileError",
    "begin_manifest",
    "lists",
    "manifest_path",
    "open_checked",
    "remove_listed",
    "settle_manifest",
    "verify_manifest",
    "write_all_listed",
    "write_listed",
]

_FORMAT = 1
# What a file may be now: digests, or None for a missing file.
_States = list[str | None]
# The digest of a file that this process moved into place: no need to read the file for it.
_replaced: dict[Path, str | None] = {}


class DamagedFileError(ValueError):
    """A file that is not what was written. The message is one line that names the file."""


def manifest_path(folder: Path) -> Path:
    """Where the manifest of ``folder`` is."""
    return folder / "manifest" / "sha256.json"


def begin_manifest(folder: Path, names: Iterable[str] = ()) -> None:
    """Gives ``folder`` a manifest that lists its files ``names`` as they are now."""
    _write(folder, {name: [_state(folder / name)] for name in names})


def lists(path: Path) -> bool:
    """Whether ``path`` must exist: the manifest of its folder lists it, and no kill explains its
    absence.

    Raises:
        DamagedFileError: the manifest is damaged.
    """
    return None not in _read(path.parent).get(path.name, [None])


def write_listed(path: Path, write: Callable[[Path], object]) -> None:
    """``write_atomically``, which also lists the file if its folder has a manifest.

    Raises:
        DamagedFileError: the manifest is damaged.
        OSError: as ``write_atomically``.
    """
    write_all_listed({path: write})


def write_all_listed(writes: Mapping[Path, Callable[[Path], object]]) -> None:
    """:func:`write_listed` for each path, with a single change of the manifest of a folder.

    Each ``write(temporary_path)`` is called before the first file is replaced; the files are
    replaced in the order of ``writes``.
    """
    with ExitStack() as stack:
        temporaries = {
            path: stack.enter_context(written(path, write)) for path, write in writes.items()
        }
        digests: dict[Path, str] = {}
        for folder in {path.parent for path in writes}:
            if manifest_path(folder).exists():
                own = {
                    path: _digest_of(temporaries[path]) for path in writes if path.parent == folder
                }
                _expect(folder, own)
                digests |= own
        for path, temporary in temporaries.items():
            move(temporary, path)
            if path in digests:
                _replaced[path.absolute()] = digests[path]


def remove_listed(path: Path) -> None:
    """Removes ``path`` if it exists, also from the manifest of its folder."""
    if not path.exists():
        return
    if manifest_path(path.parent).exists():
        _expect(path.parent, {path: None})
    path.unlink()
    _replaced[path.absolute()] = None


def settle_manifest(folder: Path) -> None:
    """Leaves one digest for each file: call it when the last file is written."""
    before = _read(folder)
    if (after := _settled(folder, before)) != before:
        _write(folder, after)


def verify_manifest(folder: Path, *, but_missing: Collection[str] = ()) -> None:
    """Reads every listed file, and leaves one digest for each.

    Raises:
        DamagedFileError: the manifest or a file is damaged, or a file is missing that is not one of
            ``but_missing``.
    """
    for name, states in _read(folder).items():
        path = folder / name
        _replaced.pop(path.absolute(), None)
        if (found := _state(path)) not in states and (found or name not in but_missing):
            raise _damaged(path) if found else _missing(path)
    settle_manifest(folder)


def open_checked(path: Path) -> BinaryIO:
    """``path``, open for reading, with the content that was written.

    Raises:
        DamagedFileError: the file differs from its digest, the manifest lacks it, or the manifest
            is damaged.
        OSError: the file can't be opened.
    """
    while True:
        manifest = _text(path.parent)
        try:
            file = path.open("rb")
        except FileNotFoundError:
            if lists(path):
                raise _missing(path) from None
            raise
        try:
            if manifest is None:
                return file
            states = _parsed(manifest, path.parent).get(path.name, [])
            if _digest(file) in states:
                file.seek(0)
                return file
        except BaseException:
            file.close()
            raise
        file.close()
        # A running command may have replaced the file between both reads.
        if _text(path.parent) == manifest:
            raise _damaged(path) if states else _unlisted(path)


def _expect(folder: Path, states: Mapping[Path, str | None]) -> None:
    """Lists the new state of each file in ``folder`` beside the present one, before they change."""
    entries = _settled(folder, before := _read(folder))
    for path, state in states.items():
        _replaced.pop(path.absolute(), None)
        present = entries.get(path.name, [None])
        entries[path.name] = [*(one for one in present if one != state), state]
    if entries != before:
        _write(folder, entries)


def _settled(folder: Path, entries: dict[str, _States]) -> dict[str, _States]:
    """``entries`` with one state for each file, and without files that are gone."""
    settled = {}
    for name, states in entries.items():
        if len(states) > 1:
            path = (folder / name).absolute()
            known = path in _replaced and _replaced[path] == states[-1]
            state = states[-1] if known else _state(path)
            states = [state] if state in states else states  # else damaged: a reader will say so
        if states != [None]:
            settled[name] = states
    return settled


def _state(path: Path) -> str | None:
    try:
        return _digest_of(path)
    except FileNotFoundError:
        return None


def _digest_of(path: Path) -> str:
    with path.open("rb") as file:
        return _digest(file)


def _digest(file: BinaryIO) -> str:
    digest = hashlib.sha256()
    while block := file.read(1 << 20):
        digest.update(block)
    return digest.hexdigest()


def _text(folder: Path) -> bytes | None:
    try:
        return manifest_path(folder).read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None


def _read(folder: Path) -> dict[str, _States]:
    text = _text(folder)
    return {} if text is None else _parsed(text, folder)


def _parsed(text: bytes, folder: Path) -> dict[str, _States]:
    path = manifest_path(folder)
    try:
        values: Any = json.loads(text)
        version = values["format"]
        files: dict[str, _States] = values["files"]
        whole = isinstance(files, dict) and text == _rendered(files)
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise DamagedFileError(f"{path}: damaged, or edited after it was written") from error
    if isinstance(version, int) and version > _FORMAT:
        raise DamagedFileError(
            f"{path}: format {version}, written by a newer version of atjt_ext; this one reads "
            f"format {_FORMAT}"
        )
    if not whole:
        raise DamagedFileError(f"{path}: damaged, or edited after it was written")
    return files


def _rendered(files: dict[str, _States]) -> bytes:
    """The text of a manifest. It holds a digest of itself."""
    own = hashlib.sha256(json.dumps(files).encode()).hexdigest()
    values = {"format": _FORMAT, "files": files, "sha256": own}
    return (json.dumps(values, indent=2) + "\n").encode()


def _write(folder: Path, files: dict[str, _States]) -> None:
    text = _rendered(dict(sorted(files.items()))).decode()
    write_text_atomically(manifest_path(folder), text)


def _damaged(path: Path) -> DamagedFileError:
    return DamagedFileError(
        f"{path}: damaged, or edited after it was written (its SHA-256 differs from the one in "
        f"{manifest_path(path.parent)})"
    )


def _missing(path: Path) -> DamagedFileError:
    return DamagedFileError(f"{path}: missing, but {manifest_path(path.parent)} lists it")


def _unlisted(path: Path) -> DamagedFileError:
    return DamagedFileError(
        f"{path}: not a file of this run ({manifest_path(path.parent)} does not list it)"
    )
