"""Columns of text as integer codes: the ids of users and items, and the features of items."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import polars as pl
import torch

from .features import ItemFeature

Codes = npt.NDArray[np.int64]


def codes_by_appearance(values: pl.Series) -> tuple[Codes, list[str]]:
    """Codes of text: ``[rows]`` from 0 by first appearance, and the text of each code."""
    unique = values.unique(maintain_order=True)
    codes = values.cast(pl.Enum(unique)).to_physical().cast(pl.Int64)
    return codes.to_numpy(writable=True), unique.to_list()


def item_features(items: pl.DataFrame, item_ids: list[str]) -> dict[str, ItemFeature]:
    """The features of a catalogue: every column of String or List(String) of ``items``.

    Item code ``c`` is ``item_ids[c - 1]``. Value codes are numbered by first appearance.
    Null and blank text count as no value.
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
    # A null compares as null, so this drops it too.
    rows = rows.filter(pl.col("value").str.strip_chars() != "")
    codes, values = codes_by_appearance(rows["value"])
    owners = torch.from_numpy(rows["row"].cast(pl.Int64).to_numpy(writable=True))
    counts = torch.bincount(owners, minlength=len(column))
    offsets = torch.cat([counts.new_zeros(2), counts.cumsum(0)])
    return ItemFeature(values, offsets, torch.from_numpy(codes) + 1)
