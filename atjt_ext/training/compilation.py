"""A recommender whose forward pass goes through ``torch.compile``."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import torch

from ..models.protocols import Recommender, SequenceRecommender, predicts_last_position_only

__all__ = ["compiled"]


def compiled(recommender: Recommender) -> Recommender:
    """The same recommender, with ``encode`` or ``score`` compiled: same parameters, own object.

    The recommender itself stays as it is, for evaluation, checkpoints, and whoever owns it. Shapes
    are dynamic: the widths of batches and their number of valid positions vary from step to step.

    Where a size depends on the data (``sequences[sequences != 0]``) the graph breaks, and torch
    says so. Its ``capture_dynamic_output_shape_ops`` mends that for SASRec, but with torch 2.13
    neither DIN nor GRU4Rec then runs.
    """
    if isinstance(recommender, SequenceRecommender):
        view: Any = SimpleNamespace(
            num_items=recommender.num_items,
            encode=torch.compile(recommender.encode, dynamic=True),
            item_table=recommender.item_table,
            last_position_only=predicts_last_position_only(recommender),
        )
        return view  # type: ignore[no-any-return]
    view = SimpleNamespace(
        num_items=recommender.num_items, score=torch.compile(recommender.score, dynamic=True)
    )
    return view  # type: ignore[no-any-return]
