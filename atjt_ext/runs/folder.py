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
from ..data.fingerprints import different_parts
from ..data.manifest import (
    begin_manifest,
    manifest_path,
    remove_listed,
    settle_manifest,
    verify_manifest,
    write_listed,
)
from ..models.options import require
from ..training.checkpoint import CheckpointError
from ..training.history import EpochRecord
from .checks import FORMAT, require_format, require_metrics, version, written_by
from .config import RunConfig
from .files import content, naming, parse_json, read_json, read_table, stands
from .stored_sequences import PathIn, StoredSequences

__all__ = ["Run"]

_BELIEFS = {
    "user": pl.String,
    "item": pl.String,
    "noise_logit": pl.Float32,
    "weight": pl.Float32,
}


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
        if stands(self.config_path) and not resume:
            raise CheckpointError(
                f"{self.folder}: holds a run already: continue it (--resume), or choose another "
                "folder (--out)"
            )

    def create(self, config: RunConfig, sequences: Sequences, *, resume: bool) -> None:
        """Writes config and data, or compares them with those of the run to resume.

        Raises:
            CheckpointError: the folder holds a run and ``resume`` is off, or ``resume`` is on and
                the folder's run has another config, other data, or damaged files.
        """
        self.require_free(resume=resume)
        if not stands(self.config_path):
            begin_manifest(self.folder)
            self.data.write(sequences)
            self._write_config(config)
            return
        if changed := self.config().differences(config):
            raise CheckpointError(
                f"{self.folder}: the run to resume has another config ({'; '.join(changed)})"
            )
        with naming(self.folder):
            # A resumed run writes its results again.
            verify_manifest(self.folder, but_missing=[path.name for path in self._results()])
        self.check_same_data(sequences, began="the run to resume began")
        if not manifest_path(self.folder).exists():  # a run of an earlier release
            data = self.data
            kept = [self.config_path, self.checkpoint_path, data.sequences_path]
            kept += [data.catalogue_path, data.item_features_path, *self._results()]
            begin_manifest(self.folder, [path.name for path in kept if path.is_file()])
            self._write_config(config)

    def _results(self) -> list[Path]:
        """The files that a resumed run writes again."""
        ends = [self.metrics_path, self.comparison_path, self.ranks_path, self.weights_path]
        return [*ends, self.history_path, self.interactions_path]

    def _write_config(self, config: RunConfig) -> None:
        written_by = {"format": FORMAT, "atjt_ext": version()}
        _write_json(self.config_path, {**written_by, **config.as_dict()})

    def check_same_data(self, sequences: Sequences, *, began: str = "the run began") -> Sequences:
        """The run's own data.

        Raises:
            CheckpointError: ``sequences`` are other data, or the same data in another order.
        """
        mine = self.sequences()
        self._require_same_ids(mine, sequences)
        changed = different_parts(mine, sequences)
        if "catalogue" in changed or "users" in changed:
            raise CheckpointError(
                f"{self.folder}: {sequences.source or 'the data'} has the users and items that the "
                "run was trained on in another order"
            )
        if changed:
            raise CheckpointError(
                f"{self.folder}: the {', '.join(changed)} have changed since {began}"
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
            CheckpointError: the folder holds no run, its config can't be read, or a newer version
                wrote it.
        """
        if not stands(self.config_path):
            raise CheckpointError(f"{self.folder}: no run here (no {self.config_path.name})")
        values = read_json(self.config_path)
        try:
            require_format(values)
            return RunConfig.from_dict(values)
        except (KeyError, TypeError, ValueError) as error:
            text = f"no part {error}" if isinstance(error, KeyError) else str(error)
            raise CheckpointError(
                f"{self.config_path}: not a run's config ({text}{written_by(values)})"
            ) from error

    def metrics(self) -> dict[str, Any]:
        """The contents of metrics.json; raises CheckpointError for an unfinished run."""
        if not self.metrics_path.is_file():
            raise CheckpointError(f"{self.folder}: the run has not finished (no metrics.json)")
        metrics = read_json(self.metrics_path)
        with naming(self.metrics_path):
            require_metrics(metrics)
        return dict(metrics)

    def history(self) -> list[EpochRecord]:
        """The epochs of history.jsonl.

        Raises:
            CheckpointError: the file is missing, or a line is not the record of the next epoch.
        """
        history: list[EpochRecord] = []
        for number, line in enumerate(content(self.history_path).splitlines(), start=1):
            place = Path(f"{self.history_path}:{number}")
            with naming(place):
                record = EpochRecord.from_dict(parse_json(line, str(place)))
                require("epoch", record.epoch, str(number), record.epoch == number)
            history.append(record)
        return history

    def sequences(self) -> Sequences:
        """The data of the run, held-out items included.

        Raises:
            CheckpointError: the folder holds no data.
        """
        return self.data.read()

    def write_weights(self, user_ids: list[str], weights: Tensor) -> None:
        """Writes weights.parquet: user id and weight ``[num_users]``; NaN becomes null."""
        frame = pl.DataFrame({"user": user_ids, "weight": weights.numpy()})
        frame = frame.with_columns(pl.col("weight").fill_nan(None))
        write_listed(self.weights_path, frame.write_parquet)

    def write_ranks(self, user_ids: list[str], ranks: Tensor) -> None:
        """Writes ranks.parquet: user id and rank of the test target ``[num_users]`` (1 is best).

        Deletes comparison.json, which was computed from earlier ranks.
        """
        remove_listed(self.comparison_path)
        frame = pl.DataFrame({"user": user_ids, "rank": ranks.numpy()})
        write_listed(self.ranks_path, frame.write_parquet)

    def ranks(self) -> npt.NDArray[np.int64]:
        """``[num_users]`` int64, the ranks in ranks.parquet, in the order of the users.

        Raises:
            CheckpointError: the file is missing or damaged, or holds no ranks.
        """
        return self.ranks_of_users()["rank"].to_numpy()

    def ranks_of_users(self) -> pl.DataFrame:
        """The table in ranks.parquet: ``user`` and ``rank``; errors as in :meth:`ranks`."""
        table = read_table(self.ranks_path, {"user": pl.String, "rank": pl.Int64})
        with naming(self.ranks_path):
            low = min(table["rank"].to_list(), default=0)
            require("rank", low, "at least 1", low >= 1)
            if table["user"].n_unique() < table.height:
                raise ValueError("user must be different in every row")
        return table

    def write_comparison(self, comparison: dict[str, Any]) -> None:
        """Writes comparison.json: the run's gain over its baseline."""
        _write_json(self.comparison_path, comparison)
        settle_manifest(self.folder)

    def write_interactions(self, train: Sequences, noise_logits: Tensor, weights: Tensor) -> None:
        """Writes interactions.parquet: the beliefs about the training interactions, ``[N]`` each.

        Columns: user and item ids, noise_logit, weight. Users are in order, items in time order.
        NaN becomes null.
        """
        values = {"noise_logit": noise_logits.numpy(), "weight": weights.numpy()}
        frame = _interactions(train).with_columns(pl.Series(n, v) for n, v in values.items())
        frame = frame.with_columns(pl.col(*values).fill_nan(None))
        write_listed(self.interactions_path, frame.write_parquet)

    def beliefs(self, train: Sequences) -> tuple[Tensor, Tensor] | None:
        """The noise logits and weights in interactions.parquet, ``[N]`` float32 each; None without
        the file. NaN is not judged.

        Raises:
            CheckpointError: the file is damaged, or holds other interactions than ``train`` or
                weights outside [0, 1].
        """
        if not stands(self.interactions_path):
            return None
        names = ("noise_logit", "weight")
        frame = read_table(self.interactions_path, _BELIEFS, nullable=names)
        if not frame.drop(names).equals(_interactions(train)):
            raise CheckpointError(
                f"{self.interactions_path}: does not hold the {train.num_interactions:,} "
                "interactions that the run was trained on"
            )
        if not frame["weight"].drop_nulls().is_between(0, 1).all():
            raise CheckpointError(f"{self.interactions_path}: weight must be in [0, 1]")
        logits, weights = (
            torch.from_numpy(frame[name].fill_null(float("nan")).to_numpy().astype("float32"))
            for name in names
        )
        return logits, weights

    def write_metrics(self, metrics: dict[str, Any]) -> None:
        """Writes metrics.json, the last file of a run: it marks the run as finished."""
        _write_json(self.metrics_path, metrics)
        settle_manifest(self.folder)


def _interactions(sequences: Sequences) -> pl.DataFrame:
    """User and item ids, a row per interaction."""
    users = pl.Series("user", sequences.user_ids, dtype=pl.String)
    items = pl.Series("item", sequences.item_ids, dtype=pl.String)
    rows = sequences.owners.numpy(), (sequences.items - 1).numpy()
    return pl.DataFrame([users.gather(rows[0]), items.gather(rows[1])])


def _write_json(path: Path, values: Any) -> None:
    """Writes ``values`` as indented JSON; raises ValueError for NaN, which JSON lacks."""
    text = json.dumps(values, indent=2, allow_nan=False) + "\n"
    write_listed(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))
