"""RecBole's files with a column of weights; reading and writing them needs no RecBole."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from torch import Tensor

from ..checkpoint import write_text_atomically
from ..data import DataError, row_weights, to_sequences
from ..data.readers.recbole import read_recbole
from ..data.readers.streams import read_bytes
from ..recognition import RecognitionConfig, recognise_noise

__all__ = ["add_weights"]


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
    but the last ``held_out``, in order of time; those weigh 1.

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
        ValueError: ``held_out`` below 0, or fewer users than the recogniser has folds.
    """
    if held_out < 0:
        raise ValueError(f"held_out must be at least 0, got {held_out}")
    interactions = read_recbole(source)
    train = to_sequences(interactions).without_last(held_out)
    found = recognise_noise(train, config, seed=seed)
    weights = row_weights(interactions, train, found.weights)
    write_text_atomically(Path(destination), "".join(_lines(source, column, weights)))
    return weights


def _lines(source: str | Path, column: str, weights: Tensor) -> Iterator[str]:
    # Not splitlines(), which also cuts at characters that the reader takes for text.
    text = read_bytes(source).decode().split("\n")
    lines = (line.rstrip("\r") for line in text if line.strip())
    header = next(lines)
    if column in (field.rpartition(":")[0] for field in header.split("\t")):
        raise DataError(f"{source}:1: the header names {column!r} already; choose another column")
    yield f"{header}\t{column}:float\n"
    for line, weight in zip(lines, weights.tolist(), strict=True):
        yield f"{line}\t{weight:.6g}\n"
