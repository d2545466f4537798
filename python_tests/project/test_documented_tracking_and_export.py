"""What docs/export.md and docs/logging.md show: commands are run, blocks too."""

from __future__ import annotations

import re
import shlex
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
from helpers.joint import trainer
from helpers.small_run import small_sequences

DOCS = Path(__file__).parents[2] / "docs"
SMALL = ["--epochs=1", "--max_length=10", "--embedding_dim=8", "--num_blocks=1", "--device=cpu"]


def blocks(name: str, language: str) -> list[str]:
    text = (DOCS / name).read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.S | re.M)


def commands(name: str) -> list[list[str]]:
    lines = [line for block in blocks(name, "bash") for line in block.splitlines()]
    return [shlex.split(line)[1:] for line in lines if line.startswith("atjt ")]


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
    for command in commands("export.md"):
        options = [recipe if option == "equal_weights" else option for option in command]
        assert main([*options, *(SMALL if command[0] == "train" else [])]) == 0
    serving, tensors = blocks("export.md", "python")
    names: dict[str, Any] = {}
    exec(compile(serving, "export.md", "exec"), names)
    table = names["item_table"]
    exec(compile(tensors, "export.md", "exec"), names)
    assert (names["item_table"] == table).all()

    run = Run(Path("runs/a"))
    sequences, made = run.sequences(), load_trainer(run, run.sequences())
    data = everything_known(sequences, torch.arange(sequences.num_users))
    if made.config.weighs_inputs:
        assert len(names["encoder"].get_inputs()) == 2
        # As the block does: histories of a new user, of which nothing is judged.
        ones = torch.ones(sequences.num_interactions)
        data = replace(data, read=replace(data.histories, weights=ones))
    items, _ = made.recommend(data, k=5)
    for user in range(sequences.num_users):
        history = sequences.decode_items(sequences.items_of(user))
        expected = sequences.decode_items(items[user])
        assert names["recommend"](history, k=5, max_length=10) == expected


class FakeMLflow(SimpleNamespace):
    """Stands in for the package, which is large: keeps what it is told."""

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
    names = {"trainer": trainer(split, epochs=2), "split": split}
    exec(compile(blocks("logging.md", "python")[1], "logging.md", "exec"), names)
    assert [step for step, _ in tracker.points] == [1, 2]
    history = names["trainer"].state.history
    assert tracker.points[1][1]["loss/recommender"] == history[1].recommender_loss
    assert tracker.points[1][1]["valid/NDCG_at_10"] == history[1].valid["NDCG@10"]


def test_the_callback_for_tensorboard_runs(
    split: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("tensorboard", reason="tensorboard is not installed")
    monkeypatch.chdir(tmp_path)
    names = {"trainer": trainer(split, epochs=1), "split": split}
    exec(compile(blocks("logging.md", "python")[0], "logging.md", "exec"), names)
    assert len(list(Path("runs/a/tensorboard").iterdir())) == 1
