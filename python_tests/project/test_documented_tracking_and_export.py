"""The commands and Python blocks of docs/export.md and docs/logging.md run."""

from __future__ import annotations

import re
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from atjt_ext.cli.main import main
from atjt_ext.runs.build import load_trainer
from atjt_ext.runs.data import everything_known
from atjt_ext.runs.folder import Run
from helpers.documents import DOCS, blocks, commands, run_block
from helpers.joint import trainer
from helpers.small_run import small_sequences

EXPORT, LOGGING = DOCS / "export.md", DOCS / "logging.md"
SMALL = ["--epochs=1", "--max_length=10", "--embedding_dim=8", "--num_blocks=1", "--device=cpu"]


@pytest.fixture
def ratings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sequences = small_sequences()
    lines = ["user,item,time"]
    for user in range(sequences.num_users):
        items = sequences.decode_items(sequences.items_of(user))
        lines += [f"{sequences.user_ids[user]},{item},{time}" for time, item in enumerate(items)]
    (tmp_path / "ratings.csv").write_text("\n".join(lines) + "\n")
    (tmp_path / "some_ids.txt").write_text("u03\nu11\n")
    monkeypatch.chdir(tmp_path)


@pytest.mark.usefixtures("ratings")
@pytest.mark.parametrize("recipe", ["equal_weights", "default"])
def test_the_exported_files_recommend_what_the_trainer_does(recipe: str) -> None:
    for package in ("onnx", "onnxscript", "onnxruntime", "safetensors"):
        pytest.importorskip(package, reason=f"{package} is not installed")
    for command in commands(EXPORT):
        options = [recipe if option == "equal_weights" else option for option in command]
        assert main([*options, *(SMALL if command[0] == "train" else [])]) == 0
    serving, tensors = blocks(EXPORT, "python")
    names: Any = run_block(serving, EXPORT)
    table = names["item_table"]
    names = run_block(tensors, EXPORT, **names)
    assert (names["item_table"] == table).all()

    run = Run(Path("runs/a"))
    sequences, made = run.sequences(), load_trainer(run, run.sequences())
    data = everything_known(sequences, torch.arange(sequences.num_users))
    if made.config.weighs_inputs:
        assert len(names["encoder"].get_inputs()) == 2
        # The block serves new users, whose histories nobody has judged.
        ones = torch.ones(sequences.num_interactions)
        data = replace(data, read=replace(data.histories, weights=ones))
    items, _ = made.recommend(data, k=5)
    for user in range(sequences.num_users):
        history = sequences.decode_items(sequences.items_of(user))
        expected = sequences.decode_items(items[user])
        assert names["recommend"](history, k=5, max_length=10) == expected


class FakeMLflow(SimpleNamespace):
    """A small stand-in for the package: keeps parameters and metrics."""

    def __init__(self) -> None:
        super().__init__(params={}, points=[])

    def start_run(self) -> FakeMLflow:
        return self

    def __enter__(self) -> FakeMLflow:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def log_params(self, params: dict[str, Any]) -> None:
        self.params |= params

    def log_metrics(self, metrics: dict[str, float], step: int) -> None:
        assert not [name for name in metrics if not re.fullmatch(r"[-\w./ :]+", name)]
        self.points.append((step, metrics))


def test_the_callback_for_mlflow_logs_every_epoch(
    split: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    tracker = FakeMLflow()
    monkeypatch.setitem(sys.modules, "mlflow", tracker)
    made = trainer(split, epochs=2)
    run_block(blocks(LOGGING, "python")[1], LOGGING, trainer=made, split=split)
    assert [step for step, _ in tracker.points] == [1, 2]
    history = made.state.history
    assert tracker.points[1][1]["loss/recommender"] == history[1].recommender_loss
    assert tracker.points[1][1]["valid/NDCG_at_10"] == history[1].valid["NDCG@10"]


def test_the_callback_for_tensorboard_runs(
    split: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("tensorboard", reason="tensorboard is not installed")
    monkeypatch.chdir(tmp_path)
    made = trainer(split, epochs=1)
    run_block(blocks(LOGGING, "python")[0], LOGGING, trainer=made, split=split)
    assert len(list(Path("runs/a/tensorboard").iterdir())) == 1
