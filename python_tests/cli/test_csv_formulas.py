"""Formulas in ids: escaped in CSV files unless asked for, never in Parquet."""

from __future__ import annotations

import csv
from pathlib import Path

import polars as pl
import pytest

from atjt_ext.cli.main import main
from helpers.command_line import SMALL, refusal

USERS = ["=cmd|'/C calc'!A0", "+1+1", "@SUM(1)", "-2+3", "'u", "-5", *"abcdef"]
ITEMS = ['=HYPERLINK("http://x","y")', "\t=1", *"uvwxyz"]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on ids of which many are formulas."""
    folder = tmp_path_factory.mktemp("formulas")
    with (folder / "evil.csv").open("w", newline="") as file:
        rows = csv.writer(file, quoting=csv.QUOTE_ALL)
        rows.writerow(["user", "item", "time"])
        for u, user in enumerate(USERS):
            rows.writerows([user, ITEMS[(u + n) % len(ITEMS)], n] for n in range(5))
    arguments = ["--recipe=equal_weights", *SMALL, "--epochs=1"]
    assert main(["train", str(folder / "evil.csv"), f"--out={folder / 'run'}", *arguments]) == 0
    return folder / "run"


def ids(path: Path) -> set[str]:
    """The cells of ids in a CSV file."""
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    return {row[name] for row in rows for name in ("user", "item") if name in row}


def test_recommendations(run: Path, tmp_path: Path) -> None:
    command = ["recommend", f"--run={run}", "--users=all", "--k=8"]
    assert main([*command, f"--out={tmp_path / 'a.csv'}"]) == 0
    escaped = ids(tmp_path / "a.csv")
    assert not any(cell[0] in "=+@\t" for cell in escaped)
    assert {"'=cmd|'/C calc'!A0", "'+1+1", "'@SUM(1)", "'-2+3", "''u", "-5", "a"} <= escaped
    assert main([*command, f"--out={tmp_path / 'b.csv'}", "--formulas=keep"]) == 0
    assert set(USERS) <= ids(tmp_path / "b.csv")
    assert {cell.removeprefix("'") for cell in escaped} == ids(tmp_path / "b.csv")
    assert main([*command, f"--out={tmp_path / 'c.parquet'}"]) == 0
    assert set(pl.read_parquet(tmp_path / "c.parquet")["user"]) == set(USERS)


def test_audits(run: Path, tmp_path: Path) -> None:
    command = ["audit", f"--run={run}", "--top=0"]
    assert main([*command, f"--out={tmp_path}", "--write=csv"]) == 0
    for name in ("interactions.csv", "sequences.csv"):
        assert not any(cell[0] in "=+@\t" for cell in ids(tmp_path / name))
        assert "'+1+1" in ids(tmp_path / name)
    assert main([*command, f"--out={tmp_path}", "--write=csv", "--formulas=keep"]) == 0
    assert set(USERS) <= ids(tmp_path / "sequences.csv")
    assert main([*command, f"--out={tmp_path}"]) == 0
    assert set(pl.read_parquet(tmp_path / "sequences.parquet")["user"]) == set(USERS)


def test_an_option_without_effect_is_refused(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for call in (
        ["audit", f"--run={run}", f"--out={tmp_path}"],
        ["recommend", f"--run={run}", "--users=all", f"--out={tmp_path / 'a.parquet'}"],
        ["recommend", f"--run={run}", "--user=a"],
    ):
        message = refusal(capsys, *call, "--formulas=keep")
        assert message == "error: formulas=keep has an effect only on CSV files"
