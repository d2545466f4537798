"""Every script in examples/ runs on little data and prints the promise of its header."""

from __future__ import annotations

import re
import runpy
from pathlib import Path
from typing import Any

import polars as pl
import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"
SMALL: dict[str, dict[str, Any]] = {
    "better_model": dict(num_users=150, num_items=120, epochs=2),
    "loss_in_your_loop": dict(num_users=150, num_items=120, epochs=2),
    "your_own_recommender": dict(num_users=150, num_items=120, epochs=3),
    "audit_your_table": dict(num_users=400, num_items=150),
    "serve_with_numpy": dict(num_users=150, num_items=120, epochs=2),
}


def printed(name: str, capsys: pytest.CaptureFixture[str], **more: Any) -> str:
    """The output of an example on little data."""
    runpy.run_path(str(EXAMPLES / f"{name}.py"))["main"](**SMALL[name], **more)
    return capsys.readouterr().out


def shares(label: str, text: str) -> list[float]:
    """The numbers after ``label``, all between 0 and 1."""
    found = [float(value) for value in re.findall(rf"{label} (\d\.\d+)", text)]
    assert all(0 < value < 1 for value in found)
    return found


def test_every_script_runs_here_and_is_in_the_index() -> None:
    scripts = {path.stem for path in EXAMPLES.glob("*.py")}
    assert scripts == set(SMALL)
    index = (EXAMPLES / "README.md").read_text(encoding="utf-8")
    assert scripts == set(re.findall(r"\]\((\w+)\.py\)", index))


@pytest.mark.parametrize("name", SMALL)
def test_a_header_has_three_lines_with_subject_output_and_command(name: str) -> None:
    header = (EXAMPLES / f"{name}.py").read_text(encoding="utf-8").split('"""')[1].strip()
    first, shows, run = header.splitlines()
    assert first
    assert shows.startswith("Shows: ")
    assert run.endswith(f"python examples/{name}.py")


def test_better_model_compares_with_equal_weights(capsys: pytest.CaptureFixture[str]) -> None:
    out = printed("better_model", capsys)
    baseline, ours = shares("NDCG@10", out)
    match = re.search(r"difference: ([+-][\d.]+)%", out)
    assert match is not None
    assert float(match[1]) == pytest.approx(100 * (ours / baseline - 1), abs=0.5)
    assert ours != baseline


def test_the_loss_weighs_targets(capsys: pytest.CaptureFixture[str]) -> None:
    out = printed("loss_in_your_loop", capsys)
    (clean,) = shares(r"P\(clean\)", out)
    assert clean > 0.5
    losses = re.findall(r"loss (\d+\.\d+)", out)
    assert len(set(losses)) == 2
    assert len(shares("HR@10", out)) == 2


@pytest.mark.filterwarnings("ignore::atjt_ext.training.trainer.WeightsCollapsedWarning")
def test_your_own_recommender_trains_under_three_recipes(
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = printed("your_own_recommender", capsys)
    assert re.findall(r"(\w+): HR", out) == ["equal_weights", "default", "joint"]
    assert len(shares("HR@10", out)) == len(shares("NDCG@10", out)) == 3


def test_the_audit_finds_planted_noise_and_adds_a_column(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    out = printed("audit_your_table", capsys, folder=tmp_path)
    table = pl.read_parquet(tmp_path / "weighed.parquet")
    assert table.columns[-2:] == ["device", "p_clean"]
    assert table["p_clean"].is_between(0, 1).all()
    assert {"interactions.csv", "sequences.csv"} <= {path.name for path in tmp_path.iterdir()}
    match = re.search(r"([\d,]+) rows flagged, (\d+)% of them planted noise; (\d+)%", out)
    assert match is not None
    flagged = table.filter(pl.col("p_clean") < 0.5)
    assert int(match[1].replace(",", "")) == len(flagged)
    assert int(match[2]) > 2 * int(match[3])


def test_numpy_serves_what_the_trainer_recommends(capsys: pytest.CaptureFixture[str]) -> None:
    out = printed("serve_with_numpy", capsys)
    match = re.search(r"(\d+) of (\d+) lists as trained", out)
    assert match is not None
    assert int(match[1]) >= 0.99 * int(match[2])  # rounding may swap two scores that nearly tie
