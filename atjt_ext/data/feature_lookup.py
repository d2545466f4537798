"""Features of the items of sequences, chosen by name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from .errors import DataError, at, listed, shown
from .features import ItemFeature
from .sequences import Sequences


def item_feature_table(
    sequences: Sequences, names: Sequence[str], *, pick: Literal["first", "last"] = "first"
) -> Tensor:
    """The lookup table of models with side features: one value of each feature per item.

    Args:
        sequences: Have the ``item_features``.
        names: ``F`` names of features.
        pick: The value of an item with several values. Amazon's categories go from general to
            special, so their last is the finest.

    Returns:
        ``[num_items + 1, F]`` int64: row 0 (padding) and missing values are 0; the values of
        feature ``f`` are ``1 .. sequences.item_features[names[f]].num_values``.

    Raises:
        DataError: if there is no such feature; names the features there are.
        ValueError: if ``names`` is empty, or ``pick`` is neither first nor last.
    """
    if pick not in ("first", "last"):
        raise ValueError(f"pick must be first or last, got {pick!r}")
    if not names:
        raise ValueError("names must name at least one feature, got none")
    return torch.stack([_named(sequences, name).one(pick) for name in names], dim=1)


def shared_features(sequences: Sequences, names: Sequence[str] = ()) -> dict[str, ItemFeature]:
    """The features ``names`` of the items; without names, all features whose values items share.

    A feature whose values belong to fewer than two items on average (a title) adds nothing to the
    item's own embedding.

    Raises:
        DataError: if there is no such feature; names the features there are.
    """
    if names:
        return {name: _named(sequences, name) for name in names}
    return {
        name: feature
        for name, feature in sequences.item_features.items()
        if feature.codes.numel() >= 2 * feature.num_values > 0
    }


def _named(sequences: Sequences, name: str) -> ItemFeature:
    if name not in sequences.item_features:
        known = listed(sequences.item_features) or "none: read a folder with a table of items"
        place = at(sequences.source)
        raise DataError(f"{place}no item feature {shown(name)}; there are {known}")
    return sequences.item_features[name]
