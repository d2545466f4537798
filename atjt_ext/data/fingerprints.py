"""Digests of the parts of sequences, to tell whether two of them hold the same data."""

from __future__ import annotations

import hashlib
import json

from torch import Tensor

from .sequences import Sequences

__all__ = ["different_parts", "fingerprints"]


def fingerprints(sequences: Sequences) -> dict[str, str]:
    """A digest of each part of ``sequences``, by the name that messages give the part.

    Equal digests mean the same data, wherever they were read. ``source`` has no digest.
    """
    features = sequences.item_features
    parts: dict[str, list[list[str] | Tensor | None]] = {
        "catalogue": [sequences.item_ids],
        "users": [sequences.user_ids],
        "borders between users": [sequences.offsets],
        "interactions": [sequences.items],
        "known noise": [sequences.is_noise],
        "weights": [sequences.weights],
        "items' features": [
            [*features],
            *(part for one in features.values() for part in (one.values, one.offsets, one.codes)),
        ],
    }
    return {name: _digest(values) for name, values in parts.items()}


def different_parts(one: Sequences, other: Sequences) -> list[str]:
    """The names of the parts in which ``one`` and ``other`` differ."""
    mine, theirs = fingerprints(one), fingerprints(other)
    return [name for name in mine if mine[name] != theirs[name]]


def _digest(values: list[list[str] | Tensor | None]) -> str:
    digest = hashlib.sha256()
    for value in values:
        if isinstance(value, Tensor):
            data = value.cpu().contiguous().numpy()
            # Without the size, two tensors in a row could share a digest with two others.
            digest.update(f"{data.dtype} {data.shape}".encode())
            digest.update(data.data)
        else:
            digest.update(json.dumps(value).encode())
    return digest.hexdigest()
