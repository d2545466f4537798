"""From ranks to verdicts: comparisons by hand, the tables, the plots."""

from __future__ import annotations

import json
import math
import re
import shlex
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
import torch

from atjt_ext.cli.main import parse
from atjt_ext.cli.tables import grid_table
from atjt_ext.data import simulate_interactions
from atjt_ext.evaluation.metrics import ranking_metrics, user_gains
from atjt_ext.evaluation.statistics import shown_p
from atjt_ext.experiment import Cell, ExperimentSpec, write_report
from atjt_ext.experiment.comparison import compare
from atjt_ext.experiment.plots import plot_differences
from atjt_ext.experiment.store import CellResult
from atjt_ext.models.registry import MODELS


def result(
    recipe: str, seed: int, ranks: list[int], *, noise: str = "none", **more: float
) -> CellResult:
    values: dict[str, object] = {
        "test": ranking_metrics(torch.tensor(ranks)),
        "detection": {},
        "weights": {},
        "sampled_test": {"AUC": 0.7, "HR@5": 0.5, "NDCG@5": 0.4, "paper_HR@5": 0.3}
        | {"paper_NDCG@5": 0.1 + 0.1 * seed},
        "train_seconds": more.get("seconds", 10.0),
        "weighing_seconds": more.get("weighing", 0.0),
    }
    if "area" in more:
        values["detection"] = {"interaction_AUC": more["area"]}
        values["weights"] = {"mean_clean": 0.9, "mean_noise": 0.5, "std": 0.1}
    cell = Cell("data/a.csv", "sasrec", noise, seed, recipe)
    return CellResult(cell, values, np.array(ranks, np.int32))


@pytest.mark.parametrize("metric", ["HR@5", "NDCG@10", "MRR@20"])
def test_the_mean_gain_is_the_metric(metric: str) -> None:
    ranks = np.array([1, 3, 5, 6, 10, 11, 20, 21, 400], np.int32)
    found = ranking_metrics(torch.from_numpy(ranks))[metric]
    assert user_gains(ranks, metric).mean() == pytest.approx(found)
    for wrong in ("AUC@5", metric.partition("@")[0]):
        with pytest.raises(ValueError, match=f"metric must be HR@k, NDCG@k.* MRR@k.*, got {wrong}"):
            user_gains(ranks, wrong)


def test_a_comparison_by_hand() -> None:
    results = [
        result("equal_weights", 0, [1, 9, 9, 9]),
        result("equal_weights", 1, [9, 9, 1, 1]),
        result("oracle-both", 0, [1, 1, 9, 9], seconds=20.0, weighing=10.0),
        result("oracle-both", 1, [1, 1, 1, 9], seconds=10.0),
        result("equal_weights", 2, [1, 1, 1, 1]),  # no partner
    ]
    (found,) = compare(results, "HR@5")
    assert (found.recipe, found.baseline, found.seeds) == ("oracle-both", "equal_weights", (0, 1))
    assert found.baseline_mean == pytest.approx((0.25 + 0.5) / 2)
    assert found.seed_baselines == (0.25, 0.5)
    assert found.seed_differences == (0.25, 0.25)
    # Per seed +1/4 and +1/4: no spread over seeds.
    assert (found.difference, found.seed_error) == (0.25, 0.0)
    # Means of users 0, 1, 0.5, -0.5: their variance is 1.25 / 3.
    assert found.user_error == pytest.approx(math.sqrt(1.25 / 3 / 4))
    # Two seeds leave one degree of freedom: the t of p = 0.05 is 12.706.
    assert found.degrees == 1
    assert found.low == pytest.approx(0.25 - 12.706 * found.user_error, abs=1e-3)
    assert found.high == pytest.approx(0.25 + 12.706 * found.user_error, abs=1e-3)
    assert (
        found.p
        == found.p_holm
        == pytest.approx(1 - 2 / math.pi * math.atan(0.25 / found.user_error))
    )
    assert found.time_ratio == pytest.approx((3.0 + 1.0) / 2)
    assert found.verdict == "no difference shown"


def grid(gain: int, seeds: int = 3) -> list[CellResult]:
    """60 users, of whom ``gain`` are found by the recipe alone (if negative, by the baseline)."""
    found = []
    for seed in range(seeds):
        base = [1] * 20 + [30] * 40
        ours = list(base)
        for user in range(abs(gain) + (seed == 0)):
            ours[user + 20 if gain > 0 else user] = 1 if gain > 0 else 30
        found += [result("equal_weights", seed, base), result("shuffled-both", seed, ours)]
    return found


def moved(results: list[CellResult], noise: str) -> list[CellResult]:
    """The same results under another noise."""
    return [CellResult(replace(r.cell, noise=noise), r.values, r.ranks) for r in results]


NOTHING = "no difference shown"


def test_one_test_is_the_verdict() -> None:
    assert compare(grid(12, seeds=5), "HR@10")[0].verdict == "helps"
    assert compare(grid(-12, seeds=5), "HR@10")[0].verdict == "harms"
    assert compare(grid(12, seeds=3), "HR@10")[0].verdict == "helps"
    # Two seeds leave one degree of freedom: t is 3.9, and 12.7 are needed.
    assert compare(grid(12, seeds=2), "HR@10")[0].verdict == NOTHING
    # Four users of sixty: steady over seeds, yet too few users.
    (few,) = compare(grid(4, seeds=5), "HR@10")
    assert few.p is not None
    assert few.low is not None
    assert few.low < 0.0
    assert few.p > 0.05
    assert few.verdict == NOTHING


def test_one_seed_gets_no_verdict_and_does_not_count_in_the_correction(tmp_path: Path) -> None:
    (alone,) = compare(grid(12, seeds=1), "HR@10")
    assert (alone.verdict, alone.seed_error, alone.p_holm) == ("one seed: no verdict", None, None)
    assert alone.p is not None  # over users
    results = grid(12) + moved(grid(12, seeds=1), "diffuse:0.1")
    several, _ = compare(results, "HR@10")
    assert several.p_holm == several.p
    write_report(results, tmp_path, metric="HR@10")
    text = (tmp_path / "results.md").read_text()
    assert "over the 1 comparison of this table with two or more seeds" in text
    assert "With one seed, interval and p cover users only." in text
    assert (tmp_path / "results.png").exists()
    write_report(grid(12), tmp_path, metric="HR@10", figures=False)
    assert "two or more seeds" not in (tmp_path / "results.md").read_text()


def test_the_table_of_the_terminal_has_the_interval_and_the_corrected_p() -> None:
    several, alone = compare(grid(20) + moved(grid(12, seeds=1), "diffuse:0.1"), "HR@10")
    table = grid_table([several.as_dict(), alone.as_dict()])
    columns = {str(column.header): list(column.cells) for column in table.columns}
    first, second = columns["difference [95 %]"]
    assert first == f"{several.difference:+.4f} [{several.low:+.4f}, {several.high:+.4f}]"
    assert second.startswith("+0.2167 [+0.")
    assert columns["p"] == [shown_p(several.p), "-"]


@pytest.mark.parametrize("gain", [0, 1, 2, 4, 5, 6, 7, 8, 12, -6, -12])
def test_the_interval_excludes_0_exactly_where_p_is_below_the_level(gain: int) -> None:
    (found,) = compare(grid(gain, seeds=5), "HR@10")
    assert found.p is not None
    assert found.low is not None
    assert found.high is not None
    assert (found.p < 0.05) == (found.low > 0 or found.high < 0) == (found.verdict != NOTHING)


def test_many_comparisons_are_corrected_together() -> None:
    results = grid(12)
    alone = compare(results, "HR@10")[0]
    for noise in ("diffuse:0.1", "diffuse:0.2"):
        results += moved(grid(1), noise)
    among = next(c for c in compare(results, "HR@10") if c.noise == "none")
    assert alone.p is not None
    assert (among.p, among.low, among.high) == (alone.p, alone.low, alone.high)
    assert among.p_holm == pytest.approx(3 * alone.p)


def test_recipes_are_compared_with_their_own_baseline() -> None:
    results = [
        result("equal_weights", 0, [1, 1]),
        result("paper_equal_weights", 0, [9, 9]),
        result("paper", 0, [9, 1]),
        result("default", 1, [9, 1]),  # no baseline of that seed
    ]
    (found,) = compare(results, "HR@5")
    assert (found.recipe, found.baseline, found.difference) == ("paper", "paper_equal_weights", 0.5)


def test_the_report_is_one_table(tmp_path: Path) -> None:
    results = [*grid(12), result("co_occurrence-drop", 0, [1] * 60, area=0.9)]
    results += [result("co_occurrence-drop", 1, [1] * 60, area=0.8)]
    comparisons = write_report(results, tmp_path, metric="NDCG@10")
    document = json.loads((tmp_path / "results.json").read_text())
    assert len(document["comparisons"]) == len(comparisons) == 2
    assert len(document["cells"]) == len(results)
    text = (tmp_path / "results.md").read_text()
    rows = [line for line in text.splitlines() if line.startswith("| a.csv |")]
    assert len(rows) == 2 + 2 + 3 + 3 + 1
    assert document["means"][0]["HR@5"] == pytest.approx(
        np.mean([r.values["test"]["HR@5"] for r in results if r.cell.recipe == "equal_weights"])
    )
    assert f"| equal_weights | 3 | {document['means'][0]['HR@5']:.4f} |" in rows[4]
    assert rows[7].endswith("| equal_weights | 3 | 0.7000 | 0.5000 | 0.4000 | 0.3000 | 0.2000 |")
    assert document["sampled"][0]["paper_NDCG@5"] == pytest.approx(0.2)
    width = {line.count("|") for line in text.splitlines() if "verdict |" in line}
    assert {row.count("|") for row in rows[:2]} == width
    assert "helps" in rows[0]
    assert "| 0.850 |" in rows[-1]  # mean AUC over seeds
    assert "(+" in rows[0]
    assert (tmp_path / "results.png").exists()


def test_every_seeds_difference_is_shown(tmp_path: Path) -> None:
    results = [result("equal_weights", seed, [9, 9, 9, 1]) for seed in (0, 1)]
    results += [result("default", seed, [9, 1, 9, 1]) for seed in (0, 1)]
    results += [result("equal_weights", 4, [9, 9, 9, 9]), result("joint", 4, [1, 9, 9, 9])]
    write_report(results, tmp_path, metric="HR@5", figures=False)
    _, _, section = (tmp_path / "results.md").read_text().partition("## By seed")
    head, _, *rows = [line for line in section.splitlines() if line.startswith("|")]
    assert head.endswith("| seed 0 | seed 1 | seed 4 |")
    assert rows[0].endswith("| default | +100.0 % | +100.0 % | - |")
    assert rows[1].endswith("| joint | - | - | +0.2500 |")  # nothing to divide by

    write_report([r for r in results if r.cell.seed == 0], tmp_path, metric="HR@5", figures=False)
    assert "By seed" not in (tmp_path / "results.md").read_text()


def test_a_small_p_is_not_shown_as_zero(tmp_path: Path) -> None:
    users = 400
    results = [result("equal_weights", seed, [9] * users) for seed in range(6)]
    results += [result("default", seed, [1 + (seed == 0)] * users) for seed in range(6)]
    (found,) = write_report(results, tmp_path, metric="NDCG@10", figures=False)
    assert found.p_holm is not None
    assert found.p_holm < 0.001
    (row, *_) = [x for x in (tmp_path / "results.md").read_text().splitlines() if "a.csv" in x]
    assert "| < 0.001 |" in row
    assert "0.000" not in row


def test_nothing_to_compare_is_said(tmp_path: Path) -> None:
    for earlier in ("results.png", "gain_map.png"):
        (tmp_path / earlier).write_bytes(b"of another grid")
    assert write_report([result("equal_weights", 0, [1])], tmp_path, metric="HR@5") == []
    assert "No recipe has finished along with its baseline" in (tmp_path / "results.md").read_text()
    assert not list(tmp_path.glob("*.png"))
    with pytest.raises(ValueError, match="comparisons must not be empty"):
        plot_differences(tmp_path / "x.png", [])


def test_recipes_are_compared_with_another_one_where_asked(tmp_path: Path) -> None:
    results = []
    for seed in (0, 1):
        results += [
            result("equal_weights", seed, [9, 9, 9, 9]),
            result("popularity-both", seed, [1, 9, 9, 9]),
            result("default", seed, [1, 1, 1, 9]),
        ]
    assert [c.recipe for c in compare(results, "HR@5")] == ["popularity-both", "default"]
    (found,) = compare(results, "HR@5", against="popularity-both")
    assert (found.recipe, found.baseline, found.seeds) == ("default", "popularity-both", (0, 1))
    assert (found.baseline_mean, found.difference) == (0.25, 0.5)
    assert found.p_holm == found.p  # one comparison: nothing to correct

    options = {"metric": "HR@5", "figures": False}
    plain = write_report(results, tmp_path, **options)  # type: ignore[arg-type]
    text = (tmp_path / "results.md").read_text()
    assert "## Against" not in text
    assert write_report(results, tmp_path, against="popularity-both", **options) == plain  # type: ignore[arg-type]
    more = (tmp_path / "results.md").read_text()
    assert text.partition("\n## ")[0] in more
    (row,) = re.findall(r"## Against popularity-both\n.*?(\| a\.csv .*?)\n", more, re.S)
    assert "| default | 2 | 0.2500 | +0.5000 (+200.0 %) |" in row
    (written,) = json.loads((tmp_path / "results.json").read_text())["against"]
    assert (written["recipe"], written["baseline"]) == ("default", "popularity-both")


def test_a_baseline_of_zero_divides_nothing(tmp_path: Path) -> None:
    results = [result("equal_weights", 0, [99]), result("default", 0, [1])]
    (found,) = write_report(results, tmp_path, metric="HR@5", figures=False)
    assert found.baseline_mean == 0
    assert math.isfinite(found.difference)
    assert "%)" not in (tmp_path / "results.md").read_text()


# ---- the page about it ------------------------------------------------------------------------

EVIDENCE = Path(__file__).parents[2] / "docs" / "evidence.md"
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```", EVIDENCE.read_text(encoding="utf-8"), re.S | re.M)


def test_the_pages_commands_and_its_grid_are_understood(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (grid_file,) = [code for language, code in BLOCKS if language == "yaml"]
    Path("grid.yaml").write_text(grid_file, encoding="utf-8")
    commands = [code for language, code in BLOCKS if language == "bash"]
    for line in "".join(commands).splitlines():
        words = shlex.split(line.split(" #")[0])[1:]
        _, options = parse(words)
        axes = {field.name: options[field.name] for field in fields(ExperimentSpec)}
        spec = ExperimentSpec(**axes)
        assert set(spec.models) <= MODELS.keys()
        assert len(list(spec.cells())) in (36, 2 * 4 * 5 * 8, 6 * 3 * 2)


def test_the_commands_behind_the_results_are_understood() -> None:
    commands = 0
    for report in (EVIDENCE.parent / "results").glob("*.md"):
        text = report.read_text(encoding="utf-8")
        if not text.startswith(("# HR@", "# NDCG@", "# MRR@")):
            continue  # not the report of a grid
        (command,) = re.findall(r"^```bash\n(.*?)^```", text, re.S | re.M)
        _, options = parse(shlex.split(command.replace("\\\n", ""))[1:])
        commands += 1
        spec = ExperimentSpec(
            **{field.name: options[field.name] for field in fields(ExperimentSpec)}
        )
        assert len(spec.files) == 1
        assert options.threads == 1  # the number decides the last bits
        assert Path(options.out).name == report.stem
        for recipe in spec.recipes:
            assert f"| {recipe} | {len(spec.seeds)} |" in text
    assert commands > 20


def test_the_pages_python_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = simulate_interactions(num_users=80, num_items=60, seed=1, mean_length=9, max_length=20)
    made.frame.select("user", "item", "time").write_csv(tmp_path / "ratings.csv")
    monkeypatch.chdir(tmp_path)
    (code,) = [code for language, code in BLOCKS if language == "python"]
    names: dict[str, object] = {}
    exec(compile(code, str(EVIDENCE), "exec"), names)
    assert names["found"].weights.shape == names["train"].items.shape  # type: ignore[attr-defined]
