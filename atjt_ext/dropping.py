"""WEIGH by leaving out: interactions of low weight are not trained on."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from .data import Sequences

__all__ = ["kept", "without_dropped"]


def kept(sequences: Sequences, weights: Tensor, *, below: float) -> Tensor:
    """``[N]`` bool: the interactions whose weight is not ``below``.

    Everybody keeps one interaction at least: the cleanest, and among equals the latest.

    Args:
        sequences: whose interactions they are.
        weights: ``[N]`` float32, on the device of ``sequences``.
        below: weights from there on stay.
    """
    owner = torch.repeat_interleave(sequences.lengths)
    best = weights.new_zeros(sequences.num_users).scatter_reduce(0, owner, weights, "amax")
    place = torch.where(weights == best[owner], torch.arange(len(owner), device=owner.device), -1)
    latest = place.new_full((sequences.num_users,), -1).scatter_reduce(0, owner, place, "amax")
    keep = weights >= below
    keep[latest[latest >= 0]] = True
    return keep


def without_dropped(sequences: Sequences, *, below: float) -> Sequences:
    """The sequences without what their own ``weights`` drop; those that stay count alike.

    Raises:
        ValueError: they carry no weights.
    """
    if sequences.weights is None:
        raise ValueError("sequences must carry weights to drop by, got None")
    keep = kept(sequences, sequences.weights, below=below)
    return replace(sequences.where(keep), weights=None)
