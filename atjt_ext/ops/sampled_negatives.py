"""Negatives for the losses over sampled items, with their log-probability."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from ._checks import check_integers, check_shape, require_integer
from .keyed_draws import Purpose, keyed_draws, uniform_integers


class SampledNegatives(NamedTuple):
    """Result of :func:`uniform_negatives`."""

    items: Tensor
    """``[N, k]``, or ``[k]`` if shared; int64, in ``1..num_items``."""
    log_probs: float
    """``log q``, for ``negative_log_probs`` of :func:`atjt_ext.ops.sampled_cross_entropy`."""


def uniform_negatives(
    targets: Tensor,
    num_negatives: int,
    *,
    num_items: int,
    seed: int | Tensor,
    step: int | Tensor = 0,
    row_keys: Tensor | None = None,
    shared: bool = False,
) -> SampledNegatives:
    """Draw ``num_negatives`` uniform items for every row, with replacement, never the row's target.

    CPU and CUDA draw the same items, in any batch and any order of rows: see
    :func:`atjt_ext.ops.keyed_draws`.

    Args:
        targets: ``[N]`` int64, items ``1..num_items``. A row that the loss ignores may have any
            target.
        num_negatives: ``k``, at most ``2**23``.
        num_items: Size of the catalogue without padding; below ``2**31``.
        seed, step: As in :func:`atjt_ext.ops.keyed_draws`. Every step has new negatives.
        row_keys: ``[N]`` int64 names of the rows. ``None``: their indices.
        shared: One sample for all rows, from all items; it may contain targets (accidental hits).

    Returns:
        ``items``, and ``log_probs``: ``-log(num_items - 1)``, or ``-log(num_items)`` if shared.

    Raises:
        ValueError: A value out of range, a wrong shape or dtype; ``num_items == 1`` unless shared.
        TypeError: A number that is no integer.

    Example:
        >>> import torch
        >>> from atjt_ext.ops import uniform_negatives
        >>> drawn = uniform_negatives(torch.tensor([2, 1]), 3, num_items=2, seed=0)
        >>> drawn.items
        tensor([[1, 1, 1],
                [2, 2, 2]])
    """
    check_shape("targets", targets, "N")
    check_integers("targets", targets, targets.device)
    require_integer("num_negatives", num_negatives, 0, 2**23 + 1, "in [0, 2**23]")
    least = 1 if shared else 2
    require_integer("num_items", num_items, least, 2**31, f"in [{least}, 2**31)")
    if row_keys is not None and row_keys.shape != targets.shape:
        raise ValueError(
            f"row_keys must be [{len(targets)}] like targets, got shape {tuple(row_keys.shape)}"
        )
    if shared:
        if row_keys is not None:
            raise ValueError("row_keys must be None if shared=True: all rows share the draws")
        row_keys = targets.new_zeros(1)
    elif row_keys is None:
        row_keys = torch.arange(len(targets), device=targets.device)
    draws = keyed_draws(
        row_keys, num_negatives, purpose=Purpose.NEGATIVE_ITEM, seed=seed, step=step
    )
    if shared:
        return SampledNegatives(1 + uniform_integers(draws[0], num_items), -math.log(num_items))
    others = 1 + uniform_integers(draws, num_items - 1)
    items = others + (others >= targets[:, None]).long()
    return SampledNegatives(items, -math.log(num_items - 1))
