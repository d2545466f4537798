"""Checkpoints: tensors and plain values only, written whole or not at all."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import torch

from ..data.files import write_atomically

__all__ = [
    "CheckpointError",
    "load_checkpoint",
    "save_checkpoint",
]

_FORMAT = 1


class CheckpointError(RuntimeError):
    """A checkpoint that can't be read, or that belongs to something else. The message is one
    line."""


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
