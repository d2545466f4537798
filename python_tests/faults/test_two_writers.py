"""Two commands that write to one folder at once: one does, the other is refused."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from atjt_ext.data.locks import exclusive
from helpers.command_line import SMALL
from helpers.commands import Commands, hidden


def test_of_two_trains_in_one_folder_one_is_refused(warm: Commands, ratings_file: Path) -> None:
    out = warm.folder / "two"
    arguments = ["train", ratings_file, "--out", out, "--no_baseline", *SMALL]
    both = [warm.start(*arguments, f"--seed={seed}") for seed in (0, 1)]
    assert sorted([one.wait() for one in both], key=str) == [0, 1]
    (refused,) = (one for one in both if "error" in str(one.said))
    (line,) = refused.said
    assert line.startswith(f"error: {out}: ")
    assert "is writing here (process " in line or "holds a run already" in line
    assert hidden(out) == []
    warm.run("evaluate", "--run", out)


@pytest.mark.parametrize("command", ["train", "audit", "experiment", "export", "demo"])
def test_a_folder_in_use_is_refused_in_one_line(
    command: str, warm: Commands, ratings_file: Path, a_run: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    inputs: dict[str, list[object]] = {
        "train": [ratings_file, *SMALL],
        "audit": [ratings_file],
        "experiment": [f"--files={ratings_file}", "--no_figures", "--epochs=1"],
        "export": ["--run", a_run],
        "demo": ["--num_users=200", "--num_items=100", "--epochs=1"],
    }
    with exclusive(out, "atjt train"):
        started = warm.start(command, *inputs[command], "--out", out)
        assert started.wait() == 1
        told = f"atjt train is writing here (process {os.getpid()} on "
        assert len(started.said) == 1, started.said
        assert told in started.said[0]
        assert [path.name for path in out.iterdir()] == [".lock"]
