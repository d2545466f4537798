"""The folder of a training run: config, data and results."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
import torch
from torch import Tensor

from ..data import Sequences
from ..data.errors import listed
from ..data.features import same_features
from ..data.files import write_atomically, write_text_atomically
from ..training.checkpoint import CheckpointError
from ..training.history import EpochRecord
from .config import RunConfig
from .stored_sequences import PathIn, StoredSequences, read_table

__all__ = ["Run"]


@dataclass(frozen=True)
class Run:
    """The folder of one run, and its files."""

    folder: Path
    config_path = PathIn("config.json")
    metrics_path = PathIn("metrics.json")
    history_path = PathIn("history.jsonl")
    weights_path = PathIn("weights.parquet")
    ranks_path = PathIn("ranks.parquet")
    comparison_path = PathIn("comparison.json")
    checkpoint_path = PathIn("checkpoint.pt")
    tensorboard_path = PathIn("tensorboard")
    interactions_path = PathIn("interactions.parquet")

    @property
    def baseline(self) -> Run:
        """The run with equal weights in this run's folder; it may be missing."""
        return Run(self.folder / "equal_weights")

    @property
    def data(self) -> StoredSequences:
        """The stored sequences, held-out items included."""
        return StoredSequences(self.folder)

    def require_free(self, *, resume: bool) -> None:
        """Raises CheckpointError if the folder holds a run and ``resume`` is off."""
        if self.config_path.exists() and not resume:
            raise CheckpointError(
                f"{self.folder}: holds a run already: continue it (--resume), or choose another "
                "folder (--out)"
            )

    def create(self, config: RunConfig, sequences: Sequences, *, resume: bool) -> None:
        """Writes config and data, or compares them with those of the run to resume.

        Raises:
            CheckpointError: the folder holds a run and ``resume`` is off, or ``resume`` is on and
                the folder's run has another config or other data.
        """
        self.require_free(resume=resume)
        if not self.config_path.exists():
            self.data.write(sequences)
            _write_json(self.config_path, config.as_dict())
            return
        if changed := self.config().differences(config):
            raise CheckpointError(
                f"{self.folder}: the run to resume has another config ({'; '.join(changed)})"
            )
        mine = self.check_same_data(sequences)
        for kind, same in (
            ("interactions", mine.items.equal(sequences.items)),
            ("weights", _same_weights(mine, sequences)),
            ("items' features", same_features(mine.item_features, sequences.item_features)),
        ):
            if not same:
                raise CheckpointError(
                    f"{self.folder}: the {kind} have changed since the run to resume began"
                )

    def check_same_data(self, sequences: Sequences) -> Sequences:
        """The run's own data.

        Raises:
            CheckpointError: ``sequences`` have another catalogue or other users, or another order.
        """
        mine = self.sequences()
        self._require_same_ids(mine, sequences)
        if (mine.item_ids, mine.user_ids) != (sequences.item_ids, sequences.user_ids):
            raise CheckpointError(
                f"{self.folder}: {sequences.source or 'the data'} has the users and items that the "
                "run was trained on in another order"
            )
        return mine

    def with_its_codes(self, sequences: Sequences) -> Sequences:
        """``sequences`` with the codes and item features of the run's own data.

        Raises:
            CheckpointError: ``sequences`` have other users or items.
        """
        mine = self.sequences()
        self._require_same_ids(mine, sequences)
        coded = sequences.recoded(mine.user_ids, mine.item_ids)
        return replace(coded, item_features=mine.item_features)

    def _require_same_ids(self, mine: Sequences, sequences: Sequences) -> None:
        for kind, own, other in (
            ("catalogue", mine.item_ids, sequences.item_ids),
            ("set of users", mine.user_ids, sequences.user_ids),
        ):
            missing, added = sorted({*own} - {*other}), sorted({*other} - {*own})
            if missing or added:
                differences = [("it lacks", missing), ("it adds", added)]
                raise CheckpointError(
                    f"{self.folder}: the checkpoint was trained on another {kind}: "
                    f"{len(own):,} ids, {sequences.source or 'the data'} has {len(other):,}; "
                    + ", ".join(f"{verb} {listed(ids, 3)}" for verb, ids in differences if ids)
                )

    def config(self) -> RunConfig:
        """The run's config.

        Raises:
            CheckpointError: the folder holds no run, or its config can't be read.
        """
        if not self.config_path.is_file():
            raise CheckpointError(f"{self.folder}: no run here (no {self.config_path.name})")
        try:
            return RunConfig.from_dict(json.loads(self.config_path.read_text(encoding="utf-8")))
        except (KeyError, TypeError, ValueError) as error:
            raise CheckpointError(
                f"{self.config_path}: not a run's config ({type(error).__name__}: {error})"
            ) from error

    def metrics(self) -> dict[str, Any]:
        """The contents of metrics.json; raises CheckpointError for an unfinished run."""
        if not self.metrics_path.is_file():
            raise CheckpointError(f"{self.folder}: the run has not finished (no metrics.json)")
        metrics: dict[str, Any] = json.loads(self.metrics_path.read_text(encoding="utf-8"))
        return metrics

    def history(self) -> list[EpochRecord]:
        """The epochs of history.jsonl."""
        lines = self.history_path.read_text(encoding="utf-8").splitlines()
        return [EpochRecord.from_dict(json.loads(line)) for line in lines]

    def sequences(self) -> Sequences:
        """The data of the run, held-out items included.

        Raises:
            CheckpointError: the folder holds no data.
        """
        return self.data.read()

    def write_history(self, history: list[EpochRecord]) -> None:
        """Writes history.jsonl: a line per epoch so far."""
        lines = "".join(json.dumps(record.as_dict()) + "\n" for record in history)
        write_text_atomically(self.history_path, lines)

    def write_weights(self, user_ids: list[str], weights: Tensor) -> None:
        """Writes weights.parquet: user id and weight ``[num_users]``; NaN becomes null."""
        frame = pl.DataFrame({"user": user_ids, "weight": weights.numpy()})
        frame = frame.with_columns(pl.col("weight").fill_nan(None))
        write_atomically(self.weights_path, frame.write_parquet)

    def write_ranks(self, user_ids: list[str], ranks: Tensor) -> None:
        """Writes ranks.parquet: user id and rank of the test target ``[num_users]`` (1 is best).

        Deletes comparison.json, which was computed from earlier ranks.
        """
        self.comparison_path.unlink(missing_ok=True)
        frame = pl.DataFrame({"user": user_ids, "rank": ranks.numpy()})
        write_atomically(self.ranks_path, frame.write_parquet)

    def ranks(self) -> npt.NDArray[np.int64]:
        """``[num_users]`` int64, the ranks in ranks.parquet, in the order of the users."""
        return read_table(self.ranks_path)["rank"].to_numpy()

    def write_comparison(self, comparison: dict[str, Any]) -> None:
        """Writes comparison.json: the run's gain over its baseline."""
        _write_json(self.comparison_path, comparison)

    def write_interactions(self, train: Sequences, noise_logits: Tensor, weights: Tensor) -> None:
        """Writes interactions.parquet: the beliefs about the training interactions, ``[N]`` each.

        Columns: user and item ids, noise_logit, weight. Users are in order, items in time order.
        NaN becomes null.
        """
        values = {"noise_logit": noise_logits.numpy(), "weight": weights.numpy()}
        frame = _interactions(train).with_columns(pl.Series(n, v) for n, v in values.items())
        frame = frame.with_columns(pl.col(*values).fill_nan(None))
        write_atomically(self.interactions_path, frame.write_parquet)

    def beliefs(self, train: Sequences) -> tuple[Tensor, Tensor] | None:
        """The noise logits and weights in interactions.parquet, ``[N]`` float32 each; None without
        the file. NaN is not judged.

        Raises:
            CheckpointError: the file holds other interactions than ``train``.
        """
        if not self.interactions_path.is_file():
            return None
        frame, names = read_table(self.interactions_path), ("noise_logit", "weight")
        if frame.columns != ["user", "item", *names] or not frame.drop(names).equals(
            _interactions(train)
        ):
            raise CheckpointError(
                f"{self.interactions_path}: does not hold the {train.num_interactions:,} "
                "interactions that the run was trained on"
            )
        logits, weights = (
            torch.from_numpy(frame[name].fill_null(float("nan")).to_numpy().astype("float32"))
            for name in names
        )
        return logits, weights

    def write_metrics(self, metrics: dict[str, Any]) -> None:
        """Writes metrics.json, the last file of a run: it marks the run as finished."""
        _write_json(self.metrics_path, metrics)


def _interactions(sequences: Sequences) -> pl.DataFrame:
    """User and item ids, a row per interaction."""
    users = pl.Series("user", sequences.user_ids, dtype=pl.String)
    items = pl.Series("item", sequences.item_ids, dtype=pl.String)
    rows = sequences.owners.numpy(), (sequences.items - 1).numpy()
    return pl.DataFrame([users.gather(rows[0]), items.gather(rows[1])])


def _same_weights(one: Sequences, other: Sequences) -> bool:
    if one.weights is None or other.weights is None:
        return one.weights is other.weights
    return one.weights.equal(other.weights)


def _write_json(path: Path, values: Any) -> None:
    """Writes ``values`` as indented JSON; raises ValueError for NaN, which JSON lacks."""
    write_text_atomically(path, json.dumps(values, indent=2, allow_nan=False) + "\n")
