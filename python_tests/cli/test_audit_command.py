"""``atjt audit``: what it prints, writes and refuses."""

from __future__ import annotations

import shutil
from pathlib import Path

import polars as pl
import pytest

from atjt_ext.cli.main import main
from atjt_ext.data import PlantedNoise, read_interactions, simulate_interactions, to_sequences
from atjt_ext.report.audit import audit_run, audit_sequences
from atjt_ext.runs.folder import Run
from helpers.command_line import refusal
from helpers.hostile_run import HOSTILE


@pytest.fixture(scope="module")
def ratings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("data") / "ratings.csv"
    made = simulate_interactions(
        num_users=150,
        num_items=60,
        seed=3,
        mean_length=10,
        max_length=24,
        noise=PlantedNoise(noisy_user_share=0.3),
    )
    made.frame.write_csv(path)
    return path


def test_a_file_is_audited_whole(
    ratings: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("COLUMNS", "400")  # no reason is broken over lines
    out = tmp_path / "audit"
    assert main(["audit", str(ratings), f"--out={out}", "--top=3", "--seed=1"]) == 0
    audit = audit_sequences(to_sequences(read_interactions(ratings)), seed=1)
    assert pl.read_parquet(out / "interactions.parquet").equals(audit.interactions())
    assert pl.read_parquet(out / "sequences.parquet").equals(audit.users())
    shown = capsys.readouterr().out
    *three, fourth = audit.most_suspicious(4)
    for one in three:
        row = next(line for line in shown.splitlines() if one.reason in line)
        assert {one.user, one.item, f"{one.p_noise:.3f}"} <= set(row.split())
    assert fourth.reason not in shown
    assert audit.summary() in shown
    assert audit.truth_summary() in shown
    assert "does P(noise) mean what it says?" in shown
    assert str(out / "interactions.parquet") in shown


def test_options_say_how_a_file_is_read(
    ratings: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [f"--out={tmp_path}", "--latest=5", "--write=csv", "--top=0"]
    assert main(["audit", str(ratings), *arguments]) == 0
    assert pl.read_csv(tmp_path / "sequences.csv")["length"].max() == 5
    assert "why" not in capsys.readouterr().out


def test_a_run_is_audited_with_its_own_ids(
    trained_run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["audit", f"--run={trained_run.folder}", f"--out={tmp_path}"]) == 0
    frame = pl.read_parquet(tmp_path / "interactions.parquet")
    assert frame.equals(audit_run(trained_run).interactions())
    assert frame["user"].str.starts_with(HOSTILE).all()
    assert HOSTILE in capsys.readouterr().out
    shutil.copytree(trained_run.folder, tmp_path / "run")
    assert main(["audit", f"--run={tmp_path / 'run'}", "--top=0"]) == 0
    assert (tmp_path / "run" / "audit" / "interactions.parquet").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "audit needs either a file or --run, got neither"),
        (["a.csv", "--run=b"], "audit needs either a file or --run, got both"),
        (["--run=b", "--k_core=3"], "--run takes the data and the judge of the run, so k_core "),
        (["--run=b", "--seed=0"], "so seed must not be given"),
        (["a.csv", "--top=-1"], "top must be at least 0, got -1"),
        (["a.csv", "--latest=2"], "latest must be 0 or at least 3, got 2"),
        (["--run=nowhere"], "nowhere: no run here"),
        (["nowhere.csv"], "nowhere.csv"),
        (["a.csv", "--seed=-1"], "seed"),
    ],
)
def test_a_wrong_call_is_one_line_and_leaves_nothing(
    arguments: list[str],
    message: str,
    ratings: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.csv").write_bytes(ratings.read_bytes())
    assert message in refusal(capsys, "audit", *arguments)
    assert not (tmp_path / "runs").exists()


def test_one_user_cannot_be_judged(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "one.csv"
    path.write_text("user,item,time\n" + "".join(f"u,i{n},{n}\n" for n in range(5)))
    assert "at least 2 users, to judge one by another, got 1" in refusal(
        capsys, "audit", str(path), f"--out={tmp_path / 'x'}"
    )
