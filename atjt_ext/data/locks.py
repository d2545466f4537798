"""One writer per folder."""

from __future__ import annotations

import os
import socket
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from .files import HAS_LOCKS, make_folder, sweep_temporaries, try_lock, undisturbed

__all__ = ["FolderInUseError", "exclusive", "release_all"]

_NAME = ".lock"
_WAY = "; wait for its end, or choose another folder"
_MARK = "atjt"  # the first word of our lock files: another program's file is not taken over


class FolderInUseError(OSError):
    """Another process or thread writes to the folder. The message is one line."""


@dataclass
class _Held:
    handle: int
    path: Path
    made: list[Path]  # folders that did not exist before, innermost first
    thread: int = field(default_factory=threading.get_ident)
    uses: int = 1


_held: dict[Path, _Held] = {}
_guard = threading.RLock()


@contextmanager
def exclusive(folder: Path, use: str = "a command") -> Iterator[None]:
    """Within, no other process or thread can be within ``exclusive`` of the same folder.

    Makes the folder if it is missing, and removes temporaries that killed processes left in it and
    in its direct subfolders. The lock ends with the process, however that ends. The thread that
    holds it may enter again. A folder that was made here and is still empty is removed.

    On a file system without locks a warning is given, and nothing keeps other processes out.

    Args:
        folder: the folder to write to.
        use: who writes, for the message to another process, e.g. ``atjt train``.

    Raises:
        FolderInUseError: another process or thread holds the lock.
        OSError: the folder can't be made or written to; the message is one line.
    """
    if not HAS_LOCKS:
        make_folder(folder)
        _warn_without_locks(folder)
        yield
        return
    key = Path(os.path.realpath(folder))
    _enter(key, folder, use)
    try:
        _sweep_once(key)
        yield
    finally:
        try:
            _sweep_once(key)  # a worker process may have been killed meanwhile
        finally:
            _leave(key)


def release_all() -> None:
    """Removes the lock files of this process, before a sudden end."""
    for key in list(_held):
        _sweep(key)
    with _guard:
        for key in list(_held):
            _release(_held.pop(key))


def _enter(key: Path, folder: Path, use: str) -> None:
    with undisturbed(), _guard:
        held = _held.get(key)
        if held is None:
            _held[key] = _locked(folder, use)
        elif held.thread == threading.get_ident():
            held.uses += 1
        else:
            raise FolderInUseError(
                f"{folder}: another thread of this process is writing here{_WAY}"
            )


def _leave(key: Path) -> None:
    with undisturbed(), _guard:
        held = _held.get(key)
        if held is None:  # in a forked child: the lock is its parent's
            return
        held.uses -= 1
        if not held.uses:
            _release(_held.pop(key))


def _sweep_once(key: Path) -> None:
    """Sweeps at the first enter and the last end. A sweep may be slow: it does not hold the guard,
    and a signal may interrupt it."""
    held = _held.get(key)
    if held is not None and held.uses == 1:
        _sweep(key)


def _sweep(folder: Path) -> None:
    with suppress(OSError), os.scandir(folder) as entries:  # it may be unreadable
        subfolders = [Path(one) for one in entries if one.is_dir(follow_symlinks=False)]
        for one in (folder, *subfolders):
            sweep_temporaries(one)


def _locked(folder: Path, use: str) -> _Held:
    path, made = folder / _NAME, list[Path]()
    while True:
        made += [one for one in (folder, *folder.parents) if not os.path.lexists(one)]
        make_folder(folder)
        try:
            handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o666)
        except FileNotFoundError:  # the last owner removed the empty folder just now
            continue
        except OSError as error:
            raise _one_line(error, folder) from error
        held = _Held(handle, path, made)
        try:
            if _take(held, use):
                return held
        except BaseException:
            os.close(handle)
            _remove_empty(made)
            raise
        os.close(handle)


def _take(held: _Held, use: str) -> bool:
    """Locks the open file and writes the owner into it; False if the file was removed meanwhile."""
    folder, locked = held.path.parent, try_lock(held.handle)
    owner = os.pread(held.handle, 1000, 0).decode("utf-8", "replace")
    if owner and owner.split()[:1] != [_MARK]:
        raise OSError(f"{held.path}: a file of another program; remove it, or use another folder")
    if locked is False:
        raise FolderInUseError(f"{folder}: {_holder(owner)}")
    if locked is None:
        _warn_without_locks(folder)
    # An owner removes the file before it gives up the lock: a lock on a file that is no longer in
    # the folder keeps nobody out.
    try:
        there, own = os.stat(held.path), os.fstat(held.handle)
    except FileNotFoundError:
        return False
    if (there.st_dev, there.st_ino) != (own.st_dev, own.st_ino):
        return False
    try:
        os.ftruncate(held.handle, 0)
        text = f"{_MARK} {os.getpid()} {socket.gethostname()} {use}\n"
        os.pwrite(held.handle, text.encode(), 0)
    except OSError as error:
        held.path.unlink(missing_ok=True)
        raise _one_line(error, folder) from error
    return True


def _warn_without_locks(folder: Path) -> None:
    warnings.warn(
        f"{folder}: this file system has no locks, so nothing keeps a second command from writing "
        "here at the same time",
        stacklevel=2,
    )


def _one_line(error: OSError, folder: Path) -> OSError:
    kind = PermissionError if isinstance(error, PermissionError) else OSError
    return kind(f"{folder}: cannot write to this folder ({error.strerror})")


def _holder(owner: str) -> str:
    match owner.split(maxsplit=3):
        case [_, pid, host, use]:
            who = f"{use.strip()} is writing here (process {pid} on {host})"
        case _:  # the owner is between creation and its first write
            who = "another command is writing here"
    return f"{who}{_WAY}"


def _release(held: _Held) -> None:
    held.path.unlink(missing_ok=True)
    os.close(held.handle)
    _remove_empty(held.made)


def _remove_empty(folders: list[Path]) -> None:
    with suppress(OSError):  # the folder has files now
        for folder in folders:
            folder.rmdir()


def _forget_in_child() -> None:
    """A forked child does not hold its parent's locks, and must not keep them alive."""
    global _guard
    _guard = threading.RLock()  # another thread of the parent may have held it
    for held in _held.values():
        os.close(held.handle)
    _held.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_in_child)
