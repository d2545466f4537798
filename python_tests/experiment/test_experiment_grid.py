"""The grid: cells, files, resuming, and the command."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from atjt_ext.cli.main import main
from atjt_ext.data import DataError, PlantedNoise, simulate_interactions
from atjt_ext.experiment import (
    Cell,
    ExperimentRecipe,
    ExperimentSpec,
    grid,
    parse_noise,
    run_grid,
    settings_by_model,
)
from atjt_ext.experiment.run_cell import cell_settings, run_cell
from atjt_ext.models.din import DINConfig
from atjt_ext.models.registry import MODELS
from atjt_ext.models.sasrec import SASRecConfig
from atjt_ext.runs.config import RunConfig

SMALL = {
    "batch_size": 32,
    "max_length": 10,
    "embedding_dim": 16,
    "num_blocks": 1,
    "noise_embedding_dim": 8,
    "noise_hidden_dims": (16,),
    "epochs": 2,
}
# Options of noise models have no effect where no recipe trains one.
PLAIN = {name: value for name, value in SMALL.items() if not name.startswith("noise_")}
GRID = {"sasrec": PLAIN}


@pytest.fixture(scope="module")
def ratings(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("data") / "ratings.csv"
    made = simulate_interactions(num_users=60, num_items=50, seed=1, mean_length=8, max_length=20)
    made.frame.select("user", "item", "time").write_csv(path)
    return str(path)


@pytest.fixture
def spec(ratings: str) -> ExperimentSpec:
    return ExperimentSpec(
        files=(ratings,), noises=("none", "diffuse:0.2"), seeds=(0,), recipes=("oracle-drop",)
    )


# ---- axes -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "noise"),
    [
        ("none", PlantedNoise()),
        ("diffuse:0.2", PlantedNoise(diffuse_share=0.2)),
        ("diffuse:0.2:1", PlantedNoise(diffuse_share=0.2, popularity_power=1.0)),
        ("concentrated:0.3:0.5", PlantedNoise(noisy_user_share=0.3, noisy_item_share=0.5)),
        (
            "concentrated:0.3:0.5:0.75",
            PlantedNoise(noisy_user_share=0.3, noisy_item_share=0.5, popularity_power=0.75),
        ),
        (
            "shared:0.3:0.4",
            PlantedNoise(
                noisy_user_share=0.3, noisy_item_share=0.4, noisy_item_source="another_user"
            ),
        ),
    ],
)
def test_noise_by_name(text: str, noise: PlantedNoise) -> None:
    assert parse_noise(text) == noise


@pytest.mark.parametrize(
    "text", ["some", "diffuse", "diffuse:a", "none:1", "concentrated:0.3", "shared:0.3:0.5:1"]
)
def test_other_noise_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=f"noise must be none, diffuse:SHARE.* got '{text}'"):
        parse_noise(text)


def test_cells_are_all_combinations_with_the_baselines_first() -> None:
    spec = ExperimentSpec(
        files=("a", "b"), noises=("none",), seeds=(3, 4), recipes=("paper", "oracle-both")
    )
    cells = list(spec.cells())
    assert spec.all_recipes == ["equal_weights", "paper_equal_weights", "paper", "oracle-both"]
    assert len(cells) == len(set(cells)) == 2 * 2 * 4
    assert cells[0] == Cell("a", "sasrec", "none", 3, "equal_weights")
    assert cells[4] == Cell("a", "sasrec", "none", 4, "equal_weights")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"files": ()}, r"files must hold different values, at least 1, got \[\]"),
        ({"seeds": (1, 1)}, r"seeds must hold different values, at least 1, got \[1, 1\]"),
        ({"seeds": (-1,)}, "seeds must be at least 0, got -1"),
        ({"noises": ("much",)}, "noise must be none"),
        ({"recipes": ("magic",)}, "recipe must be one of"),
        ({"metric": "AUC"}, "metric must be one of HR@5"),
        (
            {"recipes": ("default", "joint"), "against": "loss-both"},
            "against must be one of the recipes default, joint, got loss-both",
        ),
        ({"more_epochs": 0}, "more_epochs must be at least 1, got 0"),
    ],
)
def test_a_grid_that_cannot_be_is_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ExperimentSpec(**{"files": ("a",), **changes})  # type: ignore[arg-type]


# ---- files ------------------------------------------------------------------------------------


def test_an_option_that_no_cell_uses_is_refused(spec: ExperimentSpec, tmp_path: Path) -> None:
    message = r"noise_embedding_dim=8 has no effect under the recipes equal_weights, oracle-drop"
    with pytest.raises(ValueError, match=message):
        run_grid(spec, {"sasrec": SMALL}, tmp_path)
    assert not list(tmp_path.iterdir())
    # The folds of recognition are not part of the config.
    recognising, folds = replace(spec, recipes=("shuffled-drop",)), {"num_folds": 3}
    made = {cell: cell_settings(cell, recognising, folds) for cell in recognising.cells()}
    grid._check_effects(recognising, {"sasrec": folds}, made)


def test_the_default_recipe_reads_whole_histories_where_only_training_is_cleaned(
    spec: ExperimentSpec, tmp_path: Path
) -> None:
    # So many users that something is known of the noise.
    made = simulate_interactions(num_users=300, num_items=100, seed=1)
    made.frame.select("user", "item", "time").write_csv(tmp_path / "ratings.csv")
    cell = Cell(str(tmp_path / "ratings.csv"), "sasrec", "diffuse:0.1", 0, "default")
    raw = replace(spec, clean_at_test=False)
    assert cell_settings(cell, spec, SMALL) != cell_settings(cell, raw, SMALL)
    cleaned, whole = (run_cell(cell, one, SMALL) for one in (spec, raw))
    assert cleaned.values["weights"] == whole.values["weights"]
    assert not np.array_equal(cleaned.ranks, whole.ranks)


def test_finished_cells_are_not_run_again(
    spec: ExperimentSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = run_grid(spec, GRID, tmp_path, progress=False)
    assert (len(first.results), first.skipped, first.failures) == (4, 0, {})
    files = {path: path.stat().st_mtime_ns for path in (tmp_path / "cells").iterdir()}
    assert sorted(path.suffix for path in files) == [".json"] * 4 + [".npz"] * 4

    ran = []
    real = grid.run_cell
    monkeypatch.setattr(
        grid, "run_cell", lambda cell, *a, **k: (ran.append(cell), real(cell, *a, **k))[1]
    )
    second = run_grid(spec, GRID, tmp_path, progress=False)
    assert (ran, second.skipped) == ([], 4)
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "cells").iterdir()} == files
    for before, after in zip(first.results, second.results, strict=True):
        assert before.values == after.values
        assert np.array_equal(before.ranks, after.ranks)

    lost = next(path for path in files if path.suffix == ".json" and "oracle" in path.name)
    lost.unlink()
    more = run_grid(replace(spec, seeds=(0, 1)), GRID, tmp_path, progress=False)
    assert more.skipped == 3
    assert len(ran) == 8 - 3
    (lost_cell,) = [cell for cell in ran if cell.seed == 0]
    restored = next(r for r in more.results if r.cell == lost_cell)
    was = next(r for r in first.results if r.cell == lost_cell)
    assert restored.values["test"] == was.values["test"]


def test_one_cells_failure_is_told_and_stops_nothing(
    spec: ExperimentSpec,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    real = grid.run_cell

    def failing(cell: Cell, *arguments: object, **options: object) -> object:
        if cell.recipe == "equal_weights" and cell.noise == "none":
            raise ValueError("as planned")
        return real(cell, *arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(grid, "run_cell", failing)
    outcome = run_grid(spec, GRID, tmp_path)
    (cell,) = outcome.failures
    assert (cell.noise, cell.recipe) == ("none", "equal_weights")
    assert outcome.failures[cell] == "ValueError: as planned"
    assert len(outcome.results) == 3
    assert "[1/4]" in (told := capsys.readouterr().err)
    assert "ValueError: as planned" in told


def test_a_grid_killed_between_cells_goes_on(ratings: str, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "atjt_ext", "experiment", f"--files=[{ratings}]"]
    command += [f"--out={tmp_path}", "--noises=[none]", "--seeds=[0,1,2,3,4,5,6,7]"]
    command += ["--recipes=[equal_weights]", "--threads=1", "--no_figures", "--device=cpu"]
    command += [f"--{name}={value}" for name, value in PLAIN.items()]
    running = subprocess.Popen(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + 300
    while not (done := set(tmp_path.glob("cells/*.json"))):
        assert time.monotonic() < deadline
        assert running.poll() is None
        time.sleep(0.05)
    os.kill(running.pid, signal.SIGKILL)
    running.wait()
    kept = {path: path.read_bytes() for path in tmp_path.glob("cells/*.json")}
    assert done <= set(kept)
    assert len(kept) < 8, "the grid was over before it could be killed"
    assert main(command[3:]) == 0
    assert len(list(tmp_path.glob("cells/*.json"))) == 8
    assert {path: path.read_bytes() for path in kept} == kept


def test_cells_at_once_find_what_cells_in_turn_find(spec: ExperimentSpec, tmp_path: Path) -> None:
    one = replace(spec, noises=("diffuse:0.2",))
    turn = run_grid(one, GRID, tmp_path / "turn", threads=1, progress=False)
    once = run_grid(one, GRID, tmp_path / "once", threads=1, jobs=2, progress=False)
    assert not once.failures
    for first, second in zip(turn.results, once.results, strict=True):
        assert first.cell == second.cell
        assert np.array_equal(first.ranks, second.ranks)


def test_what_cannot_run_is_refused_before_anything_does(
    spec: ExperimentSpec, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match="jobs must be at least 1, got 0"):
        run_grid(spec, GRID, tmp_path, jobs=0)
    with pytest.raises(ValueError, match=r"settings must hold those of the model din, got \['sasr"):
        run_grid(replace(spec, models=("din",)), GRID, tmp_path)
    of_another = {"sasrec": RunConfig.from_recipe(model="din")}
    with pytest.raises(ValueError, match="those of the model sasrec, got those of din"):
        run_grid(spec, of_another, tmp_path)
    weighing = replace(spec, models=("din",), recipes=("oracle-inputs",))
    with pytest.raises(ValueError, match=r"\(oracle-inputs\) do not fit the model din: .* DIN"):
        run_grid(weighing, settings_by_model(["din"], {}), tmp_path)
    with pytest.raises((DataError, OSError), match="missing"):
        run_grid(replace(spec, files=("missing.csv",)), GRID, tmp_path)
    assert not list(tmp_path.iterdir())


# ---- one cell of each kind, and the report ----------------------------------------------------


def test_the_command_runs_a_grid_and_reports_it(
    ratings: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "grid.yaml"
    config.write_text(
        f"files: [{ratings}]\nnoises: ['diffuse:0.2']\nseeds: [0, 1]\n"
        "recipes: [default, co_occurrence-both, loss-targets, truncated_loss]\n"
        + "".join(f"{name}: {value}\n" for name, value in PLAIN.items())
    )
    out = tmp_path / "out"
    assert main(["experiment", f"--config={config}", f"--out={out}", "--threads=1"]) == 0
    assert "10 cells (0 from before), 0 failed" in capsys.readouterr().out
    results = json.loads((out / "results.json").read_text())
    assert {c["recipe"] for c in results["comparisons"]} == {
        "default",
        "co_occurrence-both",
        "loss-targets",
        "truncated_loss",
    }
    assert all(c["seeds"] == [0, 1] for c in results["comparisons"])
    cells = {(c["cell"]["recipe"], c["cell"]["seed"]): c for c in results["cells"]}
    detection = cells["co_occurrence-both", 0]["detection"]
    assert 0 < detection["interaction_AUC"] < 1
    # The controls have the same weights in another order.
    spread = [cells[name, 0]["weights"]["std"] for name in ("co_occurrence-both", "loss-targets")]
    assert spread[0] == pytest.approx(spread[1], rel=1e-5)
    assert (
        "| ratings.csv | sasrec | diffuse:0.2 | truncated_loss |"
        in (out / "results.md").read_text()
    )
    assert (out / "results.png").read_bytes()[:4] == b"\x89PNG"


def test_a_missing_matplotlib_is_reported_before_anything_is_trained(
    ratings: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    command = ["experiment", f"--files={ratings}", f"--out={tmp_path}", "--noises=none"]
    assert main([*command, *(f"--{name}={value}" for name, value in PLAIN.items())]) == 1
    told = capsys.readouterr().err
    assert told == "error: plots need matplotlib: pip install 'atjt_ext[experiment]'\n"
    assert not list(tmp_path.iterdir())
    extras = Path(__file__).parents[2].joinpath("pyproject.toml").read_text(encoding="utf-8")
    assert re.search(r"^experiment = \[.*matplotlib", extras, re.MULTILINE)


# ---- base models ------------------------------------------------------------------------------


def test_every_model_has_its_own_settings_and_takes_the_options_that_it_has() -> None:
    settings = settings_by_model(
        ["sasrec", "din"], {"embedding_dim": 8, "num_blocks": 1, "epochs": 3}
    )
    baseline = ExperimentRecipe.named("equal_weights")
    made = {
        name: baseline.config(name, options, seed=0, more_epochs=2)
        for name, options in settings.items()
    }
    assert made["sasrec"].model == SASRecConfig(embedding_dim=8, num_blocks=1)
    assert made["din"].model == DINConfig(embedding_dim=8)
    assert [made[name].trainer.loss for name in made] == ["cross_entropy", "binary_cross_entropy"]
    assert [made[name].trainer.window_stride for name in made] == [None, 1]
    assert {made[name].trainer.epochs for name in made} == {3}
    with pytest.raises(ValueError, match="dropout must be in"):
        settings_by_model(["sasrec"], {"dropout": 1.5})
    message = "models must be among sasrec, .*, dcn, got 'magic'"
    with pytest.raises(ValueError, match=message):
        settings_by_model(["magic"], {})
    with pytest.raises(ValueError, match="none of the models din has an option num_blocks"):
        settings_by_model(["din"], {"num_blocks": 1})


def test_the_papers_protocol_runs_for_every_model(ratings: str, tmp_path: Path) -> None:
    models = ",".join(MODELS)
    command = ["experiment", f"--files=[{ratings}]", f"--models=[{models}]", f"--out={tmp_path}"]
    command += ["--noises=[none]", "--seeds=[0]", "--recipes=[paper]", "--threads=1"]
    assert main([*command, "--pretrain_epochs=1", "--no_figures"]) == 0
    results = json.loads((tmp_path / "results.json").read_text())
    cells = {(c["cell"]["model"], c["cell"]["recipe"]): c for c in results["cells"]}
    assert cells.keys() == {
        (model, recipe) for model in MODELS for recipe in ("paper", "paper_equal_weights")
    }
    for (model, _), cell in cells.items():
        used = cell["settings"]["config"]
        assert used["model"]["name"] == model
        assert used["model"]["embedding_dim"] == 8
        assert used["trainer"]["max_length"] == 19
        assert cell["sampled_test"].keys() >= {"AUC", "HR@5", "paper_NDCG@5", "paper_HR@5"}
    assert cells["s3rec", "paper"]["settings"]["config"]["model"]["pretrain_epochs"] == 1
    rows = [row for row in (tmp_path / "results.md").read_text().splitlines() if " | paper" in row]
    assert len(rows) == 7 + 14 + 14 + 7 + 1  # comparisons, full, sampled, detection; a header
