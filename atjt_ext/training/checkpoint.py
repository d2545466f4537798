"""Checkpoints: tensors and plain values only, written whole or not at all."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import torch

from ..data.files import write_atomically

__all__ = ["CheckpointError", "load_checkpoint", "save_checkpoint"]

# In format 1 the config may hold options without effect.
_FORMAT = 2


class CheckpointError(RuntimeError):
    """A checkpoint that can't be read, or that belongs to another run. The message is one line."""


def save_checkpoint(path: Path, state: dict[str, Any]) -> None:
    """Writes ``state`` (nested dicts and lists of tensors and plain values) to ``path``."""
    write_atomically(path, lambda temporary: torch.save({"format": _FORMAT, **state}, temporary))


def load_checkpoint(path: Path, *, device: torch.device | str = "cpu") -> dict[str, Any]:
    """The state that :func:`save_checkpoint` wrote, with its ``format``.

    Raises:
        CheckpointError: missing, damaged, or of an unknown format.
    """
    if not path.is_file():
        raise CheckpointError(f"{path}: no such checkpoint")
    try:
        # torch.load reads past checksums.
        with zipfile.ZipFile(path) as archive:
            if (damaged := archive.testzip()) is not None:
                raise zipfile.BadZipFile(f"wrong checksum of {damaged}")
        state = torch.load(path, map_location=device, weights_only=True)
    # Damaged bytes raise whatever their decoding happens to raise: IndexError, KeyError, ...
    except Exception as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise CheckpointError(f"{path}: not a readable checkpoint ({reason})") from error
    if not isinstance(state, dict) or state.get("format") not in (1, _FORMAT):
        found = state.get("format") if isinstance(state, dict) else type(state).__name__
        raise CheckpointError(f"{path}: checkpoint format 1 or 2 wanted, found {found}")
    return state
