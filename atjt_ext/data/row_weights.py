"""Weights of interactions as a table, and as a column of the table that they were read from."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import polars as pl
import torch
from torch import Tensor

from .errors import DataError, listed, shown
from .interactions import Interactions, positions_in_sequences
from .sequences import Sequences

__all__ = ["row_weights", "weights_from_table", "weights_table"]

_UNKNOWN, _OTHER_ITEM = -1, -2
_COLUMNS = ("user", "item", "position", "weight")


def weights_table(sequences: Sequences, weights: Tensor) -> pl.DataFrame:
    """Weights ``[N]`` of the interactions of ``sequences`` under the ids of the data.

    Returns:
        ``user`` and ``item`` (String), ``position`` (Int64, in the user's sequence, from 0) and
        ``weight`` (Float32), in the order of ``sequences.items``.

    Raises:
        ValueError: weights of another shape, or not finite and at least 0.
    """
    values = _checked(weights, sequences)
    lengths = sequences.lengths.cpu()
    users = torch.repeat_interleave(lengths)
    positions = torch.arange(len(users)) - sequences.offsets.cpu()[users]
    return pl.DataFrame(
        {
            "user": _named(users, sequences.user_ids),
            "item": _named(sequences.items.cpu() - 1, sequences.item_ids),
            "position": positions.numpy(),
            "weight": values.numpy(),
        }
    )


def weights_from_table(sequences: Sequences, table: pl.DataFrame) -> Tensor:
    """The inverse of :func:`weights_table`: ``[N]`` float32, whatever the order of the rows.

    Args:
        sequences: whose interactions they are.
        table: columns ``user``, ``item``, ``position`` and ``weight``; others are not read.

    Raises:
        DataError: a column is missing or of another type, or a row is not an interaction of
            ``sequences``, or one of those has no row or two.
        ValueError: weights that are not finite and at least 0.
    """
    missing = [name for name in _COLUMNS if name not in table.columns]
    if missing:
        raise DataError(f"weights need columns {listed(_COLUMNS)}, {listed(missing)} missing")
    position, weight = table.schema["position"], table.schema["weight"]
    if not (position.is_integer() or position == pl.Null) or not weight.is_numeric():
        raise DataError(
            "weights: position must be a column of integers and weight one of numbers, "
            f"got {position} and {weight}"
        )
    positions = table["position"].cast(pl.Int64).fill_null(-1).to_numpy()
    places = _places(sequences, table["user"], table["item"], positions)
    unknown = np.flatnonzero(places < 0)
    if len(unknown):
        raise DataError(
            f"weights: row {unknown[0] + 1} is no interaction of the sequences: "
            + _shown_row(table, int(unknown[0]))
        )
    rows = np.bincount(places, minlength=sequences.num_interactions)
    wrong = np.flatnonzero(rows != 1)
    if len(wrong):
        owner = int(torch.searchsorted(sequences.offsets.cpu(), int(wrong[0]), right=True)) - 1
        raise DataError(
            f"weights: every interaction needs one row, user {shown(sequences.user_ids[owner])} "
            f"position {wrong[0] - int(sequences.offsets[owner])} has {rows[wrong[0]]}"
        )
    values = torch.empty(sequences.num_interactions)
    given = table["weight"].cast(pl.Float32).fill_null(float("nan")).to_numpy(writable=True)
    values[torch.from_numpy(places)] = torch.from_numpy(given)
    return _checked(values, sequences)


def row_weights(
    interactions: Interactions, sequences: Sequences, weights: Tensor, *, otherwise: float = 1.0
) -> Tensor:
    """Weights ``[N]`` of ``sequences`` for the rows of the frame that these were made from.

    Args:
        interactions: what ``to_sequences`` read; row ``i`` of the result belongs to row ``i`` of
            its frame, and so to that of the table given to ``interactions_from_frame``.
        sequences: made of ``interactions``, whole or cut at the end (``leave_one_out(...).train``,
            ``without_last``).
        weights: ``[N]``, of the interactions of ``sequences``.
        otherwise: of rows that are not in ``sequences``: what was held out was not judged.

    Returns:
        ``[rows]`` float32.

    Raises:
        DataError: ``sequences`` were not made of ``interactions``: an item stands elsewhere.
        ValueError: as :func:`weights_table`.
    """
    values = _checked(weights, sequences)
    frame = interactions.frame
    positions = positions_in_sequences(interactions)
    places = _places(sequences, frame["user"], frame["item"], positions)
    moved = np.flatnonzero(places == _OTHER_ITEM)
    found = int((places >= 0).sum())
    if len(moved) or found != sequences.num_interactions:
        row = f"; row {moved[0] + 1}: {_shown_row(frame, int(moved[0]))}" if len(moved) else ""
        raise DataError(
            f"sequences must be those of the interactions, cut at the end at most: "
            f"{found} of {sequences.num_interactions} interactions found in place{row}"
        )
    result = torch.full((len(frame),), otherwise)
    judged = torch.from_numpy(places >= 0)
    result[judged] = values[torch.from_numpy(places)[judged]]
    return result


def _places(
    sequences: Sequences, users: pl.Series, items: pl.Series, positions: npt.NDArray[np.int64]
) -> npt.NDArray[np.int64]:
    """Where each row lies in ``sequences.items``; ``_UNKNOWN`` or ``_OTHER_ITEM`` where nowhere."""
    offsets, known = sequences.offsets.cpu().numpy(), sequences.items.cpu().numpy()
    owner = _codes_of(users, sequences.user_ids)
    # A user too many, of length 0, for those who are unknown.
    lengths = np.append(np.diff(offsets), 0)[owner]
    inside = (positions >= 0) & (positions < lengths)
    places = np.where(inside, np.append(offsets[:-1], 0)[owner] + positions, _UNKNOWN)
    own = known[places[inside]] - 1 if len(known) else known
    there = own == _codes_of(items, sequences.item_ids)[inside]
    places[np.flatnonzero(inside)[~there]] = _OTHER_ITEM
    return places


def _codes_of(ids: pl.Series, known: list[str]) -> npt.NDArray[np.int64]:
    """The place of each id in ``known``, -1 for others."""
    codes = pl.DataFrame({"id": known, "code": np.arange(len(known))})
    rows = pl.DataFrame({"id": ids.cast(pl.String), "row": np.arange(len(ids))})
    found = rows.join(codes, on="id", how="left").sort("row")
    places: npt.NDArray[np.int64] = found["code"].fill_null(-1).cast(pl.Int64).to_numpy()
    return places


def _named(codes: Tensor, ids: list[str]) -> pl.Series:
    return pl.Series(ids, dtype=pl.String).gather(codes.numpy())


def _checked(weights: Tensor, sequences: Sequences) -> Tensor:
    """``weights`` as float32 on the CPU."""
    if weights.shape != (sequences.num_interactions,):
        raise ValueError(
            f"weights must be [{sequences.num_interactions}], one per interaction, "
            f"got {list(weights.shape)}"
        )
    values = weights.detach().cpu().float()
    if not bool((values.isfinite() & (values >= 0)).all()):
        raise ValueError("weights must be finite and at least 0")
    return values


def _shown_row(frame: pl.DataFrame, row: int) -> str:
    wanted = [name for name in ("user", "item", "position") if name in frame.columns]
    return ", ".join(f"{name} {shown(frame[name][row])}" for name in wanted)
