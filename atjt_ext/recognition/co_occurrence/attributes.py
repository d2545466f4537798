"""What is known of items beside who has them, as vectors: categories, genres, brands."""

from __future__ import annotations

import torch

from ...data import Sequences, shared_features
from .events import Floats
from .low_rank import unit_vectors

__all__ = ["attribute_vectors"]


def attribute_vectors(sequences: Sequences, dimension: int, *, seed: int) -> Floats | None:
    """``[num_items + 1, D]`` unit vectors, alike where items share rare attributes.

    Every value of every feature that items share is a column, weighed by ``log((V + 1) / how many
    items have it)``: a genre that half of the items have says little of which go together.

    Args:
        sequences: whose ``item_features``.
        dimension: D at most.
        seed: of the randomised SVD.

    Returns:
        None where no attribute is known that items share.
    """
    rows, columns, width = [], [], 0
    for feature in shared_features(sequences).values():
        rows.append(torch.repeat_interleave(feature.offsets.diff()))
        columns.append(feature.codes - 1 + width)
        width += feature.num_values
    if not width:
        return None
    # Once each: an item may be listed twice in a category.
    row, column = torch.stack([torch.cat(rows), torch.cat(columns)]).unique(dim=1)
    size = sequences.num_items + 1
    # Of an item and padding every value is missing somewhere, so that weights are above 0.
    weight = (size / torch.bincount(column, minlength=width)).log()
    matrix = torch.sparse_coo_tensor(
        torch.stack([row, column]), weight[column], (size, width), check_invariants=True
    ).coalesce()
    return unit_vectors(matrix.float(), dimension, seed=seed)
