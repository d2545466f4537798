"""Weights known before training: the interactions that they drop, and the weights of histories."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from .sequences import Sequences


def kept(sequences: Sequences, weights: Tensor, *, below: float) -> Tensor:
    """``[N]`` bool: the interactions whose weight (``[N]`` float32) is not below ``below``.

    Every user also keeps the latest interaction of the user's highest weight.
    """
    owner = sequences.owners
    best = weights.new_zeros(sequences.num_users).scatter_reduce(0, owner, weights, "amax")
    place = torch.where(weights == best[owner], torch.arange(len(owner), device=owner.device), -1)
    latest = place.new_full((sequences.num_users,), -1).scatter_reduce(0, owner, place, "amax")
    keep = weights >= below
    keep[latest[latest >= 0]] = True
    return keep


def without_dropped(sequences: Sequences, *, below: float) -> Sequences:
    """The interactions that ``sequences.weights`` keep (:func:`kept`), without weights.

    Raises:
        ValueError: if the sequences have no weights.
    """
    if sequences.weights is None:
        raise ValueError("sequences must have weights to drop by, got None")
    keep = kept(sequences, sequences.weights, below=below)
    return replace(sequences.where(keep), weights=None)


def extended_weights(train: Sequences, weights: Tensor, histories: Sequences) -> Tensor:
    """Weights for ``histories``: as in training, and 1 for later interactions.

    A history is compared with its user's training sequence item by item. From the first item that
    differs, its weights are 1.

    Args:
        train: The training sequences.
        weights: ``[N]``, the weights of the training interactions.
        histories: ``M`` interactions of the same users.

    Returns:
        ``[M]``, on the device of ``histories``.

    Raises:
        ValueError: if ``histories`` have other users or another catalogue.
    """
    train.require_ids(histories, "histories", "trained on")
    device = histories.device
    offsets, items = train.offsets.to(device), train.items.to(device)
    owner, place = histories.owners, histories.positions
    trained_on = (place < offsets.diff()[owner]).nonzero().flatten()
    source = offsets[owner[trained_on]] + place[trained_on]
    same = items[source] == histories.items[trained_on]
    # Position of the first item that differs, for each user.
    differs = place.new_full((histories.num_users,), len(owner)).scatter_reduce(
        0, owner[trained_on[~same]], place[trained_on[~same]], "amin"
    )
    same &= place[trained_on] < differs[owner[trained_on]]
    result = torch.ones(len(owner), dtype=weights.dtype, device=device)
    result[trained_on[same]] = weights.to(device)[source[same]]
    return result
