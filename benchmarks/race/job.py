"""What a contender's process gets: its options and the data. Imports numpy only."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Integers = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Sizes:
    """What all contenders have in common."""

    width: int = 64
    length: int = 50
    blocks: int = 2
    heads: int = 1
    batch_size: int = 128
    learning_rate: float = 1e-3


@dataclass(frozen=True, slots=True)
class Job:
    """One contender with one seed.

    Attributes:
        contender: the fields of a ``Contender``.
        file: the interactions, for ``atjt_ext``.
        data: the same, split, for the host libraries: :class:`RaceData`.
        exports: where the process writes what the judge reads.
    """

    contender: dict[str, Any]
    seed: int
    sizes: Sizes
    file: str
    data: str
    exports: str

    def write(self, path: Path) -> None:
        path.write_text(json.dumps(asdict(self)))

    @staticmethod
    def read(path: Path) -> Job:
        values = json.loads(path.read_text())
        return Job(**{**values, "sizes": Sizes(**values["sizes"])})


@dataclass(frozen=True, slots=True)
class RaceData:
    """Training sequences and validation histories as arrays.

    Item codes are ``1 .. num_items``; user ``u`` owns ``items[offsets[u] : offsets[u + 1]]``.

    Attributes:
        num_items: size V of the catalogue.
        offsets: ``[U + 1]``.
        items: ``[N]`` item codes.
        window_ends, window_lengths: ``[R]``: the windows that ``atjt_ext`` trains on, a window is
            ``items[end - length : end]``.
        histories: ``[U, L]``, what a model reads to predict each user's validation item, padded
            with 0 on the left.
    """

    num_items: int
    offsets: Integers
    items: Integers
    window_ends: Integers
    window_lengths: Integers
    histories: Integers

    def write(self, path: Path) -> None:
        np.savez(path, **{name: getattr(self, name) for name in self.__slots__})

    @staticmethod
    def read(path: str) -> RaceData:
        with np.load(path) as arrays:
            values = {name: arrays[name] for name in RaceData.__slots__}
        return RaceData(**{**values, "num_items": int(values["num_items"])})

    def of_users(self) -> list[Integers]:
        """The item codes of each user."""
        return np.split(self.items, self.offsets[1:-1])

    def rows(self, *, windows: bool) -> list[Integers]:
        """Item codes to train on: of each user, or of each window."""
        if not windows:
            return self.of_users()
        places = zip(self.window_ends.tolist(), self.window_lengths.tolist(), strict=True)
        return [self.items[end - length : end] for end, length in places]
