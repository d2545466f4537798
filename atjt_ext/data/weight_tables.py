"""Weights of interactions as a table, or as a column beside the rows that were read."""

from __future__ import annotations

import numpy as np
import polars as pl
import torch
from torch import Tensor

from .catalogue import Codes
from .errors import DataError, listed, shown
from .interactions import Interactions, positions_in_sequences
from .sequences import Sequences

_UNKNOWN, _OTHER_ITEM = -1, -2
_COLUMNS = ("user", "item", "position", "weight")


def weights_table(sequences: Sequences, weights: Tensor) -> pl.DataFrame:
    """Weights ``[N]`` of the interactions of ``sequences``, under the ids of the data.

    Returns:
        ``user`` and ``item`` (String), ``position`` (Int64, in the user's sequence, from 0) and
        ``weight`` (Float32); rows in the order of ``sequences.items``.

    Raises:
        ValueError: if ``weights`` have another shape, or a weight is negative or not finite.
    """
    values = _checked(weights, sequences)
    return pl.DataFrame(
        {
            "user": _named(sequences.owners.cpu(), sequences.user_ids),
            "item": _named(sequences.items.cpu() - 1, sequences.item_ids),
            "position": sequences.positions.cpu().numpy(),
            "weight": values.numpy(),
        }
    )


def weights_from_table(sequences: Sequences, table: pl.DataFrame) -> Tensor:
    """The inverse of :func:`weights_table`: ``[N]`` float32 from rows in any order.

    Raises:
        DataError: if a column is missing or has another type, if a row is no interaction of
            ``sequences``, or if an interaction does not have exactly one row.
        ValueError: if a weight is negative or not finite.
    """
    if missing := [name for name in _COLUMNS if name not in table.columns]:
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
        place = int(wrong[0])
        user = sequences.user_ids[int(sequences.owners[place])]
        raise DataError(
            f"weights: every interaction needs one row, user {shown(user)} "
            f"position {int(sequences.positions[place])} has {rows[place]}"
        )
    values = torch.empty(sequences.num_interactions)
    given = table["weight"].cast(pl.Float32).fill_null(float("nan")).to_numpy(writable=True)
    values[torch.from_numpy(places)] = torch.from_numpy(given)
    return _checked(values, sequences)


def row_weights(
    interactions: Interactions, sequences: Sequences, weights: Tensor, *, otherwise: float = 1.0
) -> Tensor:
    """Weights ``[N]`` of ``sequences``, in the order of the rows that were read.

    Args:
        interactions: The interactions that ``to_sequences`` got.
        sequences: Made from ``interactions``: whole, or cut at the end as
            ``leave_one_out(...).train`` and ``without_last`` are.
        weights: ``[N]``, of the interactions of ``sequences``.
        otherwise: Weight of rows that are not in ``sequences``, such as held-out interactions.

    Returns:
        ``[rows]`` float32; row ``i`` belongs to row ``i`` of ``interactions.frame``, and of the
        table given to ``interactions_from_frame``.

    Raises:
        DataError: if ``sequences`` were not made from ``interactions``.
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
            f"sequences must be made from the interactions, and cut at the end at most: "
            f"{found} of {sequences.num_interactions} interactions found in place{row}"
        )
    result = torch.full((len(frame),), otherwise)
    judged = torch.from_numpy(places >= 0)
    result[judged] = values[torch.from_numpy(places)[judged]]
    return result


def _places(sequences: Sequences, users: pl.Series, items: pl.Series, positions: Codes) -> Codes:
    """``[rows]``: the index of each row in ``sequences.items``, ``_UNKNOWN`` or ``_OTHER_ITEM``."""
    offsets, known = sequences.offsets.cpu().numpy(), sequences.items.cpu().numpy()
    owner = _codes_of(users, sequences.user_ids)
    # Unknown users have code -1: the user of length 0 appended here.
    lengths = np.append(np.diff(offsets), 0)[owner]
    inside = (positions >= 0) & (positions < lengths)
    places = np.where(inside, np.append(offsets[:-1], 0)[owner] + positions, _UNKNOWN)
    own = known[places[inside]] - 1 if len(known) else known
    there = own == _codes_of(items, sequences.item_ids)[inside]
    places[np.flatnonzero(inside)[~there]] = _OTHER_ITEM
    return places


def _codes_of(ids: pl.Series, known: list[str]) -> Codes:
    """``[rows]``: the index of each id in ``known``; -1 for unknown ids."""
    codes = pl.DataFrame({"id": known, "code": np.arange(len(known))})
    rows = pl.DataFrame({"id": ids.cast(pl.String), "row": np.arange(len(ids))})
    found = rows.join(codes, on="id", how="left").sort("row")
    places: Codes = found["code"].fill_null(-1).cast(pl.Int64).to_numpy()
    return places


def _named(codes: Tensor, ids: list[str]) -> pl.Series:
    return pl.Series(ids, dtype=pl.String).gather(codes.numpy())


def _checked(weights: Tensor, sequences: Sequences) -> Tensor:
    """``weights`` as float32 on the CPU, checked."""
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
    wanted = [name for name in _COLUMNS[:3] if name in frame.columns]
    return ", ".join(f"{name} {shown(frame[name][row])}" for name in wanted)
