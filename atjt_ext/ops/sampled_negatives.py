"""Negatives for the losses over sampled items, with the probability that each had."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from atjt_ext.ops._checks import require_integer
from atjt_ext.ops.keyed_draws import Purpose, keyed_draws, uniform_integers


class SampledNegatives(NamedTuple):
    """What :func:`uniform_negatives` draws."""

    items: Tensor
    """``[N, k]``, or ``[k]`` if shared; int64 in ``1..num_items``."""
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
    """``num_negatives`` uniform items for every row, with replacement, never its target.

    The same on CPU and CUDA, whatever the batch or its order: see
    :func:`atjt_ext.ops.keyed_draws`.

    Args:
        targets: ``[N]`` int64, items ``1..num_items``. In rows that are ignored anything may stand.
        num_negatives: ``k``, at most ``2**23``.
        num_items: Of the catalogue, without padding; below ``2**31``.
        seed, step: As in :func:`atjt_ext.ops.keyed_draws`. Another step, other negatives.
        row_keys: ``[N]`` int64, names the rows. ``None``: their indices.
        shared: One sample for all rows, of all items: there may be accidental hits in it.

    Returns:
        ``items`` and ``log_probs``, the latter ``-log(num_items - 1)`` or, of shared negatives,
        ``-log(num_items)``.

    Raises:
        ValueError: A value out of range, a wrong shape or dtype; a single item, which leaves none
            that is not the target.
        TypeError: No integer where one is wanted.

    Example:
        >>> import torch
        >>> from atjt_ext.ops import uniform_negatives
        >>> drawn = uniform_negatives(torch.tensor([2, 1]), 3, num_items=2, seed=0)
        >>> drawn.items
        tensor([[1, 1, 1],
                [2, 2, 2]])
    """
    if targets.dim() != 1:
        raise ValueError(f"targets must be [N], got shape {tuple(targets.shape)}")
    if targets.dtype != torch.int64:
        raise ValueError(f"targets must be int64, got {targets.dtype}")
    require_integer("num_negatives", num_negatives, 0, 2**23 + 1, "in [0, 2**23]")
    least = 1 if shared else 2
    require_integer("num_items", num_items, least, 2**31, f"in [{least}, 2**31)")
    if row_keys is not None and row_keys.shape != targets.shape:
        raise ValueError(
            f"row_keys must be [{len(targets)}] as targets, got shape {tuple(row_keys.shape)}"
        )
    if shared:
        if row_keys is not None:
            raise ValueError("row_keys must be None where shared=True: no row draws for itself")
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
