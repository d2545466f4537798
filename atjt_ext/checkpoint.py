"""Checkpoints: tensors and plain values only, written whole or not at all."""

from __future__ import annotations

import os
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import torch

__all__ = [
    "CheckpointError",
    "load_checkpoint",
    "save_checkpoint",
    "write_atomically",
    "write_text_atomically",
]

_FORMAT = 1


class CheckpointError(RuntimeError):
    """A checkpoint that can't be read, or that belongs to something else. The message is one
    line."""


def write_atomically(path: Path, write: Any) -> None:
    """Calls ``write(temporary_path)`` and then moves the file to ``path`` in one step.

    A process killed at any moment leaves the old file or the new one, never half of one.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        write(temporary)
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        # mkstemp makes private files; the run folder's should be as readable as any other.
        mask = os.umask(0)
        os.umask(mask)
        temporary.chmod(0o666 & ~mask)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_text_atomically(path: Path, text: str) -> None:
    """``text`` to ``path`` in UTF-8, whole or not at all."""

    def write(temporary: Path) -> None:
        temporary.write_text(text, encoding="utf-8")

    write_atomically(path, write)


def save_checkpoint(path: Path, state: dict[str, Any]) -> None:
    """Writes ``state`` (nested dicts and lists of tensors and plain values) to ``path``."""
    write_atomically(path, lambda temporary: torch.save({"format": _FORMAT, **state}, temporary))


def load_checkpoint(path: Path, *, device: torch.device | str = "cpu") -> dict[str, Any]:
    """What :func:`save_checkpoint` wrote.

    Raises:
        CheckpointError: missing, damaged, or of another format.
    """
    if not path.is_file():
        raise CheckpointError(f"{path}: no such checkpoint")
    try:
        # torch.load reads past checksums.
        with zipfile.ZipFile(path) as archive:
            if (damaged := archive.testzip()) is not None:
                raise zipfile.BadZipFile(f"wrong checksum of {damaged}")
        state = torch.load(path, map_location=device, weights_only=True)
    # Damaged bytes fail in whatever way they happen to decode: IndexError, KeyError, ...
    except Exception as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise CheckpointError(f"{path}: not a readable checkpoint ({reason})") from error
    if not isinstance(state, dict) or state.get("format") != _FORMAT:
        found = state.get("format") if isinstance(state, dict) else type(state).__name__
        raise CheckpointError(f"{path}: checkpoint format {_FORMAT} wanted, found {found}")
    return state
