"""Finished cells on disk: one JSON each, and the ranks of its test targets beside it."""

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
from .spec import Cell

__all__ = ["CellResult", "CellStore", "data_digest"]

# Goes up when old results should not be mixed with new ones.
_FORMAT = 3


def data_digest(sequences: Sequences) -> str:
    """A short hash of the users' items, the truth about noise, weights and the items' features: the
    same file under another name is the same data."""
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
    """What a cell found out.

    Attributes:
        cell: which one.
        values: what its JSON holds.
        ranks: ``[U]`` int32, the rank of each user's test target.
    """

    cell: Cell
    values: dict[str, Any]
    ranks: npt.NDArray[np.int32]


class CellStore:
    """The folder of a grid. Safe to share: every file is written whole, and a cell's JSON last.

    Args:
        folder: made when first written to.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)

    def path(self, cell: Cell, settings: dict[str, Any]) -> Path:
        """The JSON of a cell under ``settings``: readable, and unique by a hash of all of them."""
        text = json.dumps(
            {"format": _FORMAT, "cell": cell.as_dict() | {"file": ""}, "settings": settings},
            sort_keys=True,
        )
        parts = (
            Path(cell.file).name.split(".")[0],
            cell.model,
            cell.noise,
            cell.recipe,
            f"s{cell.seed}",
            hashlib.sha256(text.encode()).hexdigest()[:10],
        )
        name = "_".join(re.sub(r"[^A-Za-z0-9.-]+", "-", part) for part in parts)
        return self.folder / "cells" / f"{name}.json"

    def write(self, path: Path, result: CellResult) -> None:
        """Ranks, then JSON: a cell that has its JSON has finished."""

        def ranks(temporary: Path) -> None:
            with temporary.open("wb") as file:  # a name would get a suffix
                np.savez_compressed(file, ranks=result.ranks)

        document = {"cell": result.cell.as_dict(), **result.values}
        text = json.dumps(document, indent=2, allow_nan=False) + "\n"
        write_atomically(path.with_suffix(".npz"), ranks)
        write_text_atomically(path, text)

    def read(self, path: Path) -> CellResult:
        """A finished cell.

        Raises:
            ValueError: the file is none.
        """
        try:
            values = json.loads(path.read_text(encoding="utf-8"))
            cell = Cell(**values.pop("cell"))
            with np.load(path.with_suffix(".npz"), allow_pickle=False) as arrays:
                return CellResult(cell, values, arrays["ranks"])
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"{path}: not a finished cell ({error})") from error
