"""WEIGH by what is known before training: histories under weights, or without what they drop."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from . import Sequences

__all__ = ["extended_weights", "kept", "without_dropped"]


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


def extended_weights(train: Sequences, weights: Tensor, histories: Sequences) -> Tensor:
    """Weights ``[M]`` of ``histories``: those that their interactions had in training, and ones.

    Args:
        train: training sequences.
        weights: ``[N]``, of the training interactions.
        histories: of the same users. What is not the continuation of a training sequence has no
            weights to go by: ones from the first item on that differs in place.

    Raises:
        ValueError: other users or another catalogue.
    """
    train.require_ids(histories, "histories", "trained on")
    device = histories.device
    offsets, items = train.offsets.to(device), train.items.to(device)
    owner = torch.repeat_interleave(histories.lengths)
    place = torch.arange(len(owner), device=device) - histories.offsets[owner]
    trained_on = (place < (offsets[1:] - offsets[:-1])[owner]).nonzero().flatten()
    source = offsets[owner[trained_on]] + place[trained_on]
    same = items[source] == histories.items[trained_on]
    # Whoever differs somewhere is no continuation from there on.
    differs = place.new_full((histories.num_users,), len(owner)).scatter_reduce(
        0, owner[trained_on[~same]], place[trained_on[~same]], "amin"
    )
    same &= place[trained_on] < differs[owner[trained_on]]
    result = torch.ones(len(owner), dtype=weights.dtype, device=device)
    result[trained_on[same]] = weights.to(device)[source[same]]
    return result
