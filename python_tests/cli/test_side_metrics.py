"""A metric beside the main ones may be unknown; it never refuses data."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from atjt_ext.cli.main import main
from atjt_ext.evaluation.metrics import RANKING_METRICS, SAMPLED_METRICS
from atjt_ext.runs.folder import Run
from helpers.command_line import SMALL

pytestmark = [
    pytest.mark.filterwarnings("default:the sampled metrics leave out"),
    pytest.mark.filterwarnings("default:user 'bot' has"),
]
ALL_BUT_FEW = ["--recipe=equal_weights", *SMALL, "--epochs=1"]


def file_of(path: Path, users: dict[str, list[int]]) -> Path:
    rows = [
        f"{user},i{item},{n}\n" for user, items in users.items() for n, item in enumerate(items)
    ]
    path.write_text("user,item,time\n" + "".join(rows))
    return path


@pytest.fixture
def with_a_bot(tmp_path: Path) -> Path:
    """Twelve users with some of 20 items, and one with all of them."""
    users = {f"u{u}": [(5 * u + n * n) % 20 for n in range(7)] for u in range(12)}
    return file_of(tmp_path / "bot.csv", {**users, "bot": list(range(20))})


def test_a_user_with_every_item_is_left_out_of_the_sampled_metrics_only(
    with_a_bot: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    assert main(["train", str(with_a_bot), f"--out={out}", *SMALL, "--epochs=2"]) == 0
    warning = "the sampled metrics leave out 1 of 13 users, who have every item that could be drawn"
    assert capsys.readouterr().err.count(warning) == 1  # by the run and its baseline
    for run in (Run(out), Run(out).baseline):
        metrics = run.metrics()
        assert metrics["sampled_test_left_out"] == 1
        assert all(metrics["sampled_test"][name] is not None for name in SAMPLED_METRICS)
        assert set(metrics["test"]) == set(RANKING_METRICS)
        # Without the seen items, only the target is left to rank.
        assert dict(zip(run.ranks_of_users()["user"], run.ranks(), strict=True))["bot"] == 1
    assert main(["evaluate", f"--run={out}"]) == 0
    assert main(["recommend", f"--run={out}", "--user=bot", "--k=3"]) == 0
    recommended = tmp_path / "recs.csv"
    assert main(["recommend", f"--run={out}", "--users=all", "--k=3", f"--out={recommended}"]) == 0
    assert "bot" not in recommended.read_text()
    assert main(["report", f"--run={out}"]) == 0
    page = (out / "report.html").read_text(encoding="utf-8")
    assert "sampled protocol, without 1 users who have every item" in page


def test_without_such_users_nothing_is_said_of_them(trained_folder: Path) -> None:
    assert "sampled_test_left_out" not in Run(trained_folder).metrics()


def test_where_every_user_has_every_item_the_sampled_metrics_are_unknown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = file_of(tmp_path / "all.csv", {f"u{u}": [u % 4, *range(4)] for u in range(6)})
    out = tmp_path / "run"
    assert main(["train", str(path), f"--out={out}", *SMALL, "--epochs=1"]) == 0
    assert Run(out).metrics()["sampled_test"] == dict.fromkeys(SAMPLED_METRICS)
    assert "leave out 6 of 6 users" in capsys.readouterr().err
    assert main(["evaluate", f"--run={out}"]) == 0
    assert main(["report", f"--run={out}"]) == 0


def test_one_user_is_enough_to_train_with_equal_weights(tmp_path: Path) -> None:
    path = file_of(tmp_path / "one.csv", {"u": [1, 2, 3, 4, 5, 6]})
    out = tmp_path / "run"
    assert main(["train", str(path), f"--out={out}", *ALL_BUT_FEW]) == 0
    assert main(["evaluate", f"--run={out}"]) == 0
    assert main(["recommend", f"--run={out}", "--user=u", "--k=2", "--exclude_seen=false"]) == 0
    assert main(["report", f"--run={out}"]) == 0
    page = (out / "report.html").read_text(encoding="utf-8")
    assert "These data have one user." in page


def test_evaluating_newer_data_does_not_stop_for_such_a_user(
    trained_folder: Path, ratings_file: Path, tmp_path: Path
) -> None:
    items = Run(trained_folder).sequences().item_ids
    newer = tmp_path / "newer.csv"
    rows = "".join(f"u07,{item},{999 + n}\n" for n, item in enumerate(items))
    newer.write_text(ratings_file.read_text() + rows)
    assert main(["evaluate", f"--run={trained_folder}", f"--file={newer}"]) == 0


def test_a_grid_measures_what_it_can(with_a_bot: Path, tmp_path: Path) -> None:
    everyone = file_of(tmp_path / "all.csv", {f"u{u}": [u % 4, *range(4)] for u in range(6)})
    out = tmp_path / "grid"
    command = ["experiment", f"--files={with_a_bot},{everyone}", "--noises=none", "--seeds=0"]
    command += [
        "--recipes=equal_weights,default",
        "--epochs=1",
        "--embedding_dim=8",
        f"--out={out}",
    ]
    assert main([*command, "--num_blocks=1", "--no_figures"]) == 0
    document = json.loads((out / "results.json").read_text())
    left_out = {Path(c["cell"]["file"]).name: c["sampled_test_left_out"] for c in document["cells"]}
    assert left_out == {"bot.csv": 1, "all.csv": 6}
    assert {one["AUC"] is None for one in document["sampled"]} == {True, False}
    assert "| - |" in (out / "results.md").read_text()


def test_more_folds_than_users_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = file_of(
        tmp_path / "six.csv", {f"u{u}": [(u + n * n) % 9 for n in range(6)] for u in range(6)}
    )
    for recipe in ("default", "joint"):
        out = f"--out={tmp_path / recipe}"
        assert main(["train", str(path), out, f"--recipe={recipe}", *SMALL, "--num_folds=10"]) == 1
        assert (
            capsys.readouterr().err
            == "error: num_folds must be in 1..6 (number of users), got 10\n"
        )
    out = tmp_path / "grid"
    command = ["experiment", f"--files={path}", "--noises=none", "--seeds=0", "--num_folds=10"]
    command += [
        "--recipes=equal_weights,default",
        "--epochs=1",
        "--embedding_dim=8",
        f"--out={out}",
    ]
    assert main([*command, "--num_blocks=1", "--no_figures"]) == 1
    (cell,) = json.loads((out / "results.json").read_text())["cells"]
    assert cell["cell"]["recipe"] == "equal_weights"
