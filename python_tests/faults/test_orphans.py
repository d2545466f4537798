"""``experiment --jobs``: workers end with their parent, and a signal stops the queue."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

from helpers.commands import LONG, gone, hidden, in_session, starts

# How the parent ends: a signal to it alone or to the whole group, as a terminal sends it.
ENDS = {
    "SIGKILL": (signal.SIGKILL, False),
    "SIGINT to the group": (signal.SIGINT, True),
    **(
        {
            "SIGINT": (signal.SIGINT, False),
            "SIGTERM": (signal.SIGTERM, False),
            "SIGTERM to the group": (signal.SIGTERM, True),
        }
        if LONG
        else {}
    ),
}


@pytest.mark.parametrize("end", ENDS)
def test_no_worker_outlives_its_parent(end: str, ratings_file: Path, tmp_path: Path) -> None:
    number, whole_group = ENDS[end]
    out = tmp_path / "grid"
    grid = [
        f"--files={ratings_file}",
        "--recipes=equal_weights",
        "--seeds=0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15",
    ]
    small = ["--noises=none", "--epochs=5", "--min_epochs=5", "--min_steps=0", "--embedding_dim=8"]
    how = ["--jobs=2", "--threads=1", "--no_figures", "--device=cpu"]
    arguments = ["experiment", *grid, *small, *how, "--out", out]
    with starts(*arguments, folder=tmp_path) as process:
        latest = time.monotonic() + 120
        while not list(out.glob("cells/*.json")):
            assert process.poll() is None
            assert time.monotonic() < latest
            time.sleep(0.05)
        assert len(in_session(process.pid)) >= 3  # the parent and two workers
        (os.killpg if whole_group else os.kill)(process.pid, number)
        sent = time.monotonic()
        assert gone(process.pid, 5), in_session(process.pid)
        assert time.monotonic() - sent < 5
        done = len(list(out.glob("cells/*.json")))
        assert done < 16
        _, told = process.communicate(timeout=10)
    if number == signal.SIGKILL:
        return
    assert process.returncode == 128 + number
    lines = [line for line in told.splitlines() if not line.startswith("[")]
    verb = {signal.SIGINT: "interrupted", signal.SIGTERM: "terminated"}[number]
    assert lines == [f"{verb}; the same command continues after the last whole cell"]
    assert hidden(out) == []
