"""The benchmarks of the base model: ablation on validation, and two releases in turns."""

from __future__ import annotations

import math
import re
import sys
from pathlib import Path

import pytest
import torch
from torch.nn import functional as F

import base_model
import two_releases
from atjt_ext.data import LeaveOneOut, simulate_interactions


@pytest.mark.parametrize("name", base_model.ARMS)
def test_every_arm_trains_and_leaves_torch_as_it_was(name: str, split: LeaveOneOut) -> None:
    before = F.scaled_dot_product_attention, torch.optim.Adam
    found = base_model.run(split, base_model.ARMS[name], seed=0, epochs=2)
    assert (F.scaled_dot_product_attention, torch.optim.Adam) == before
    assert len(found["ndcg"]) == len(found["seconds"]) == 2
    assert all(0 <= value <= 1 for value in found["ndcg"])
    assert 0 < found["seconds"][0] < found["seconds"][1]


def test_every_arm_differs_from_the_first(split: LeaveOneOut) -> None:
    parameters = {}
    for name, arm in base_model.ARMS.items():
        kept: list[torch.Tensor] = []
        changed = base_model.Arm(
            arm.model,
            arm.training,
            lambda model, arm=arm, kept=kept: (  # type: ignore[misc]
                arm.change(model),
                kept.append(model.item_embedding.weight),
            ),
            arm.attention_dropout,
            arm.betas,
        )
        base_model.run(split, changed, seed=0, epochs=1)
        parameters[name] = kept[0].detach().numpy().tobytes()
    assert len(set(parameters.values())) == len(parameters)


def test_arms_are_compared_seed_by_seed() -> None:
    def result(arm: str, seed: int, *ndcg: float) -> dict[str, object]:
        return {"arm": arm, "seed": seed, "ndcg": list(ndcg), "seconds": [1.0] * len(ndcg)}

    lines = base_model.table(
        [
            result("a", 0, 0.1, 0.3),
            result("b", 0, 0.5, 0.2),
            result("a", 1, 0.2, 0.1),
            result("b", 1, 0.1, 0.3),
        ]
    ).splitlines()
    assert lines[2] == "| a | 2 | 0.2500 | +0.0000 | 0.0000 | 2 | 1 |"
    error = 0.1 / math.sqrt(2) / math.sqrt(2)
    assert lines[3] == f"| b | 2 | 0.4000 | +0.1500 | {error:.4f} | 2 | 1 |"


def test_finished_runs_do_not_run_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file, out = tmp_path / "a.csv", tmp_path / "out.jsonl"
    simulate_interactions(num_users=40, num_items=100, seed=1).frame.write_csv(file)
    threads = torch.get_num_threads()
    arguments = ["--file", str(file), "--out", str(out), "--seeds=1", "--epochs=1", "--arms"]
    try:
        for arms in (["as before"], ["as before", "2 heads"]):
            monkeypatch.setattr(sys, "argv", ["base_model.py", *arguments, *arms])
            base_model.main()
    finally:
        torch.set_num_threads(threads)
    assert len(out.read_text().splitlines()) == 2
    assert capsys.readouterr().out.count("as before, seed 0:") == 1


def test_a_release_is_compared_with_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "a.csv"
    simulate_interactions(num_users=40, num_items=100, seed=1).frame.write_csv(file)
    arguments = ["--old", sys.executable, "--file", str(file), "--steps=2", "--turns=2"]
    monkeypatch.setattr(sys, "argv", ["two_releases.py", *arguments, '--model={"num_blocks": 1}'])
    two_releases.main()
    old, new, _, _, _, *rows = capsys.readouterr().out.splitlines()
    assert old.removeprefix("old: ") == new.removeprefix("new: ")
    assert old.endswith("atjt_ext/__init__.py")
    assert [row.split(" | ")[0] for row in rows] == ["| train", "| evaluate", "| recommend"]
    assert all(
        re.fullmatch(r"\| \w+( \| [0-9.]+){3} \| [0-9.]+ to [0-9.]+ \|", row) for row in rows
    )


def test_a_release_that_ends_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="ended with 1"):
        two_releases.Release(sys.executable, {"file": str(tmp_path / "nothing.csv"), "steps": 1})
