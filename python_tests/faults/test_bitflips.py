"""Bit flips and cuts of every file that a run or an experiment wrote.

Each is refused in one line that names the file, or reads as before. `make faults` tries ten times
as many.
"""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from atjt_ext.data import Sequences, leave_one_out
from atjt_ext.data.fingerprints import fingerprints
from atjt_ext.data.manifest import manifest_path, verify_manifest
from atjt_ext.experiment import Cell
from atjt_ext.experiment.store import CellResult, CellStore
from atjt_ext.runs.folder import Run
from atjt_ext.training.checkpoint import CheckpointError, load_checkpoint

FLIPS = 150 if os.environ.get("ATJT_FAULTS") == "long" else 15

Read = Callable[[], Any]


def plain(values: Any) -> Any:
    """``values`` in a form that ``==`` compares, NaN included."""
    if isinstance(values, torch.Tensor):
        return values.numpy().tobytes()
    if isinstance(values, dict):
        return {name: plain(value) for name, value in values.items()}
    if isinstance(values, list | tuple):
        return [plain(value) for value in values]
    return values


@pytest.fixture(scope="module")
def run(trained_run: Run, tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("flipped") / "run"
    return Run(Path(shutil.copytree(trained_run.folder, folder)))


def readers(run: Run) -> dict[str, Read]:
    train: Sequences = leave_one_out(run.sequences()).train
    data = lambda: fingerprints(run.sequences())  # noqa: E731
    whole = lambda: verify_manifest(run.folder)  # noqa: E731
    return {
        "checkpoint.pt": lambda: plain(load_checkpoint(run.checkpoint_path)),
        "sequences.parquet": data,
        "catalogue.parquet": data,
        "interactions.parquet": lambda: plain(run.beliefs(train)),
        "ranks.parquet": lambda: run.ranks().tobytes(),
        "config.json": lambda: run.config().as_dict(),
        "metrics.json": run.metrics,
        "history.jsonl": lambda: [record.as_dict() for record in run.history()],
        "weights.parquet": whole,
        "manifest/sha256.json": lambda: run.config().as_dict(),
    }


def damages(whole: bytes, seed: str) -> Iterator[tuple[str, bytes]]:
    """Cuts and flips, with a description."""
    chosen = random.Random(seed)
    for number in range(FLIPS):
        place = chosen.randrange(len(whole))
        if number % 5 == 0:
            yield f"cut at {place}", whole[:place]
        else:
            bit = chosen.randrange(8)
            flipped = bytearray(whole)
            flipped[place] ^= 1 << bit
            yield f"bit {bit} of byte {place}", bytes(flipped)


def outcome(read: Read) -> tuple[Any, str | None]:
    """What was read, and the message of a refusal."""
    try:
        return read(), None
    except (CheckpointError, ValueError, OSError) as error:
        return None, str(error)


def assert_refused_or_same(path: Path, read: Read) -> None:
    whole, wanted = path.read_bytes(), read()
    for what, damaged in damages(whole, path.name):
        path.write_bytes(damaged)
        found, message = outcome(read)
        if message is None:
            assert found == wanted, f"{path.name}, {what}: other values were read"
        else:
            assert path.name in message, f"{path.name}, {what}: {message}"
            assert "\n" not in message
    path.write_bytes(whole)
    assert read() == wanted


@pytest.mark.parametrize(
    "name",
    [
        "catalogue.parquet",
        "checkpoint.pt",
        "config.json",
        "history.jsonl",
        "interactions.parquet",
        "manifest/sha256.json",
        "metrics.json",
        "ranks.parquet",
        "sequences.parquet",
        "weights.parquet",
    ],
)
def test_a_damaged_file_of_a_run_is_never_read_as_other_values(run: Run, name: str) -> None:
    assert_refused_or_same(run.folder / name, readers(run)[name])


def test_every_file_of_a_run_is_flipped(run: Run) -> None:
    files = {path.name for path in run.folder.iterdir() if path.is_file()}
    assert files == {name for name in readers(run) if "/" not in name}
    assert manifest_path(run.folder) == run.folder / "manifest/sha256.json"


@pytest.mark.parametrize("suffix", [".json", ".npz"])
def test_a_damaged_cell_is_never_read_as_other_values(tmp_path: Path, suffix: str) -> None:
    store, cell = CellStore(tmp_path), Cell("data/a.csv", "sasrec", "none", 0, "default")
    metrics = {"HR@5": 0.125, "NDCG@5": 0.0625}
    values: dict[str, Any] = {"test": metrics, "valid": metrics, "sampled_test": metrics}
    values |= {"detection": {"held_out_AUC": None}, "weights": {"mean": 0.75}}
    values |= {"epochs": 3, "kept_epoch": 2, "train_seconds": 1.5, "weighing_seconds": 0.0}
    values |= {"settings": {"data": "0123456789abcdef", "config": {"recipe": "default"}}}
    path = store.path(cell, values["settings"])
    store.write(path, CellResult(cell, values, np.arange(1, 400, dtype=np.int32)))

    def read() -> Any:
        result = store.read(path)
        return result.cell, result.values, result.ranks.tolist()

    assert read() == (cell, values, list(range(1, 400)))
    assert_refused_or_same(path.with_suffix(suffix), read)
