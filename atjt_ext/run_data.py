"""From a file of interactions to what is trained on, ranked and recommended from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from .config import RunConfig
from .data import (
    DataError,
    EvaluationSet,
    Interactions,
    LeaveOneOut,
    Sequences,
    drop_short_users,
    k_core,
    leave_one_out,
    read_interactions,
    shared_features,
    to_sequences,
    with_items,
)
from .data.errors import shown

__all__ = ["everything_known", "load_sequences", "rankable_split"]


def load_sequences(
    path: str | Path,
    config: RunConfig,
    *,
    on_read: Callable[[Interactions], None] | None = None,
) -> Sequences:
    """Reads, filters and orders the interactions of a file, with the features of their items.

    Features that ``item_columns`` does not name are left out, so that nothing learns from them.
    ``on_read`` is called with the interactions as they were read, before any is left out.

    Raises:
        DataError: naming file, line and value of the first thing that does not fit, or the
            features that there are where one of ``item_columns`` is none.
    """
    data = config.data
    interactions = read_interactions(
        path,
        format=data.format,
        user_column=data.user_column,
        item_column=data.item_column,
        time_column=data.time_column,
        rating_column=data.rating_column,
    )
    if on_read is not None:
        on_read(interactions)
    if data.item_file is not None:
        interactions = with_items(interactions, data.item_file)
    interactions = drop_short_users(k_core(interactions, data.k_core), data.min_length)
    sequences = to_sequences(interactions)
    if data.item_columns:
        sequences = replace(sequences, item_features=shared_features(sequences, data.item_columns))
    return sequences.only_last(data.latest) if data.latest else sequences


def rankable_split(sequences: Sequences) -> LeaveOneOut:
    """:func:`leave_one_out` of sequences whose targets can be ranked against something.

    Raises:
        DataError: a user is too short, or has every item that is trained on: none is left to rank
            a target against.
    """
    split = leave_one_out(sequences)
    trained_on = torch.bincount(split.train.items, minlength=sequences.num_items + 1) > 0
    count = int(trained_on.sum())
    for user in (sequences.lengths >= count).nonzero().flatten().tolist():
        items = sequences.items_of(user).unique()
        if int(trained_on[items].sum()) == count:
            raise DataError(
                f"{sequences.source or 'sequences'}: user {shown(sequences.user_ids[user])} has "
                f"all {count} items that are trained on, so no other is left to rank a target "
                "against"
            )
    return split


def everything_known(sequences: Sequences, users: Tensor) -> EvaluationSet:
    """Whole sequences as histories, for recommending what comes next; there are no targets."""
    return EvaluationSet(users, sequences, torch.ones_like(users))
