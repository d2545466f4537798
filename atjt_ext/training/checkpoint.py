"""Checkpoints: tensors and plain values only, written whole or not at all."""

from __future__ import annotations

import json
import math
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import torch
from torch import Tensor

from ..data.manifest import DamagedFileError, open_checked, write_all_listed, write_listed
from .history import EpochRecord

__all__ = [
    "CheckpointError",
    "load_checkpoint",
    "load_training",
    "save_checkpoint",
    "save_history",
]

# In format 1 the config may hold options without effect.
_FORMAT = 2
_PARTS: dict[str, type | tuple[type, ...]] = {
    "config": dict,
    "num_items": int,
    "num_users": int,
    "steps": int,
    "history": list,
    "models": dict,
    "best": (dict, type(None)),
    "optimizers": dict,
}


class CheckpointError(RuntimeError):
    """A checkpoint that can't be read, or that belongs to another run. The message is one line."""


def save_checkpoint(path: Path, state: dict[str, Any], *, history: Path | None = None) -> None:
    """Writes ``state`` (nested dicts and lists of tensors and plain values) to ``path``.

    Args:
        path: the checkpoint.
        state: what to save.
        history: a file for ``state["history"]``, too: a line of JSON per epoch.
    """

    def save(temporary: Path) -> None:
        torch.save({"format": _FORMAT, **state}, temporary)

    writes: dict[Path, Callable[[Path], object]] = {path: save}
    if history is not None:
        writes[history] = _history(state["history"])
    # With one change of the manifest: in small runs such changes take much of an epoch's time.
    write_all_listed(writes)


def save_history(path: Path, records: list[dict[str, Any]]) -> None:
    """Writes ``path`` as :func:`save_checkpoint` writes ``history``."""
    write_listed(path, _history(records))


def _history(records: list[dict[str, Any]]) -> Callable[[Path], object]:
    lines = "".join(json.dumps(record) + "\n" for record in records)
    return lambda temporary: temporary.write_text(lines, encoding="utf-8")


def load_checkpoint(path: Path, *, device: torch.device | str = "cpu") -> dict[str, Any]:
    """The state that :func:`save_checkpoint` wrote, with its ``format``.

    Raises:
        CheckpointError: missing, damaged, changed after it was written, or of an unknown format.
    """
    try:
        with open_checked(path) as file:
            state = _loaded(file, device)
    except DamagedFileError as error:
        raise CheckpointError(str(error)) from error
    except (FileNotFoundError, IsADirectoryError) as error:
        raise CheckpointError(f"{path}: no such checkpoint") from error
    # Damaged bytes raise whatever their decoding happens to raise: IndexError, KeyError, ...
    except Exception as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise CheckpointError(f"{path}: not a readable checkpoint ({reason})") from error
    found = state.get("format") if isinstance(state, dict) else type(state).__name__
    if isinstance(found, int) and found > _FORMAT:
        raise CheckpointError(
            f"{path}: checkpoint format 1 or 2 wanted, found {found}: a newer version of atjt_ext "
            "wrote it"
        )
    if found not in (1, _FORMAT):
        raise CheckpointError(f"{path}: checkpoint format 1 or 2 wanted, found {found}")
    return dict(state)


def load_training(path: Path, *, device: torch.device | str = "cpu") -> dict[str, Any]:
    """The state of training in ``path``, see ``TrainingState.save``.

    Raises:
        CheckpointError: as :func:`load_checkpoint`; or a part is missing, has another type or
            values that training never leaves, such as a parameter that is NaN.
    """
    saved = load_checkpoint(path, device=device)
    try:
        _require_parts(saved)
        history = [EpochRecord.from_dict(one) for one in saved["history"]]
        epochs = [record.epoch for record in history]
        if epochs != list(range(1, len(history) + 1)):
            raise ValueError(f"history must hold the epochs 1, 2, ..., got {epochs[:5]}")
        if (best := saved["best"]) is not None:
            _require_best(best, len(history))
        for part in ("models", "best", "optimizers"):
            _require_finite(part, saved[part])
    except (KeyError, TypeError, ValueError) as error:
        text = f"it lacks {error}" if isinstance(error, KeyError) else str(error)
        raise CheckpointError(f"{path}: not a checkpoint of training: {text}") from error
    return saved


def _loaded(file: BinaryIO, device: torch.device | str) -> Any:
    # torch.load reads past checksums.
    with zipfile.ZipFile(file) as archive:
        if (damaged := archive.testzip()) is not None:
            raise zipfile.BadZipFile(f"wrong checksum of {damaged}")
    file.seek(0)
    return torch.load(file, map_location=device, weights_only=True)


def _require_parts(saved: dict[str, Any]) -> None:
    kinds = {**_PARTS, **({"total_steps": int} if "total_steps" in saved else {})}
    for name, kind in kinds.items():
        value = saved[name]
        if not isinstance(value, kind):
            raise TypeError(f"{name} can't be {type(value).__name__}")
        if isinstance(value, int) and value < 0:
            raise ValueError(f"{name} must be at least 0, got {value}")
    if "recommender" not in saved["models"]:
        raise KeyError("models.recommender")


def _require_best(best: dict[str, Any], epochs: int) -> None:
    epoch, value = best["epoch"], best["value"]
    if not isinstance(epoch, int) or not 1 <= epoch <= epochs:
        raise ValueError(f"best.epoch must be in 1..{epochs}, got {epoch}")
    if not isinstance(value, float) or not math.isfinite(value):
        raise ValueError(f"best.value must be a number, got {value}")
    if not isinstance(best["models"], dict) or "recommender" not in best["models"]:
        raise KeyError("best.models.recommender")


def _require_finite(name: str, values: object) -> None:
    """Raises ValueError for a tensor in ``values`` with NaN or infinity."""
    for where, tensor in _tensors(name, values):
        if tensor.is_floating_point() and not bool(tensor.isfinite().all()):
            raise ValueError(f"{where} holds NaN or infinity")


def _tensors(name: str, values: object) -> Iterator[tuple[str, Tensor]]:
    if isinstance(values, Tensor):
        yield name, values
    elif isinstance(values, dict):
        for key, value in values.items():
            yield from _tensors(f"{name}.{key}", value)
    elif isinstance(values, list | tuple):
        for number, value in enumerate(values):
            yield from _tensors(f"{name}.{number}", value)
