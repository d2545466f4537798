"""Files that are written whole or not at all."""

from __future__ import annotations

import os
import re
import secrets
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows: leftovers are not recognised there
    HAS_LOCKS = False
else:
    HAS_LOCKS = True

__all__ = [
    "HAS_LOCKS",
    "deferred",
    "discard_temporaries",
    "make_folder",
    "move",
    "sweep_temporaries",
    "temporary_folder",
    "try_lock",
    "undisturbed",
    "write_atomically",
    "write_text_atomically",
    "written",
]

_TEMPORARY = re.compile(r"\..*\.atjt-[0-9a-f]{12}\.tmp", re.DOTALL)
_open: dict[Path, int] = {}  # temporaries of this process, and the descriptors that lock them
_undisturbed = 0
_deferred: list[Callable[[], None]] = []


def write_atomically(path: Path, write: Callable[[Path], object]) -> None:
    """Calls ``write(temporary_path)``, then moves that file to ``path`` in one step.

    A process killed at any moment leaves the old file or the new file, never a part of a file.
    Missing parent folders are made. Temporaries that killed processes left in the folder are
    removed.

    Raises:
        OSError: the file can't be written, e.g. because the disk is full; the message is one line
            that names ``path``. Libraries that report a full disk by another exception raise this
            one, too.
    """
    with written(path, write) as temporary:
        move(temporary, path)


@contextmanager
def written(path: Path, write: Callable[[Path], object]) -> Iterator[Path]:
    """The file that ``write(temporary_path)`` wrote, on disk, for :func:`move` to ``path``.

    At the end it is removed if it is there still. Errors as in :func:`write_atomically`.
    """
    with _temporary(path) as temporary:
        with _naming(path, temporary):
            write(temporary)
            with temporary.open("rb") as file:
                os.fsync(file.fileno())
        yield temporary


def move(temporary: Path, path: Path) -> None:
    """Moves a file of :func:`written` to ``path``. Errors as in :func:`write_atomically`."""
    with _naming(path, temporary):
        temporary.replace(path)


@contextmanager
def _naming(path: Path, temporary: Path) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        if (reason := _reason(error, temporary)) is None:
            raise
        raise _one_line(reason, f"{path}: could not be written ({_text(reason)})") from error


@contextmanager
def temporary_folder(path: Path) -> Iterator[Path]:
    """A folder beside ``path`` for parts of that file; it is removed at the end.

    As with :func:`write_atomically`, the next writer removes it after a kill. An error about a part
    that could not be written names ``path``.
    """
    with _temporary(path, is_folder=True) as folder:
        try:
            yield folder
        except OSError as error:
            part, failure, reason = str(error).rpartition(": could not")
            if Path(part).parent != folder:
                raise
            raise _one_line(error, f"{path}{failure}{reason}") from error


def write_text_atomically(path: Path, text: str) -> None:
    """Writes ``text`` to ``path`` in UTF-8, whole or not at all."""
    write_atomically(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))


def make_folder(folder: Path) -> None:
    """Makes ``folder`` and its parents where they are missing.

    Raises:
        OSError: it can't be made, or a file is in its place; the message is one line.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        raise NotADirectoryError(f"{folder}: not a folder, and none can be made here") from error
    except OSError as error:
        message = f"{folder}: the folder could not be made ({_text(error)})"
        raise _one_line(error, message) from error


def sweep_temporaries(folder: Path) -> None:
    """Removes temporaries in ``folder`` whose writers are dead.

    A writer locks its temporary; the lock ends with the process. Files that can't be locked stay:
    a file of another user, or any file on a file system without locks.
    """
    with suppress(OSError), os.scandir(folder) as entries:
        for name in [entry.name for entry in entries if _TEMPORARY.fullmatch(entry.name)]:
            _sweep(folder / name)


def discard_temporaries() -> None:
    """Removes the temporaries that this process is writing, before a sudden end."""
    for temporary in list(_open):
        _discard(temporary)


def try_lock(handle: int) -> bool | None:
    """Locks an open file for this process alone: False if another process holds the lock, None if
    the file system has no locks."""
    if not HAS_LOCKS:
        return None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return None
    return True


@contextmanager
def undisturbed() -> Iterator[None]:
    """Within, signal handlers that use :func:`deferred` raise nothing: no file is created or locked
    without being noted for its removal."""
    global _undisturbed
    if threading.current_thread() is not threading.main_thread():  # where no handler runs
        yield
        return
    _undisturbed += 1
    try:
        yield
    finally:
        _undisturbed -= 1
        if _deferred and not _undisturbed:
            _deferred.pop()()


def deferred(raise_it: Callable[[], None]) -> bool:
    """Within :func:`undisturbed`: True, and ``raise_it`` is called at its end. Else False."""
    if _undisturbed:
        _deferred.append(raise_it)
    return bool(_undisturbed)


@contextmanager
def _temporary(path: Path, *, is_folder: bool = False) -> Iterator[Path]:
    """A new file or folder beside ``path``, locked; at the end it is removed if it is there still.

    The process's umask decides the permissions, as for any file.
    """
    make_folder(path.parent)
    sweep_temporaries(path.parent)
    owner = os.getpid()
    while True:
        # The name of the file may have 255 bytes already.
        name = f".{path.name[:40]}.atjt-{secrets.token_hex(6)}.tmp"
        # Polars takes a folder ~ for the home folder, unless a path comes before it.
        place = path.absolute() if path.parts[0].startswith("~") else path
        temporary = place.with_name(name)
        try:
            try:
                with undisturbed():
                    made = _create(temporary, is_folder=is_folder)
            except OSError as error:
                raise _one_line(error, f"{path}: could not be written ({_text(error)})") from error
            if made:
                yield temporary
                return
        finally:
            if os.getpid() == owner:  # a forked child unwinds, too: its parent writes on
                _discard(temporary)


def _create(temporary: Path, *, is_folder: bool) -> bool:
    """Makes and locks ``temporary``; False if a sweeper removed it before the lock.

    That sweeper, or another one, may be about to remove it again: the name is used up.
    """
    if is_folder:
        temporary.mkdir()
    elif not HAS_LOCKS:  # where an open file can't be moved
        temporary.touch(exist_ok=False)
    if not HAS_LOCKS:
        return True
    try:
        flags = os.O_RDONLY if is_folder else os.O_RDWR | os.O_CREAT | os.O_EXCL
        handle = _open[temporary] = os.open(temporary, flags, 0o666)
    except FileNotFoundError:
        if not is_folder:
            raise
        return False
    return try_lock(handle) is not False and temporary.exists()


def _discard(temporary: Path) -> None:
    """Removes ``temporary`` if it is there still, then gives up its lock."""
    with undisturbed():
        _remove(temporary)
        handle = _open.pop(temporary, None)
        if handle is not None:
            os.close(handle)


def _sweep(temporary: Path) -> None:
    with suppress(OSError):
        kind = os.O_RDONLY if temporary.is_dir() else os.O_RDWR
        handle = os.open(temporary, kind | getattr(os, "O_NOFOLLOW", 0))
        try:
            if try_lock(handle):
                _remove(temporary)
        finally:
            os.close(handle)


def _remove(temporary: Path) -> None:
    if temporary.is_dir():
        shutil.rmtree(temporary, ignore_errors=True)
    else:
        temporary.unlink(missing_ok=True)


def _reason(error: Exception, temporary: Path) -> OSError | None:
    """Why ``temporary`` could not be written, if the system is the reason for ``error``."""
    if isinstance(error, OSError) and error.errno:
        own = error.filename is None or os.fspath(error.filename) == os.fspath(temporary)
        return error if own else None
    # torch, numpy and Rust libraries raise errors of their own kinds on a full disk. The system
    # tells the reason once more when bytes are appended.
    try:
        with temporary.open("ab") as file:
            file.write(bytes(1 << 16))
            file.flush()
            os.fsync(file.fileno())
    except OSError as found:
        return found
    return error if isinstance(error, OSError) else None


def _text(error: OSError) -> str:
    return error.strerror or str(error)


def _one_line(error: OSError, message: str) -> OSError:
    """An error of the kind of ``error`` whose whole text is ``message``."""
    made = type(error)(message)
    made.errno = error.errno
    return made


def _forget_in_child() -> None:
    """A forked child does not hold its parent's temporaries, and must not keep their locks."""
    for handle in _open.values():
        os.close(handle)
    _open.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_in_child)
