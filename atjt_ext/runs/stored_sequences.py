"""Sequences in a folder, as Parquet: users with their items, the catalogue, item features."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
import torch

from ..data import ItemFeature, Sequences
from ..data.manifest import remove_listed, write_listed
from ..training.checkpoint import CheckpointError
from .files import Columns, naming, read_table, stands

__all__ = ["StoredSequences"]

_PER_INTERACTION = {"items": "int64", "is_noise": "bool", "weights": "float32"}
_COLUMNS: Columns = {"user": pl.String, "items": pl.List(pl.Int32)}
_OPTIONAL: Columns = {"is_noise": pl.List(pl.Boolean), "weights": pl.List(pl.Float32)}
_FEATURES: dict[str, pl.DataType | type[pl.DataType]] = {
    "name": pl.String,
    "values": pl.List(pl.String),
    "offsets": pl.List(pl.Int64),
    "codes": pl.List(pl.Int64),
}


class PathIn:
    """Attribute of an object with a ``folder``: the path ``name`` in it."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __get__(self, owner: Any, kind: type) -> Path:
        path: Path = owner.folder / self.name
        return path


@dataclass(frozen=True)
class StoredSequences:
    """The three files of a folder that hold sequences."""

    folder: Path
    sequences_path = PathIn("sequences.parquet")
    catalogue_path = PathIn("catalogue.parquet")
    item_features_path = PathIn("item_features.parquet")

    def read(self) -> Sequences:
        """The sequences that :meth:`write` wrote.

        Raises:
            CheckpointError: a file is missing, can't be read, or holds no sequences.
        """
        for path in (self.sequences_path, self.catalogue_path):
            if not stands(path):
                raise CheckpointError(f"{self.folder}: no run here (no {path.name})")
        frame = read_table(self.sequences_path, _COLUMNS, optional=_OPTIONAL)
        catalogue = read_table(self.catalogue_path, {"item": pl.String})
        with naming(self.catalogue_path):
            item_ids = _distinct(catalogue, "item")
        with naming(self.sequences_path):
            return self._sequences(frame, item_ids)

    def _sequences(self, frame: pl.DataFrame, item_ids: list[str]) -> Sequences:
        user_ids = _distinct(frame, "user")
        lengths = frame["items"].list.len()
        flat = {}
        for name in frame.columns[1:]:
            if not frame[name].list.len().equals(lengths):
                raise ValueError(f"{name!r} must hold one value per item of each user")
            if (values := frame[name].explode()).null_count():  # an empty list gives a null, too
                raise ValueError(f"{name!r} must hold a value per item, and an item per user")
            flat[name] = torch.from_numpy(values.to_numpy().astype(_PER_INTERACTION[name]))
        counts = torch.from_numpy(lengths.to_numpy().astype("int64"))
        return Sequences(
            offsets=torch.cat([counts.new_zeros(1), counts.cumsum(0)]),
            items=flat["items"],
            user_ids=user_ids,
            item_ids=item_ids,
            is_noise=flat.get("is_noise"),
            weights=flat.get("weights"),
            source=str(self.folder),
            item_features=self._item_features(),
        )

    def _item_features(self) -> dict[str, ItemFeature]:
        path, features = self.item_features_path, {}
        if not stands(path):
            return {}
        with naming(path):
            table = read_table(path, _FEATURES)
            _distinct(table, "name")
            for name, values, offsets, codes in table.rows():
                if None in values:
                    raise ValueError(f"feature {name!r} has a null among its values")
                codes = torch.tensor(codes, dtype=torch.int64)
                features[name] = ItemFeature(values, torch.tensor(offsets), codes)
        return features

    def write(self, sequences: Sequences) -> None:
        """Creates the folder, and writes each file atomically."""
        self.folder.mkdir(parents=True, exist_ok=True)
        flat = {"owner": sequences.owners, "items": sequences.items.to(torch.int32)}
        flat |= {
            name: values
            for name in ("is_noise", "weights")
            if (values := getattr(sequences, name)) is not None
        }
        lists = pl.DataFrame({name: values.numpy() for name, values in flat.items()})
        lists = lists.group_by("owner", maintain_order=True).agg(pl.all()).drop("owner")
        users = pl.DataFrame({"user": pl.Series(sequences.user_ids, dtype=pl.String)})
        frame = users.with_columns(lists)
        catalogue = pl.DataFrame({"item": pl.Series(sequences.item_ids, dtype=pl.String)})
        write_listed(self.sequences_path, frame.write_parquet)
        write_listed(self.catalogue_path, catalogue.write_parquet)
        # A killed command may have left one, of other data.
        remove_listed(self.item_features_path)
        if sequences.item_features:
            features = pl.DataFrame(
                [
                    (name, feature.values, feature.offsets.tolist(), feature.codes.tolist())
                    for name, feature in sequences.item_features.items()
                ],
                schema=_FEATURES,
                orient="row",
            )
            write_listed(self.item_features_path, features.write_parquet)


def _distinct(table: pl.DataFrame, column: str) -> list[str]:
    """The ids in ``column``; raises ValueError if there are none, or if one occurs twice."""
    ids: list[str] = table[column].to_list()
    if not ids or len(set(ids)) < len(ids):
        raise ValueError(f"{column!r} must hold each id once, found {len(ids)} rows")
    return ids
