"""Checkpoints: written whole or not at all; damaged files raise plain errors."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from atjt_ext.data.files import write_atomically
from atjt_ext.training import checkpoint
from atjt_ext.training.checkpoint import CheckpointError, load_checkpoint, save_checkpoint

STATE = {
    "epoch": 3,
    "model": {"weight": torch.arange(6.0).view(2, 3)},
    "history": [{"loss": 0.5, "auc": None, "name": "a"}],
}


def _one_line_refusal(path: Path, match: str) -> None:
    with pytest.raises(CheckpointError, match=match) as caught:
        load_checkpoint(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


def test_what_was_saved_comes_back(tmp_path: Path) -> None:
    path = tmp_path / "new" / "folder" / "state.pt"
    save_checkpoint(path, STATE)
    state = load_checkpoint(path)
    assert torch.equal(state["model"]["weight"], STATE["model"]["weight"])  # type: ignore[index]
    assert state["history"] == STATE["history"]
    assert state["epoch"] == torch.load(path, weights_only=True)["epoch"] == 3


def test_a_failure_while_writing_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "state.pt"
    save_checkpoint(path, STATE)
    before = path.read_bytes()

    def half(state: object, target: Path) -> None:
        target.write_bytes(b"half a")
        raise OSError("disk full")

    monkeypatch.setattr(checkpoint.torch, "save", half)
    with pytest.raises(OSError, match="disk full"):
        save_checkpoint(path, {"epoch": 4})
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["state.pt"]


def test_an_interrupt_while_writing_leaves_nothing(tmp_path: Path) -> None:
    def interrupted(target: Path) -> None:
        target.write_text("half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_atomically(tmp_path / "report.txt", interrupted)
    assert os.listdir(tmp_path) == []


def test_the_file_appears_in_one_step(tmp_path: Path) -> None:
    path = tmp_path / "report.txt"
    path.write_text("old")

    def write(target: Path) -> None:
        assert target != path
        assert target.parent == path.parent  # a rename across file systems is not one step
        target.write_text("new")
        assert path.read_text() == "old"

    write_atomically(path, write)
    assert path.read_text() == "new"
    assert os.listdir(tmp_path) == ["report.txt"]


@pytest.fixture
def umask() -> Iterator[None]:
    before = os.umask(0o027)
    yield
    os.umask(before)


@pytest.mark.usefixtures("umask")
def test_the_file_mode_is_that_of_any_new_file(tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "state.pt", STATE)
    assert stat.S_IMODE((tmp_path / "state.pt").stat().st_mode) == 0o640
    assert os.umask(0o027) == 0o027  # looking at the mask has not changed it


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    _one_line_refusal(tmp_path / "state.pt", "no such checkpoint")
    _one_line_refusal(tmp_path, "no such checkpoint")


@pytest.mark.parametrize("kept", [0.0, 0.1, 0.5, 0.9, 0.999])
def test_a_truncated_file_is_refused(tmp_path: Path, kept: float) -> None:
    path = tmp_path / "state.pt"
    save_checkpoint(path, STATE)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(kept * len(whole))])
    _one_line_refusal(path, "not a readable checkpoint")


def test_a_flipped_bit_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "state.pt"
    save_checkpoint(path, STATE)
    damaged = bytearray(path.read_bytes())
    weights = torch.arange(6.0).numpy().tobytes()
    damaged[bytes(damaged).index(weights) + 5] ^= 1
    path.write_bytes(damaged)
    _one_line_refusal(path, r"not a readable checkpoint \(wrong checksum of .*data/0\)")


@pytest.mark.parametrize(
    "content",
    [b"user,item\n1,2\n", b"0garbage", b"h\x07", b"\x80\x02}q\x00.", b"\x89PNG\r\n\x1a\n", b"a"],
)
def test_a_file_of_another_kind_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "ratings.csv"
    path.write_bytes(content)
    _one_line_refusal(path, "not a readable checkpoint")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"format": 1, "call": print}, "not a readable checkpoint"),
        ({"format": 99}, "checkpoint format 1 or 2 wanted, found 99"),
        ({"weight": torch.ones(1)}, "checkpoint format 1 or 2 wanted, found None"),
        (torch.ones(1), "checkpoint format 1 or 2 wanted, found Tensor"),
    ],
)
def test_code_and_other_formats_are_refused(tmp_path: Path, content: object, message: str) -> None:
    torch.save(content, tmp_path / "state.pt")
    _one_line_refusal(tmp_path / "state.pt", message)
