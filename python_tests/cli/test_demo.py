"""The demo on little data: it plants noise, finds it and shows it on a page."""

from __future__ import annotations

from pathlib import Path

import pytest

from atjt_ext.cli.main import main
from atjt_ext.runs.folder import Run


def test_the_demo_finds_the_planted_noise_compares_and_writes_a_page(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "demo"
    arguments = ["demo", f"--out={out}", "--num_users=800", "--num_items=120", "--epochs=8"]
    assert main(arguments) == 0
    noise = Run(out).metrics()["noise"]
    assert noise["sequence_AUC"] > 0.6
    assert noise["held_out_AUC"] > 0.52
    shown = capsys.readouterr().out
    assert "30% of the users have 50% of their training items replaced" in shown
    for expected in ("equal weights", "difference", "NDCG@10", "noise sequence_AUC"):
        assert expected in shown
    *_, verdict, found, last = shown.splitlines()
    assert "NDCG@10 against equal weights: " in verdict
    assert f"with AUC {noise['interaction_AUC']:.3f} " in found
    assert last == f"the report page: {out / 'report.html'}, open it in a browser"
    page = (out / "report.html").read_text(encoding="utf-8")
    assert page.count("<svg") > 5
    assert "planted noise" in page


def test_the_demo_does_not_overwrite_a_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "demo"
    small = ["--num_users=100", "--num_items=100", "--epochs=1"]
    assert main(["demo", f"--out={out}", *small]) == 0
    assert main(["demo", f"--out={out}", *small]) == 1
    assert "holds a run already" in capsys.readouterr().err
