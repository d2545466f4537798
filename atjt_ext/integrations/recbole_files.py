"""RecBole's files with a column of weights. Needs no RecBole."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import polars as pl
from torch import Tensor

from ..data import DataError, Interactions, row_weights, to_sequences
from ..data.files import write_atomically
from ..data.readers.recbole import header_types, read_recbole
from ..data.readers.streams import chunks
from ..recognition import RecognitionConfig, recognise_noise


def add_weights(
    source: str | Path,
    destination: str | Path,
    *,
    column: str = "weight",
    held_out: int = 2,
    config: RecognitionConfig | None = None,
    seed: int = 0,
) -> Tensor:
    """Copies an ``.inter`` file and adds P(clean) of every interaction as a float column.

    :func:`atjt_ext.recognition.recognise_noise` reads the training interactions: all but the last
    ``held_out`` of each user, in RecBole's order of time. Held-out interactions get weight 1.

    Args:
        source: An ``.inter`` file, plain or gzip. Its lines are copied unchanged.
        destination: The plain file to write; missing folders are made. RecBole looks for
            ``NAME/NAME.inter``, and for ``.item`` and ``.user`` files of that name beside it.
        column: Name of the new column, for ``load_col`` and ``ReweightedLoss.weight_field``.
        held_out: Number of interactions at the end of each user that are not for training: 2 for
            RecBole's ``{"split": {"LS": "valid_and_test"}, "order": "TO"}``.
        config: Options of the recogniser.
        seed: Seed of the recogniser.

    Returns:
        ``[rows]`` float32, the weights as written.

    Raises:
        DataError: if ``source`` is no ``.inter`` file, or has that column already.
        ValueError: if ``column`` cannot stand in a header, ``destination`` is a folder or ends in
            ``.gz``, ``held_out`` is below 0 or leaves no interaction, or there are fewer users than
            folds of the recogniser.
    """
    source, destination = Path(source), Path(destination)
    _require(source, destination, column, held_out)
    interactions = in_recboles_order(read_recbole(source))
    train = to_sequences(interactions).without_last(int(held_out))
    if not train.num_interactions:
        raise ValueError(f"held_out={held_out} leaves no interactions to judge")
    weights = row_weights(interactions, train, recognise_noise(train, config, seed=seed).weights)

    def write(temporary: Path) -> None:
        with temporary.open("wb") as file:
            file.writelines(_lines(source, column, weights))

    write_atomically(destination, write)
    return weights


def in_recboles_order(interactions: Interactions) -> Interactions:
    """The interactions with times rounded to float32, as RecBole reads them.

    Unix times of today are then multiples of 128 seconds. Interactions with the same rounded time
    keep the order of the file, so RecBole may hold out other items than the exact times would.
    """
    if "time" not in interactions.frame.columns:
        return interactions
    rounded = pl.col("time").cast(pl.Float32).cast(pl.Float64)
    return replace(interactions, frame=interactions.frame.with_columns(rounded))


def _require(source: Path, destination: Path, column: str, held_out: int) -> None:
    """Raises for wrong arguments before recognition, which takes minutes."""
    if not column or any(sign in column for sign in ":\t\r\n"):
        raise ValueError(f"column must be a name without ':' or tabs, got {column!r}")
    if held_out < 0 or held_out % 1:
        raise ValueError(f"held_out must be an integer and at least 0, got {held_out!r}")
    if destination.is_dir() or destination.suffix == ".gz":
        raise ValueError(f"destination must be a plain .inter file to write, got {destination}")
    if source.is_dir():
        raise DataError(f"{source}: a folder; source must be an .inter file")
    if column in header_types(source):
        raise DataError(f"{source}:1: the header names {column!r} already; choose another column")


def _lines(source: Path, column: str, weights: Tensor) -> Iterator[bytes]:
    """The lines of the new file, in parts: all lines at once would take much memory."""
    row, values = -1, weights.numpy()  # the header is row -1
    for chunk in chunks(source):
        for line in chunk.data.split(b"\n"):
            line = line.rstrip(b"\r")
            if not line.strip():
                continue
            if row < 0:
                yield b"%s\t%s:float\n" % (line, column.encode())
            elif row < len(values):
                # Nine digits give every float32 back exactly.
                yield b"%s\t%.9g\n" % (line, values[row])
            row += 1
    if row != len(values):
        raise DataError(f"{source}: {row} lines, {len(values)} when it was read; has it changed?")
