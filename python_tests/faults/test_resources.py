"""Full disks, short memory, closed pipes, terminals without characters: one line, nothing half."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from atjt_ext.cli.main import main
from atjt_ext.data.errors import is_out_of_memory
from helpers.command_line import SMALL
from helpers.commands import ENVIRONMENT, Command, Commands, hidden

SMALL_GRID = ["--seeds=0", "--noises=none", "--no_figures", "--epochs=1", "--min_epochs=1"]


def only_line(command: Command) -> str:
    """What a failed command says after its progress: one line."""
    assert command.wait() == 1, command.said
    assert not any("Traceback" in line for line in command.said), command.said
    (line,) = (line for line in command.said if line.startswith("error: "))
    assert command.said[-1] == line
    return line


def writers(ratings: Path, run: Path, out: Path) -> dict[str, list[object]]:
    return {
        "train": ["train", ratings, "--out", out, *SMALL, "--no_baseline", "--epochs=1"],
        "audit": ["audit", ratings, "--out", out],
        "export": ["export", "--run", run, "--out", out],
        "recommend": ["recommend", "--run", run, "--users=all", "--out", out / "r.parquet"],
        "recommend csv": ["recommend", "--run", run, "--users=all", "--out", out / "r.csv"],
        "report": ["report", "--run", run, "--out", out / "r.html"],
    }


@pytest.mark.parametrize(
    ("name", "size"),
    [("train", 1000), ("train", 5000), ("train", 20_000)]
    + [(name, 1000) for name in ("audit", "export", "recommend", "recommend csv", "report")],
)
def test_a_full_disk_is_one_line_that_names_the_file(
    name: str, size: int, warm: Commands, ratings_file: Path, a_run: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    failed = warm.start(*writers(ratings_file, a_run, out)[name], file_size=size)
    line = only_line(failed)
    assert line.startswith(f"error: {out}/")
    assert "/." not in line  # not the name of a temporary
    assert line.endswith(": could not be written (File too large)")
    assert hidden(tmp_path) == []


def test_a_full_disk_stops_every_cell_of_a_grid_without_a_traceback(
    warm: Commands, ratings_file: Path, tmp_path: Path
) -> None:
    grid = ["experiment", f"--files={ratings_file}", "--recipes=equal_weights", *SMALL_GRID]
    failed = warm.start(*grid, "--out", tmp_path / "out", file_size=1000)
    assert failed.wait() == 1
    assert not any("Traceback" in line for line in failed.said), failed.said
    assert sum("could not be written (File too large)" in line for line in failed.said) >= 1
    assert hidden(tmp_path) == []


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 100 KiB."""
    folder = tmp_path / "tiny"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=100k", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True).returncode != 0:
        pytest.skip("only root can mount a file system, and not in every container")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_disk_that_fills_up_while_training(
    warm: Commands, ratings_file: Path, tiny_disk: Path
) -> None:
    out = tiny_disk / "out"
    line = only_line(warm.start("train", ratings_file, "--out", out, *SMALL))
    assert "No space left on device" in line
    assert line.startswith(f"error: {out}")
    assert hidden(tiny_disk) == []


def test_too_little_memory_is_one_line_that_says_what_to_lower(
    warm: Commands, ratings_file: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    given = ["train", ratings_file, "--out", out, *SMALL, "--no_baseline"]
    given += ["--embedding_dim=200000"]
    line = only_line(warm.start(*given, more_memory=1 << 30))
    assert line.startswith("error: out of memory (")
    assert line.endswith("; a lower batch_size, max_length or embedding_dim needs less")
    assert hidden(tmp_path) == []


def test_the_ways_to_be_out_of_memory() -> None:
    for error in (
        MemoryError(),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"),
        RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 9 bytes"),
        RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB"),
        ImportError("libtorch.so: failed to map segment: Cannot allocate memory"),
        OSError(12, "Cannot allocate memory"),
    ):
        assert is_out_of_memory(error), error
    for other in (RuntimeError("shape mismatch"), ValueError("out of memory"), KeyError("x")):
        assert not is_out_of_memory(other), other


def test_a_pipe_that_is_closed_ends_quietly(warm: Commands, a_run: Path) -> None:
    closed = warm.start("evaluate", "--run", a_run, closed_output=True)
    assert closed.wait() == 141
    assert closed.said == []
    # In an interpreter of its own: nothing at its end either.
    process = subprocess.Popen(
        [sys.executable, "-m", "atjt_ext", "--help"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=ENVIRONMENT,
    )
    assert process.stdout is not None
    process.stdout.close()
    _, said = process.communicate(timeout=60)
    assert (process.returncode, said) == (141, b"")


@pytest.mark.parametrize("encoding", ["ascii", "cp1252"])
def test_a_terminal_that_lacks_characters_shows_others(
    encoding: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    bytes_out, bytes_err = io.BytesIO(), io.BytesIO()
    out = io.TextIOWrapper(bytes_out, encoding=encoding)
    errors = io.TextIOWrapper(bytes_err, encoding=encoding)
    monkeypatch.setattr(sys, "stdout", out)
    monkeypatch.setattr(sys, "stderr", errors)
    assert main(["train", str(tmp_path / "\u4e2d.csv")]) == 1
    assert bytes_err.getvalue().endswith(b"?.csv: no such file\n")
    assert (out.errors, errors.errors) == ("strict", "strict")


@pytest.mark.parametrize("arguments", ["--help", "train --help"])
def test_an_output_that_can_not_be_written_is_one_line(arguments: str) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("/dev/full is Linux's")
    done = subprocess.run(
        f"{sys.executable} -m atjt_ext {arguments} > /dev/full",
        shell=True,
        capture_output=True,
        text=True,
        env={**ENVIRONMENT, "PYTHONUNBUFFERED": ""},
        timeout=60,
    )
    assert done.returncode == 1
    assert done.stderr == "error: [Errno 28] No space left on device\n"
