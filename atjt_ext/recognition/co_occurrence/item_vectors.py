"""Short item vectors: the randomised SVD of a sparse table, and the table of attributes."""

from __future__ import annotations

import torch
from torch import Tensor

from ...data import Sequences, shared_features
from .events import Floats

__all__ = ["attribute_vectors", "unit_vectors"]


def unit_vectors(matrix: Tensor, dimension: int, *, seed: int) -> Floats:
    """Unit vectors of the rows, ``[rows, min(dimension, rows, columns)]`` float32.

    The left factor of a randomised SVD (Halko et al., arXiv:0909.4061) times the square roots of
    the singular values, normalised: similar rows get similar vectors. A row of zeros gets zeros.

    ``matrix [rows, columns]`` is float32, coalesced sparse COO without stored zeros; ``seed``
    decides the random projection.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        left, singular, _ = torch.svd_lowrank(matrix, q=min(dimension, *matrix.shape), niter=2)
    units = torch.nn.functional.normalize(left * singular.sqrt(), dim=1)
    # Empty rows hold rounding errors here, which normalising would blow up to unit length.
    filled = torch.zeros(len(matrix), dtype=torch.bool)
    filled[matrix.indices()[0]] = True
    return torch.where(filled[:, None], units, 0.0).numpy()


def attribute_vectors(sequences: Sequences, dimension: int, *, seed: int) -> Floats | None:
    """``[num_items + 1, D]`` float32 unit vectors; items that share rare attributes are similar.

    The table has one column per value of every feature that items share (categories, genres,
    brands), weighted by ``log((num_items + 1) / count)``: a genre that half of the items have
    hardly shows which items go together.

    D is at most ``dimension``, ``seed`` decides the randomised SVD. None if items share no
    attribute.
    """
    rows, columns, width = [], [], 0
    for feature in shared_features(sequences).values():
        rows.append(torch.repeat_interleave(feature.offsets.diff()))
        columns.append(feature.codes - 1 + width)
        width += feature.num_values
    if not width:
        return None
    # A file may list an item twice in a category: count it once.
    row, column = torch.stack([torch.cat(rows), torch.cat(columns)]).unique(dim=1)
    size = sequences.num_items + 1
    # The padding row has no values, so every count is below `size` and every weight above 0.
    weight = (size / torch.bincount(column, minlength=width)).log()
    matrix = torch.sparse_coo_tensor(
        torch.stack([row, column]), weight[column], (size, width), check_invariants=True
    ).coalesce()
    return unit_vectors(matrix.float(), dimension, seed=seed)
