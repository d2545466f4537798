"""Curves for TensorBoard: their content, and their continuation by a resumed run."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from atjt_ext.cli.main import main
from atjt_ext.recognition.weighting import WeightSummary
from atjt_ext.runs.folder import Run
from atjt_ext.runs.train import train_run
from atjt_ext.training.history import EpochRecord
from atjt_ext.training.tensorboard_log import TensorBoardLog
from helpers.small_run import make_run, small_interactions, small_sequences

WEIGHTS = WeightSummary(mean=0.9, std=0.1, min=0.2, max=1.0)


def record(epoch: int, *, noise: bool = True) -> EpochRecord:
    return EpochRecord(
        epoch=epoch,
        recommender_loss=4.0 / epoch,
        noise_loss=0.7 if noise else None,
        noise_auc=0.6 if noise else None,
        weights=WEIGHTS,
        weights_used="all",
        valid={"NDCG@10": 0.1 * epoch},
        seconds=2.0,
        learning_rate=1e-3 / epoch,
    )


def test_scalars_are_all_numbers_of_an_epoch_that_there_are() -> None:
    values = record(2).scalars()
    assert values == {
        "loss/recommender": 2.0,
        "loss/noise": 0.7,
        "noise/held_out_AUC": 0.6,
        "weights/mean": 0.9,
        "weights/std": 0.1,
        "weights/min": 0.2,
        "weights/max": 1.0,
        "valid/NDCG@10": 0.2,
        "learning_rate": 5e-4,
        "seconds": 2.0,
    }
    without = record(2, noise=False).scalars()
    assert set(values) - set(without) == {"loss/noise", "noise/held_out_AUC"}


def test_a_record_from_before_learning_rates_were_kept_is_read() -> None:
    values = record(1).as_dict()
    del values["learning_rate"]
    old = EpochRecord.from_dict(values)
    assert old.learning_rate is None
    assert "learning_rate" not in old.scalars()


def test_without_the_package_it_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(ImportError, match=r"tensorboard: pip install 'atjt_ext\[track\]'"):
        TensorBoardLog(tmp_path)
    out = tmp_path / "run"
    with pytest.raises(ImportError, match="need the package tensorboard"):
        train_run(out, small_sequences(), Run.config(make_run(tmp_path / "a")), tensorboard=True)
    assert not out.exists()


@pytest.fixture
def curves() -> Any:
    """Reads a folder as TensorBoard does: ``{tag: [(step, value), ...]}``."""
    pytest.importorskip("tensorboard", reason="tensorboard is not installed")
    from tensorboard.backend.event_processing.event_file_loader import EventFileLoader
    from tensorboard.util.tensor_util import make_ndarray

    def read(folder: Path) -> dict[str, list[tuple[int, float]]]:
        found: dict[str, list[tuple[int, float]]] = {}
        for path in sorted(folder.glob("events.*")):
            for event in EventFileLoader(str(path)).Load():
                for value in event.summary.value:
                    point = event.step, float(make_ndarray(value.tensor))
                    found.setdefault(value.tag, []).append(point)
        return found

    return read


def test_every_epoch_is_written_once(curves: Any, tmp_path: Path) -> None:
    log, history = TensorBoardLog(tmp_path / "t"), [record(1), record(2), record(3)]
    assert not (tmp_path / "t").exists()
    for length in (1, 2, 3):
        log(history[:length])
        assert len(curves(tmp_path / "t")["seconds"]) == length  # on disk at once
    log.close()
    found = curves(tmp_path / "t")
    assert set(found) == set(history[0].scalars())
    for name, points in found.items():
        assert [step for step, _ in points] == [1, 2, 3]
        expected = [one.scalars()[name] for one in history]
        assert [value for _, value in points] == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("lost", [0, 1, 2])
def test_a_resumed_run_goes_on_with_the_curves(curves: Any, tmp_path: Path, lost: int) -> None:
    history = [record(epoch) for epoch in range(1, 5)]
    first = TensorBoardLog(tmp_path)
    for length in range(1, 4 - lost):  # the last epochs before the kill may be missing
        first(history[:length])
    second = TensorBoardLog(tmp_path)
    second(history[:3])  # fit calls it with what the checkpoint knows
    second(history)
    assert len(list(tmp_path.iterdir())) == 1
    assert {name: [step for step, _ in points] for name, points in curves(tmp_path).items()} == {
        name: [1, 2, 3, 4] for name in history[0].scalars()
    }


def test_curves_of_others_in_the_folder_stay(curves: Any, tmp_path: Path) -> None:
    pytest.importorskip("tensorboard", reason="tensorboard is not installed")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from torch.utils.tensorboard import SummaryWriter

    with SummaryWriter(str(tmp_path)) as theirs:
        for step in range(3):
            theirs.add_scalar("theirs", step, global_step=step)
    TensorBoardLog(tmp_path)([record(1)])
    shown = EventAccumulator(str(tmp_path)).Reload()
    assert [event.step for event in shown.Scalars("theirs")] == [0, 1, 2]
    assert len(shown.Scalars("seconds")) == 1
    TensorBoardLog(tmp_path)([record(1), record(2)])  # its own is written anew, theirs is there
    assert [step for step, _ in curves(tmp_path)["theirs"]] == [0, 1, 2]
    assert [step for step, _ in curves(tmp_path)["seconds"]] == [1, 2]


def test_the_command_writes_curves_of_the_run_and_its_baseline(curves: Any, tmp_path: Path) -> None:
    path, out = tmp_path / "ratings.csv", tmp_path / "run"
    small_interactions().frame.select("user", "item", "time").write_csv(path)
    command = ["train", str(path), f"--out={out}", "--tensorboard", "--device=cpu", "--epochs=2"]
    command += ["--recipe=joint", "--embedding_dim=8", "--num_blocks=1", "--max_length=10"]
    for resume in ([], ["--resume"]):
        assert main([*command, *resume]) == 0
        for folder in (out, out / "equal_weights"):
            lines = (folder / "history.jsonl").read_text().splitlines()
            losses = [json.loads(line)["recommender_loss"] for line in lines]
            found = curves(folder / "tensorboard")
            assert [value for _, value in found["loss/recommender"]] == pytest.approx(losses)
            assert ("loss/noise" in found) == (folder == out)
