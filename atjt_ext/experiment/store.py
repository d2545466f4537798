"""Finished cells on disk: a JSON file each, and a file with the ranks of its test targets."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ..data import Sequences
from ..data.files import write_atomically, write_text_atomically
from ..runs.config import RunConfig
from .format_3 import upgraded
from .spec import Cell

__all__ = ["FORMAT", "CellResult", "CellStore", "data_digest"]

FORMAT = 4
"""Raise it when results change for another reason than an option: older cells then run again."""


def data_digest(sequences: Sequences) -> str:
    """A short hash of the items, the known noise, the weights and the items' features; not of the
    file's name."""
    digest = hashlib.sha256()
    for tensor in (sequences.offsets, sequences.items, sequences.is_noise, sequences.weights):
        if tensor is not None:
            digest.update(tensor.cpu().numpy().tobytes())
    for name, feature in sequences.item_features.items():
        digest.update("\n".join([name, *feature.values]).encode())
        for tensor in (feature.offsets, feature.codes):
            digest.update(tensor.cpu().numpy().tobytes())
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
        option, the result of a cell that leaves the option at its default does not.
        """
        path = self.path(cell, settings)
        if path.exists():
            return path
        wanted = json.loads(json.dumps(settings))  # lists for tuples, as in a file
        for candidate in sorted(path.parent.glob(f"{_coordinates(cell)}_*.json")):
            document = json.loads(candidate.read_text(encoding="utf-8"))
            if _point(document["cell"]) == _point(cell.as_dict()) and _same(document, wanted):
                return candidate
        return None

    def write(self, path: Path, result: CellResult) -> None:
        """Writes the ranks, then the JSON file: a cell with a JSON file is finished."""

        def ranks(temporary: Path) -> None:
            with temporary.open("wb") as file:  # numpy appends a suffix to names
                np.savez_compressed(file, ranks=result.ranks)

        document = {"format": FORMAT, "cell": result.cell.as_dict(), **result.values}
        text = json.dumps(document, indent=2, allow_nan=False) + "\n"
        write_atomically(path.with_suffix(".npz"), ranks)
        write_text_atomically(path, text)

    def read(self, path: Path) -> CellResult:
        """A finished cell; ValueError if the file holds none."""
        try:
            values = json.loads(path.read_text(encoding="utf-8"))
            values.pop("format", None)
            cell = Cell(**values.pop("cell"))
            with np.load(path.with_suffix(".npz"), allow_pickle=False) as arrays:
                return CellResult(cell, values, arrays["ranks"])
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"{path}: not a finished cell ({error})") from error


def _point(cell: dict[str, Any]) -> dict[str, Any]:
    """A cell without the name of its file: the digest of the data stands for the file."""
    return {**cell, "file": ""}


def _coordinates(cell: Cell) -> str:
    name = Path(cell.file).name.split(".")[0]
    parts = name, cell.model, cell.noise, cell.recipe, f"s{cell.seed}"
    return "_".join(re.sub(r"[^A-Za-z0-9.-]+", "-", part) for part in parts)


def _same(document: dict[str, Any], wanted: dict[str, Any]) -> bool:
    """Whether a cell's document has the settings ``wanted``, whatever its release."""
    settings, version = document["settings"], document.get("format", 3)
    if version not in (3, FORMAT):
        return False
    try:
        if version == 3:
            settings = upgraded(settings)
        configs = [RunConfig.from_dict(one["config"]) for one in (settings, wanted)]
    except (TypeError, ValueError):  # an option or a value that only the other release has
        return False
    others = [{**one, "config": None} for one in (settings, wanted)]
    return others[0] == others[1] and not configs[0].differences(configs[1])
