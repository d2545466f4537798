"""From a file of interactions to sequences, splits and histories."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from ..data import (
    EvaluationSet,
    Interactions,
    Sequences,
    drop_short_users,
    k_core,
    read_interactions,
    shared_features,
    to_sequences,
    with_items,
)
from .config import RunConfig

__all__ = ["everything_known", "load_sequences"]


def load_sequences(
    path: str | Path,
    config: RunConfig,
    *,
    on_read: Callable[[Interactions], None] | None = None,
) -> Sequences:
    """Reads, filters and orders the interactions of a file, with the features of their items.

    Features that ``item_columns`` does not name are left out.

    Args:
        path: the file.
        config: its ``data`` part holds the options of reading and filtering.
        on_read: called with the interactions of the file, before any are left out.

    Raises:
        DataError: a line does not fit (the message has file, line and value), or one of
            ``item_columns`` is no feature (the message lists the features).
    """
    data = config.data
    columns = {
        f"{kind}_column": getattr(data, f"{kind}_column")
        for kind in ("user", "item", "time", "rating", "weight")
    }
    interactions = read_interactions(path, format=data.format, quoting=data.quoting, **columns)
    if on_read is not None:
        on_read(interactions)
    if data.item_file is not None:
        interactions = with_items(interactions, data.item_file)
    interactions = drop_short_users(k_core(interactions, data.k_core), data.min_length)
    sequences = to_sequences(interactions)
    if data.item_columns:
        sequences = replace(sequences, item_features=shared_features(sequences, data.item_columns))
    return sequences.only_last(data.latest) if data.latest else sequences


def everything_known(sequences: Sequences, users: Tensor) -> EvaluationSet:
    """Whole sequences as histories, to recommend the next item; the targets are placeholders."""
    return EvaluationSet(users, sequences, torch.ones_like(users))
