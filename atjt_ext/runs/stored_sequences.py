"""Sequences in a folder, as Parquet: users with their items, the catalogue, item features."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
import torch

from ..data import ItemFeature, Sequences
from ..data.files import write_atomically
from ..training.checkpoint import CheckpointError

__all__ = ["StoredSequences"]

_PER_INTERACTION = {"items": "int64", "is_noise": "bool", "weights": "float32"}


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
            CheckpointError: a file is missing or can't be read.
        """
        for path in (self.sequences_path, self.catalogue_path):
            if not path.is_file():
                raise CheckpointError(f"{self.folder}: no run here (no {path.name})")
        frame, catalogue = read_table(self.sequences_path), read_table(self.catalogue_path)
        lengths = torch.from_numpy(frame["items"].list.len().to_numpy().astype("int64"))
        flat = {
            name: torch.from_numpy(frame[name].explode().to_numpy().astype(dtype))
            for name, dtype in _PER_INTERACTION.items()
            if name in frame.columns
        }
        return Sequences(
            offsets=torch.cat([lengths.new_zeros(1), lengths.cumsum(0)]),
            items=flat["items"],
            user_ids=frame["user"].to_list(),
            item_ids=catalogue["item"].to_list(),
            is_noise=flat.get("is_noise"),
            weights=flat.get("weights"),
            source=str(self.folder),
            item_features=self._item_features(),
        )

    def _item_features(self) -> dict[str, ItemFeature]:
        if not self.item_features_path.is_file():
            return {}
        return {
            name: ItemFeature(values, torch.tensor(offsets), torch.tensor(codes, dtype=torch.int64))
            for name, values, offsets, codes in read_table(self.item_features_path).rows()
        }

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
        write_atomically(self.sequences_path, frame.write_parquet)
        write_atomically(self.catalogue_path, catalogue.write_parquet)
        if sequences.item_features:
            features = pl.DataFrame(
                [
                    (name, feature.values, feature.offsets.tolist(), feature.codes.tolist())
                    for name, feature in sequences.item_features.items()
                ],
                schema={
                    "name": pl.String,
                    "values": pl.List(pl.String),
                    "offsets": pl.List(pl.Int64),
                    "codes": pl.List(pl.Int64),
                },
                orient="row",
            )
            write_atomically(self.item_features_path, features.write_parquet)


def read_table(path: Path) -> pl.DataFrame:
    """The table in ``path``.

    Raises:
        CheckpointError: the file can't be read.
    """
    try:
        return pl.read_parquet(path)
    except (pl.exceptions.PolarsError, OSError) as error:
        reason = str(error).splitlines()[0]
        raise CheckpointError(f"{path}: not readable ({reason})") from error
