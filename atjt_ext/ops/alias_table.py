"""The table from which :func:`random_replacement` draws items by weight, e.g. by popularity."""

from __future__ import annotations

import torch
from torch import Tensor

from ._native import _C


def alias_table(weights: Tensor) -> Tensor:
    """A table that draws item ``i + 1`` with probability ``weights[i] / weights.sum()``.

    For the paper's negatives, popularity to the power of 0.75, call
    ``alias_table(counts.double() ** 0.75)``.

    The alias method (Walker 1977; Vose 1991) in integers: weights become integer masses that sum to
    ``num_items * 2**32``, and the table holds every mass exactly, so that CPU and CUDA draw the
    same items. An item of weight 0 is never drawn. An item may also have mass 0 if its weight is
    below ``2**-32`` of the mean. The CPU builds the table in time proportional to ``num_items``.

    Args:
        weights: ``[num_items]`` float64 of items ``1..num_items``, ``>= 0``, finite, not all 0.

    Returns:
        ``[num_items]`` int64 on the device of ``weights``. The upper 32 bits of a slot are the mass
        of its own item, the lower 32 bits the index of the item that fills the rest of the slot.

    Raises:
        ValueError: A wrong shape, dtype or weight.

    Example:
        >>> import torch
        >>> from atjt_ext.ops import alias_table, random_replacement
        >>> table = alias_table(torch.tensor([0.0, 3.0, 1.0], dtype=torch.float64))
        >>> ones = torch.ones(2, 4, dtype=torch.int64)
        >>> noisy = random_replacement(
        ...     ones, num_items=3, alias_table=table, replace_ratio=1.0, seed=0
        ... )
        >>> int(noisy.sequences.min())  # the original is 1, which has no weight either
        2
    """
    if weights.dim() != 1 or not 1 <= len(weights) < 2**31:
        raise ValueError(
            f"weights must be [num_items], 1 <= num_items < 2**31, got shape {tuple(weights.shape)}"
        )
    if weights.dtype != torch.float64:
        raise ValueError(f"weights must be float64, got {weights.dtype}")
    table = torch.empty(weights.shape, dtype=torch.int64)
    _C.alias_table(weights.detach().cpu().contiguous(), out=table)
    return table.to(weights.device)
