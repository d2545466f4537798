"""WEIGH by leaving out: interactions of low weight are not trained on."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from .data import Sequences

__all__ = ["kept", "without_dropped"]


def kept(sequences: Sequences, weights: Tensor, *, below: float) -> Tensor:
    """``[N]`` bool: the interactions whose weight is not ``below``.

    Everybody keeps the cleanest one, however low its weight.

    Args:
        sequences: whose interactions they are.
        weights: ``[N]`` float32, on the device of ``sequences``.
        below: weights from there on stay.
    """
    owner = torch.repeat_interleave(sequences.lengths)
    best = weights.new_zeros(sequences.num_users).scatter_reduce(0, owner, weights, "amax")
    return (weights >= below) | (weights == best[owner])


def without_dropped(sequences: Sequences, *, below: float) -> Sequences:
    """The sequences without what their own ``weights`` drop; those that stay count alike.

    Raises:
        ValueError: they carry no weights.
    """
    if sequences.weights is None:
        raise ValueError("sequences must carry weights to drop by, got None")
    keep = kept(sequences, sequences.weights, below=below)
    return replace(sequences.where(keep), weights=None)
