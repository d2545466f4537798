"""``atjt report``: where the page goes, and what is refused."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from atjt_ext.cli.main import main
from atjt_ext.runs.folder import Run
from helpers.command_line import refusal


def test_the_page_lies_in_the_run_or_where_it_is_told_to(
    trained_run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = Path(shutil.copytree(trained_run.folder, tmp_path / "run"))
    assert main(["report", f"--run={run}"]) == 0
    inside = (run / "report.html").read_text(encoding="utf-8")
    assert str(run / "report.html") in capsys.readouterr().out
    other = tmp_path / "new" / "page.html"
    assert main(["report", f"--run={run}", f"--out={other}", "--top=1"]) == 0
    assert str(other) in capsys.readouterr().out
    shorter = other.read_text(encoding="utf-8")
    assert inside.count('class="why"') > shorter.count('class="why"') == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--run=nowhere"], "nowhere: no run here"),
        (["--run=nowhere", "--top=-1"], "top must be at least 0, got -1"),
    ],
)
def test_a_wrong_call_is_one_line(
    arguments: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert message in refusal(capsys, "report", *arguments)
    assert not list(tmp_path.iterdir())


def test_a_run_is_needed(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["report"])
    assert "run" in capsys.readouterr().err
