"""The folder of a run: its data compared whole, its name a name, one writer, kills harmless."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import torch

from atjt_ext.cli.main import main
from atjt_ext.data import Sequences, leave_one_out
from atjt_ext.data.locks import FolderInUseError, exclusive
from atjt_ext.data.manifest import manifest_path, verify_manifest
from atjt_ext.runs.build import load_models
from atjt_ext.runs.evaluate import compare_runs
from atjt_ext.runs.folder import Run
from atjt_ext.runs.train import train_run
from atjt_ext.training.checkpoint import CheckpointError
from helpers.small_run import make_run, small_sequences, without_manifest


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return make_run(tmp_path_factory.mktemp("folder") / "run", recipe="default", epochs=2)


@pytest.fixture
def copied(made: Run, tmp_path: Path) -> Run:
    return Run(Path(shutil.copytree(made.folder, tmp_path / "copy")))


def resumed(run: Run, sequences: Sequences | None = None) -> dict[str, Any]:
    data = small_sequences() if sequences is None else sequences
    return train_run(run.folder, data, run.config(), resume=True, progress=False)


# ---- data compared whole ------------------------------------------------------------------------


def moved_border(data: Sequences) -> Sequences:
    offsets = data.offsets.clone()
    offsets[1] -= 1  # the last item of the first user is the first of the second
    return replace(data, offsets=offsets)


def planted(data: Sequences) -> Sequences:
    return replace(data, is_noise=torch.ones(data.num_interactions, dtype=torch.bool))


@pytest.mark.parametrize(
    ("change", "part"),
    [(moved_border, "borders between users"), (planted, "known noise")],
)
def test_a_run_does_not_go_on_with_other_data(
    copied: Run, change: Callable[[Sequences], Sequences], part: str
) -> None:
    before = copied.metrics_path.read_bytes()
    with pytest.raises(CheckpointError, match=f"the {part} have changed since the run to resume"):
        resumed(copied, change(small_sequences()))
    assert copied.metrics_path.read_bytes() == before


def test_a_baseline_of_other_interactions_is_refused(copied: Run, tmp_path: Path) -> None:
    shutil.copytree(copied.folder, copied.baseline.folder)
    path = without_manifest(copied.baseline).data.sequences_path
    frame = pl.read_parquet(path)
    frame.with_columns(pl.col("items").list.reverse()).write_parquet(path)
    assert main(["report", f"--run={copied.folder}", f"--out={tmp_path / 'page.html'}"]) == 1
    with pytest.raises(CheckpointError, match="interactions have changed since the run began"):
        copied.baseline.check_same_data(copied.sequences())


def test_ranks_of_other_users_are_not_compared(copied: Run, made: Run) -> None:
    path = without_manifest(copied).ranks_path
    pl.read_parquet(path).reverse().write_parquet(path)
    with pytest.raises(CheckpointError, match=r"ranks\.parquet: other users than in .*/run/ranks"):
        compare_runs(made, copied, "NDCG@10")
    assert not made.comparison_path.exists()


# ---- names are names ----------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["seed[1]", "a*", "what?", "{a,b}", "~", "x=1", "%20", "\\d"])
def test_the_name_of_a_folder_is_a_name(
    name: str, made: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    # Where the name is a pattern, it fits this folder, too.
    for other in ("seed1", "ab", "whatx", "a", "home"):
        shutil.copytree(made.folder, tmp_path / other)
        table = pl.DataFrame({"user": ["x"], "rank": [999]})
        table.write_parquet(tmp_path / other / "ranks.parquet")
    run = make_run(Path(name), recipe="default", epochs=1)
    assert run.ranks().tolist() == Run(tmp_path / name).ranks().tolist()
    assert len(run.ranks()) == small_sequences().num_users
    models = load_models(run, run.sequences())
    assert models.evaluate(leave_one_out(run.sequences()).test) == run.metrics()["test"]
    commands = [
        ["evaluate"],
        ["recommend", "--users=all", f"--out={name}/recs.parquet"],
        ["recommend", "--users=all", f"--out={name}/recs.csv"],
        ["audit"],
        ["export", f"--out={name}/export"],
    ]
    for command, *options in commands:
        assert main([command, f"--run={name}", *options]) == 0
    for file in ("recs.parquet", "recs.csv", "audit/interactions.parquet", "export/item_ids.json"):
        assert (tmp_path / name / file).is_file()


# ---- the manifest of a run ----------------------------------------------------------------------


def states(run: Run) -> list[list[str | None]]:
    files: dict[str, list[str | None]] = json.loads(manifest_path(run.folder).read_text())["files"]
    return list(files.values())


def test_a_finished_run_has_one_digest_for_each_file(made: Run) -> None:
    files = {path.name for path in made.folder.iterdir() if path.is_file()}
    assert set(json.loads(manifest_path(made.folder).read_text())["files"]) == files
    assert [len(one) for one in states(made)] == [1] * len(files)
    verify_manifest(made.folder)


def test_without_its_manifest_a_run_is_refused(copied: Run) -> None:
    shutil.rmtree(manifest_path(copied.folder).parent)
    for read in (copied.config, copied.sequences, copied.metrics, copied.ranks, copied.history):
        with pytest.raises(CheckpointError, match=r"sha256\.json: missing, so the files"):
            read()


def test_a_resumed_run_of_an_earlier_release_gets_a_manifest(copied: Run) -> None:
    before = without_manifest(copied).metrics()
    assert resumed(copied) == before
    assert manifest_path(copied.folder).exists()
    assert [len(one) for one in states(copied)] == [1] * len(states(copied))
    verify_manifest(copied.folder)
    copied.config_path.write_text(copied.config_path.read_text() + " ")
    with pytest.raises(CheckpointError, match=r"config\.json: damaged, or edited"):
        copied.config()


def test_results_that_are_gone_are_computed_again(copied: Run) -> None:
    before = copied.metrics()
    for path in (copied.metrics_path, copied.weights_path, copied.interactions_path):
        path.unlink()
    assert resumed(copied) == before
    verify_manifest(copied.folder)
    copied.checkpoint_path.unlink()
    with pytest.raises(CheckpointError, match=r"checkpoint\.pt: missing, but"):
        resumed(copied)


def test_features_of_a_killed_start_do_not_stay(made: Run, tmp_path: Path) -> None:
    run, data = Run(tmp_path / "run"), small_sequences()
    run.folder.mkdir()
    pl.DataFrame({"name": ["brand"]}).write_parquet(run.data.item_features_path)
    run.create(made.config(), data, resume=True)
    assert run.sequences().item_features == {}


@pytest.mark.parametrize("mode", [0o000, 0o200])
@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read_is_named(copied: Run, mode: int) -> None:
    copied.config_path.chmod(mode)
    with pytest.raises(CheckpointError, match=r"config\.json: can't be read \(Permission denied\)"):
        copied.config()


# ---- one writer ---------------------------------------------------------------------------------


def test_a_folder_in_use_is_refused_before_anything_is_written(copied: Run, tmp_path: Path) -> None:
    new = tmp_path / "new"
    arguments = {
        "train": (new, lambda: train_run(new, small_sequences(), copied.config(), progress=False)),
        "compare": (copied.folder, lambda: compare_runs(copied, copied, "NDCG@10")),
    }
    for folder, work in arguments.values():
        ready, done = os.pipe(), os.pipe()
        pid = os.fork()
        if pid == 0:
            with exclusive(folder):
                os.write(ready[1], b"x")
                os.read(done[0], 1)
            os._exit(0)
        os.read(ready[0], 1)
        before = sorted(folder.rglob("*"))
        with pytest.raises(FolderInUseError, match=str(folder)):
            work()
        assert sorted(folder.rglob("*")) == before
        os.write(done[1], b"x")
        os.waitpid(pid, 0)
        for end in (*ready, *done):
            os.close(end)
    assert not copied.comparison_path.exists()


# ---- kills --------------------------------------------------------------------------------------


def test_a_start_that_is_killed_at_any_event_begins_again(made: Run, tmp_path: Path) -> None:
    config, data = made.config(), small_sequences()
    kills = 0
    while True:
        run = Run(tmp_path / f"run{kills}")
        killed = in_process(lambda run=run: run.create(config, data, resume=True), at=kills)
        if not killed:
            break
        kills += 1
        run.create(config, data, resume=True)
        assert run.config() == config
        assert run.check_same_data(data).num_users == data.num_users
        verify_manifest(run.folder)
    assert kills > 10


class Killed(BaseException):
    """In place of a signal: polars' threads do not survive a fork."""


def in_process(work: Callable[[], object], *, at: int) -> bool:
    """Whether ``work`` met a file event number ``at``; it ends there, and cleans nothing up."""
    count = 0
    with pytest.MonkeyPatch.context() as patched:
        for owner, name in ((os, "fsync"), (Path, "replace"), (Path, "unlink")):
            usual = getattr(owner, name)

            def event(*arguments: object, usual: Any = usual, **named: object) -> object:
                nonlocal count
                count += 1
                if count > at:
                    raise Killed
                return usual(*arguments, **named)

            patched.setattr(owner, name, event)
        try:
            work()
        except Killed:
            return True
    return False


def test_a_file_in_place_of_a_run_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "file"
    path.write_text("x")
    assert main(["evaluate", "--run", str(path)]) == 1
    assert capsys.readouterr().err.startswith(f"error: {path}: no run here (no ")
    with pytest.raises(NotADirectoryError, match="not a folder"), exclusive(path):
        pass
