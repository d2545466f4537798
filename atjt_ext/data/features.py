"""Categorical features of items: genres, categories, brands, cities."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import polars as pl
import torch
from torch import Tensor

from .errors import DataError, listed, shown

if TYPE_CHECKING:
    from .sequences import Sequences


@dataclass(frozen=True, eq=False)
class ItemFeature:
    """The values of one feature, any number of them per item, in compressed sparse rows.

    Item code ``i`` has the value codes ``codes[offsets[i] : offsets[i + 1]]``, in the order of the
    data. Row 0, padding, has none. Value codes are ``1 .. num_values``; 0 means "no value".

    Args:
        values: The value of each code; code ``c`` is ``values[c - 1]``.
        offsets: ``[num_items + 2]`` int64, from 0 to ``N``, never falling.
        codes: ``[N]`` int64.

    Raises:
        ValueError: where the parts do not fit together.
    """

    values: list[str]
    offsets: Tensor
    codes: Tensor

    def __post_init__(self) -> None:
        for name, tensor in (("offsets", self.offsets), ("codes", self.codes)):
            if tensor.dim() != 1 or tensor.dtype != torch.int64:
                raise ValueError(
                    f"{name} must be 1-D torch.int64, got {list(tensor.shape)} {tensor.dtype}"
                )
        ends = self.offsets.tolist()[:2] + self.offsets.tolist()[-1:]
        if len(self.offsets) < 2 or ends != [0, 0, self.codes.numel()]:
            raise ValueError(
                f"offsets must be 0, 0, ..., {self.codes.numel()} (row 0 is padding), got {ends}"
            )
        if bool((self.offsets.diff() < 0).any()):
            raise ValueError("offsets must never fall")
        if self.codes.numel():
            low, high = int(self.codes.min()), int(self.codes.max())
            if low < 1 or high > self.num_values:
                raise ValueError(f"codes must be in 1..{self.num_values}, got {low}..{high}")

    @property
    def num_items(self) -> int:
        """Size of the catalogue, padding not counted."""
        return self.offsets.numel() - 2

    @property
    def num_values(self) -> int:
        return len(self.values)

    def one(self, pick: Literal["first", "last"] = "first") -> Tensor:
        """``[num_items + 1]`` int64, the first or last value code of each item; 0 where none."""
        starts, ends = self.offsets[:-1], self.offsets[1:]
        at = starts if pick == "first" else ends - 1
        # A last 0 to point at, for items without a value.
        padded = torch.cat([self.codes, self.codes.new_zeros(1)])
        return padded[torch.where(ends > starts, at, len(self.codes))]

    def multi_hot(self) -> Tensor:
        """``[num_items + 1, num_values + 1]`` bool, which values each item has.

        Column 0 ("no value") is false throughout, so that columns are value codes.
        """
        hot = torch.zeros(
            self.num_items + 1, self.num_values + 1, dtype=torch.bool, device=self.codes.device
        )
        hot[torch.repeat_interleave(self.offsets.diff()), self.codes] = True
        return hot

    def to(self, device: torch.device | str) -> ItemFeature:
        """The same feature with its tensors on ``device``."""
        return replace(self, offsets=self.offsets.to(device), codes=self.codes.to(device))


def item_feature_table(
    sequences: Sequences, names: Sequence[str], *, pick: Literal["first", "last"] = "first"
) -> Tensor:
    """One value of each named feature per item: the lookup table of models with side features.

    Args:
        sequences: Whose ``item_features``.
        names: ``F`` of them.
        pick: Which value of an item that has several: the first, or the last (the finest one
            where they go from general to special, as Amazon's categories do).

    Returns:
        ``[num_items + 1, F]`` int64: row 0 (padding) and missing values are 0; the values of
        feature ``f`` are ``1 .. sequences.item_features[names[f]].num_values``, each feature
        counted for itself.

    Raises:
        DataError: if there is no such feature; names those there are.
        ValueError: if no feature is named, or ``pick`` is something else.
    """
    if pick not in ("first", "last"):
        raise ValueError(f"pick must be first or last, got {pick!r}")
    if not names:
        raise ValueError("names must name at least one feature, got none")
    return torch.stack([_named(sequences, name).one(pick) for name in names], dim=1)


def same_features(one: Mapping[str, ItemFeature], other: Mapping[str, ItemFeature]) -> bool:
    """Whether both have the same features, in the same order."""
    return list(one) == list(other) and all(
        mine.values == theirs.values
        and mine.offsets.cpu().equal(theirs.offsets.cpu())
        and mine.codes.cpu().equal(theirs.codes.cpu())
        for mine, theirs in zip(one.values(), other.values(), strict=True)
    )


def shared_features(sequences: Sequences, names: Sequence[str] = ()) -> dict[str, ItemFeature]:
    """The features ``names`` of the items; without names, all whose values items share.

    Values that belong to less than two items on average (titles) tell a model nothing that the
    item's own embedding does not.

    Raises:
        DataError: if there is no such feature; names those there are.
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
        place = f"{sequences.source}: " if sequences.source else ""
        known = listed(sequences.item_features) or "none: read a folder with a table of items"
        raise DataError(f"{place}no item feature {shown(name)}; there are {known}")
    return sequences.item_features[name]


def item_features(items: pl.DataFrame, item_ids: list[str]) -> dict[str, ItemFeature]:
    """The categorical columns of ``Interactions.items`` (String, List(String)) for a catalogue.

    Value codes go by first appearance over the catalogue. Empty values and null count as none;
    columns of other types are left out.

    Args:
        items: With a column ``item``.
        item_ids: The catalogue; item code ``c`` is ``item_ids[c - 1]``.
    """
    catalogue = pl.DataFrame({"item": pl.Series(item_ids, dtype=pl.String)})
    rows = catalogue.join(items, on="item", how="left", maintain_order="left")
    return {
        column: _feature(rows[column])
        for column, dtype in items.schema.items()
        if column != "item" and dtype in (pl.String, pl.List(pl.String))
    }


def _feature(column: pl.Series) -> ItemFeature:
    rows = pl.DataFrame({"value": column}).with_row_index("row")
    if column.dtype != pl.String:
        rows = rows.explode("value")
    rows = rows.filter(pl.col("value").str.strip_chars() != "")  # null compares as null: dropped
    values = rows["value"].unique(maintain_order=True)
    codes = rows["value"].cast(pl.Enum(values)).to_physical().cast(pl.Int64) + 1
    counts = torch.bincount(_tensor(rows["row"].cast(pl.Int64)), minlength=len(column))
    offsets = torch.cat([counts.new_zeros(2), counts.cumsum(0)])
    return ItemFeature(values.to_list(), offsets, _tensor(codes))


def _tensor(column: pl.Series) -> Tensor:
    return torch.from_numpy(column.to_numpy(writable=True))
