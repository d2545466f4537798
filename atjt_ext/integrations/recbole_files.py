"""RecBole's files with a column of weights; reading and writing them needs no RecBole."""

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

__all__ = ["add_weights", "in_recboles_order"]


def add_weights(
    source: str | Path,
    destination: str | Path,
    *,
    column: str = "weight",
    held_out: int = 2,
    config: RecognitionConfig | None = None,
    seed: int = 0,
) -> Tensor:
    """Writes an ``.inter`` file once more, with P(clean) of every interaction as a float column.

    Noise is recognised (:func:`atjt_ext.recognition.recognise_noise`) in each user's interactions
    but the last ``held_out``, in RecBole's order of time; those weigh 1.

    Args:
        source: an ``.inter`` file, plain or gzip. Its lines are kept as they are.
        destination: the file to write, plain; folders on the way are made. RecBole looks for
            ``NAME/NAME.inter``, with the ``.item`` and ``.user`` files of that name beside it.
        column: name of the new column; what ``load_col`` and ``ReweightedLoss.weight_field`` name.
        held_out: interactions at the end of each user that are no training data: 2 for RecBole's
            ``{"split": {"LS": "valid_and_test"}, "order": "TO"}``.
        config, seed: of the recogniser.

    Returns:
        ``[rows]`` float32, the weights as written.

    Raises:
        DataError: ``source`` is no ``.inter`` file, or has that column already.
        ValueError: a ``column`` that no header can name, a ``destination`` that is a folder or
            called gzip, ``held_out`` below 0 or beyond all users, or fewer users than the
            recogniser has folds.
    """
    source, destination = Path(source), Path(destination)
    _require(source, destination, column, held_out)
    interactions = in_recboles_order(read_recbole(source))
    train = to_sequences(interactions).without_last(int(held_out))
    if not train.num_interactions:
        raise ValueError(f"held_out is {held_out}, and no user has more interactions")
    found = recognise_noise(train, config, seed=seed)
    weights = row_weights(interactions, train, found.weights)

    def write(temporary: Path) -> None:
        with temporary.open("wb") as file:
            file.writelines(_lines(source, column, weights))

    write_atomically(destination, write)
    return weights


def in_recboles_order(interactions: Interactions) -> Interactions:
    """Times as RecBole reads them, float32: today's Unix times are then 128 seconds apart, and what
    lies between has the order of the file. Its last items, which it holds out, are others."""
    frame = interactions.frame
    if "time" not in frame.columns:
        return interactions
    rounded = pl.col("time").cast(pl.Float32).cast(pl.Float64)
    return replace(interactions, frame=frame.with_columns(rounded))


def _require(source: Path, destination: Path, column: str, held_out: int) -> None:
    """Whatever can be refused, before minutes of recognition."""
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
    """The file in parts, since all its lines at once are many times their size."""
    header, row, values = True, 0, weights.numpy()
    for chunk in chunks(source):
        for line in chunk.data.split(b"\n"):
            line = line.rstrip(b"\r")
            if not line.strip():
                continue
            if header:
                yield b"%s\t%s:float\n" % (line, column.encode())
            elif row < len(values):
                # Nine digits are what brings a float32 back as it was.
                yield b"%s\t%.9g\n" % (line, values[row])
            row += not header
            header = False
    if row != len(values):
        raise DataError(f"{source}: {row} lines, {len(values)} when it was read; has it changed?")
