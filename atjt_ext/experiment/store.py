"""Finished cells on disk: a JSON file each, and a file with the ranks of its test targets."""

from __future__ import annotations

import hashlib
import json
import re
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ..data import Sequences
from ..data.files import write_atomically, write_text_atomically
from ..models.options import fits, require_fields
from ..runs.config import RunConfig
from .spec import Cell

__all__ = ["FORMAT", "CellResult", "CellStore", "data_digest"]

FORMAT = 5
"""Raise it when results change for another reason than an option: older cells then run again."""

_VALUES: dict[str, Any] = {
    "test": dict[str, float],
    "valid": dict[str, float],
    "sampled_test": dict[str, float | None] | None,
    "detection": dict[str, float | None],
    "weights": dict[str, float | None],
    "epochs": int,
    "kept_epoch": int,
    "train_seconds": float,
    "weighing_seconds": float,
}


def data_digest(sequences: Sequences) -> str:
    """A short hash of the items, the known noise, the weights and the items' features.

    It decides which finished cells are found, so its bytes stay as they are. It leaves out what no
    result depends on: the name of the file, and the ids of users and items.
    """
    digest = hashlib.sha256()
    for tensor in (sequences.offsets, sequences.items, sequences.is_noise, sequences.weights):
        if tensor is not None:
            digest.update(tensor.cpu().numpy().tobytes())
    for name, feature in sequences.item_features.items():
        digest.update("\n".join([name, *feature.values]).encode())
        for tensor in (feature.offsets, feature.codes):
            digest.update(tensor.cpu().numpy().tobytes())
    # Under --latest, the catalogue may end with items that nobody has. They take part in rankings.
    highest = int(sequences.items.max()) if sequences.items.numel() else 0
    if sequences.num_items > highest:
        digest.update(f"{sequences.num_items} items".encode())
    return digest.hexdigest()[:16]


@dataclass(frozen=True, eq=False, slots=True)
class CellResult:
    """The result of a cell."""

    cell: Cell
    values: dict[str, Any]  # the content of its JSON file
    ranks: npt.NDArray[np.int32]  # [U], the rank of each user's test target


class CellStore:
    """The folder of a grid, created by the first write.

    Several grids can share it: files are written whole, the JSON last.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)

    def path(self, cell: Cell, settings: dict[str, Any]) -> Path:
        """The JSON file of a new cell: its coordinates and a hash of ``settings``."""
        identity = {"format": FORMAT, "cell": _point(cell.as_dict()), "settings": settings}
        text = json.dumps(identity, sort_keys=True)
        digest = hashlib.sha256(text.encode()).hexdigest()[:10]
        return self.folder / "cells" / f"{_coordinates(cell)}_{digest}.json"

    def find(self, cell: Cell, settings: dict[str, Any]) -> Path | None:
        """The JSON file of a finished cell under ``settings``; None if there is none.

        A file with another name is found by the settings in it: the name changes with every new
        option, the result of a cell that leaves the option at its default does not. A file that is
        no cell is passed over with a warning.
        """
        path = self.path(cell, settings)
        if path.exists():
            return path
        wanted = json.loads(json.dumps(settings))  # lists for tuples, as in a file
        for candidate in sorted(path.parent.glob(f"{_coordinates(cell)}_*.json")):
            try:
                document, _ = _document(candidate)
            except ValueError as error:  # it may be a cell of another grid
                warnings.warn(f"{error}; it is passed over", stacklevel=2)
                continue
            if _point(document["cell"]) == _point(cell.as_dict()) and _same(document, wanted):
                return candidate
        return None

    def write(self, path: Path, result: CellResult) -> None:
        """Writes the ranks, then the JSON file: a cell with a JSON file is finished.

        Each file holds the digest of the other one's content.
        """

        def ranks(temporary: Path) -> None:
            with temporary.open("wb") as file:  # numpy appends a suffix to names
                digest = np.array(_sha256(text.encode()))
                np.savez_compressed(file, ranks=result.ranks, json_sha256=digest)

        document = {"format": FORMAT, "cell": result.cell.as_dict(), **result.values}
        document["ranks_sha256"] = _sha256(result.ranks.tobytes())
        text = json.dumps(document, indent=2, allow_nan=False) + "\n"
        write_atomically(path.with_suffix(".npz"), ranks)
        write_text_atomically(path, text)

    def read(self, path: Path) -> CellResult:
        """A finished cell.

        Raises:
            ValueError: a file is missing, damaged, or changed after it was written; the message
                names it.
        """
        values, text = _document(path)
        lacking = [
            one for one, hint in _VALUES.items() if one not in values or not fits(values[one], hint)
        ]
        if lacking:
            raise _no_cell(path, f"no usable {', '.join(lacking)}")
        ranks = _ranks(path.with_suffix(".npz"), text, values.pop("ranks_sha256", None))
        values.pop("format", None)
        return CellResult(Cell(**values.pop("cell")), values, ranks)


def _document(path: Path) -> tuple[dict[str, Any], bytes]:
    """The values in the JSON file of a cell, and its text."""
    try:
        text = path.read_bytes()
        values = json.loads(text)
        if not isinstance(values, dict) or not isinstance(values["settings"], dict):
            raise TypeError("an object with settings wanted")
        require_fields(Cell, values["cell"])
        Cell(**values["cell"])
    except (KeyError, TypeError, ValueError, RecursionError, OSError) as error:
        raise _no_cell(path, error) from error
    return values, text


def _ranks(path: Path, text: bytes, digest: str | None) -> npt.NDArray[np.int32]:
    """The ranks in ``path``, which must fit the JSON file of the cell: its ``text``, and the
    ``digest`` of the ranks that it holds (None: an earlier release wrote it)."""
    try:
        # np.load leaves a damaged file open.
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            found = {name: arrays[name] for name in arrays.files}
        own = found.pop("json_sha256", None)
        if list(found) != ["ranks"]:
            raise ValueError(f"the array ranks wanted, found {', '.join(found)}")
    # Damaged bytes raise whatever their decoding happens to raise.
    except Exception as error:
        raise _no_cell(path, error) from error
    if own is not None and own != _sha256(text):
        raise _no_cell(path.with_suffix(".json"), "its SHA-256 differs from the one beside it")
    ranks: npt.NDArray[np.int32] = found["ranks"]
    if (own is None) != (digest is None):
        raise _no_cell(path, "the SHA-256 of one of its files is missing")
    if ranks.ndim != 1 or ranks.dtype != np.int32 or not len(ranks) or ranks.min() < 1:
        raise _no_cell(path, "ranks must be int32, and at least 1")
    if digest is not None and digest != _sha256(ranks.tobytes()):
        raise _no_cell(path, "the SHA-256 of its ranks differs from the one beside it")
    return ranks


def _no_cell(path: Path, reason: object) -> ValueError:
    text = f"it lacks {reason}" if isinstance(reason, KeyError) else " ".join(str(reason).split())
    text = text or type(reason).__name__
    return ValueError(
        f"{path}: not a finished cell, or changed after it was written ({text}); without its files "
        "the cell runs again"
    )


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _point(cell: dict[str, Any]) -> dict[str, Any]:
    """A cell without the name of its file: the digest of the data stands for the file."""
    return {**cell, "file": ""}


def _coordinates(cell: Cell) -> str:
    name = Path(cell.file).name.split(".")[0]
    parts = name, cell.model, cell.noise, cell.recipe, f"s{cell.seed}"
    return "_".join(re.sub(r"[^A-Za-z0-9.-]+", "-", part) for part in parts)


def _same(document: dict[str, Any], wanted: dict[str, Any]) -> bool:
    """Whether a cell's document has the settings ``wanted`` and its results still hold."""
    if document.get("format") != FORMAT:
        return False
    try:
        settings = document["settings"]
        configs = [RunConfig.from_dict(one["config"]) for one in (settings, wanted)]
    except (
        KeyError,
        TypeError,
        ValueError,
    ):  # an option or a value that only the other release has
        return False
    others = [{**one, "config": None} for one in (settings, wanted)]
    return others[0] == others[1] and not configs[0].differences(configs[1])
