"""SIGKILL at any moment: the same command again comes to the same result, and nothing is left."""

from __future__ import annotations

import random
import shutil
import signal
import time
from pathlib import Path

import pytest

from helpers.command_line import SMALL
from helpers.commands import LONG, Commands, hidden, result

KILLS = 20 if LONG else 2


def arguments_of(command: str, ratings: Path, run: Path, out: Path) -> list[object]:
    """The call of a command that writes to the folder ``out``."""
    grid = ["--recipes=default,equal_weights", "--seeds=0,1", "--noises=none", "--no_figures"]
    small = ["--epochs=2", "--num_blocks=1", "--min_epochs=1", "--min_steps=0", "--threads=1"]
    return {
        "train": ["train", ratings, "--out", out, *SMALL, "--resume"],
        "audit": ["audit", ratings, "--out", out],
        "export": ["export", "--run", run, "--out", out],
        "experiment": ["experiment", f"--files={ratings}", "--out", out, *grid, *small],
    }[command]


@pytest.mark.parametrize("command", ["train", "audit", "experiment", "export"])
def test_random_kills(command: str, warm: Commands, ratings_file: Path, a_run: Path) -> None:
    chosen = random.Random(command)
    whole, out = warm.folder / f"{command}_whole", warm.folder / f"{command}_killed"
    started = time.monotonic()
    warm.run(*arguments_of(command, ratings_file, a_run, whole))
    usual, wanted = time.monotonic() - started, result(whole)
    for turn in range(KILLS):
        status: int | None = 0
        while status == 0:  # it was faster than the kill
            shutil.rmtree(out, ignore_errors=True)
            killed = warm.start(*arguments_of(command, ratings_file, a_run, out))
            if (status := killed.wait(chosen.uniform(0.05, 0.9) * usual)) is None:
                killed.send(signal.SIGKILL)
                status = killed.wait()
        assert status == -signal.SIGKILL, killed.said
        warm.run(*arguments_of(command, ratings_file, a_run, out))
        assert result(out) == wanted, turn
        assert hidden(out) == []


def test_a_kill_at_a_file_event_of_train(warm: Commands, ratings_file: Path) -> None:
    whole, out = warm.folder / "events_whole", warm.folder / "events_killed"
    counted = warm.folder / "counted"
    few = [*SMALL[:-1], "--epochs=1", "--resume", *([] if LONG else ["--no_baseline"])]

    def train(folder: Path, kill_at: int) -> int | None:
        events = [str(folder), kill_at, str(counted)]
        return warm.start("train", ratings_file, "--out", folder, *few, events=events).wait()

    assert train(whole, -1) == 0
    wanted, total = result(whole), int(counted.read_text())
    assert total > 20
    every = range(1, total + 1) if LONG else random.Random(7).sample(range(1, total + 1), 5)
    for event in every:
        shutil.rmtree(out, ignore_errors=True)
        assert train(out, event) == -signal.SIGKILL
        assert train(out, -1) == 0, event
        assert result(out) == wanted, event
        assert hidden(out) == []
