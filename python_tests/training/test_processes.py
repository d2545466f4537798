"""Training in several processes is refused until it is supported: R copies would share a folder."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
import torch

from atjt_ext.experiment import ExperimentSpec, run_grid
from atjt_ext.runs.config import RunConfig
from atjt_ext.runs.train import train_run
from atjt_ext.training.processes import number_of_processes, require_one_process
from helpers.command_line import refusal
from helpers.small_run import small_sequences

REFUSED = "runs in one process, got 2 (WORLD_SIZE or a process group): distributed training is not"


@pytest.mark.parametrize("command", ["train", "experiment", "demo"])
def test_commands_under_torchrun_are_refused_in_one_line(
    command: str,
    ratings_file: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    given = {"train": [str(ratings_file)], "experiment": [f"--files={ratings_file}"], "demo": []}
    out = tmp_path / "out"
    told = refusal(capsys, command, *given[command], f"--out={out}")
    assert told.startswith(f"error: {command} {REFUSED}")
    assert not out.exists()


def test_train_run_and_run_grid_are_refused(
    ratings_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    config = RunConfig.from_recipe("equal_weights", epochs=1)
    with pytest.raises(ValueError, match="train_run runs in one process, got 2"):
        train_run(tmp_path / "out", small_sequences(), config)
    spec = ExperimentSpec(files=(str(ratings_file),))
    with pytest.raises(ValueError, match="run_grid runs in one process, got 2"):
        run_grid(spec, {"sasrec": config}, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_world_of_one_is_no_obstacle(monkeypatch: pytest.MonkeyPatch) -> None:
    for size in ("1", "", "some"):
        monkeypatch.setenv("WORLD_SIZE", size)
        assert number_of_processes() == 1
        require_one_process("train")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        place = f"tcp://127.0.0.1:{free.getsockname()[1]}"
    torch.distributed.init_process_group("gloo", init_method=place, rank=0, world_size=1)
    try:
        monkeypatch.setenv("WORLD_SIZE", "2")  # the group knows better
        assert number_of_processes() == 1
        monkeypatch.setattr(torch.distributed, "get_world_size", lambda: 3)
        with pytest.raises(ValueError, match="got 3"):
            require_one_process("train")
    finally:
        torch.distributed.destroy_process_group()
