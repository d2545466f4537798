"""Large sparse tables of what items have, as short vectors of items."""

from __future__ import annotations

import torch
from torch import Tensor

from .events import Floats


def unit_vectors(matrix: Tensor, dimension: int, *, seed: int) -> Floats:
    """``[rows, min(dimension, rows, columns)]`` of unit length, alike where rows are.

    The left factor of a randomised SVD (Halko et al., arXiv:0909.4061) times the square roots of
    the singular values; rows of zeros stay zero.

    Args:
        matrix: ``[rows, columns]`` float32, coalesced sparse COO without stored zeros.
        dimension: at least 1.
        seed: decides the random projection.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        left, singular, _ = torch.svd_lowrank(matrix, q=min(dimension, *matrix.shape), niter=2)
    vectors = left * singular.sqrt()
    units = torch.nn.functional.normalize(vectors, dim=1)
    # By the entries, not by the length: of nothing but rounding, a vector would be made.
    filled = torch.zeros(len(matrix), dtype=torch.bool)
    filled[matrix.indices()[0]] = True
    return torch.where(filled[:, None], units, 0.0).numpy()
