"""Weights from a column of the file: reading, training, comparing."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest

from atjt_ext.cli.main import main
from atjt_ext.data import (
    Interactions,
    PlantedNoise,
    interactions_from_frame,
    read_interactions,
    simulate_interactions,
    to_sequences,
)
from atjt_ext.experiment import ExperimentSpec, run_grid
from atjt_ext.experiment.store import CellResult
from atjt_ext.runs.config import RunConfig
from atjt_ext.runs.data import load_sequences
from atjt_ext.runs.folder import Run
from atjt_ext.runs.train import train_run
from helpers.command_line import SMALL
from helpers.command_line import refusal as refused
from helpers.reading import refusal, write

GIVEN = ["--weighting=given", "--weight_column=trust", "--weights_act_on=both"]
NOISE = PlantedNoise(diffuse_share=0.3)
GRID_OPTIONS = {
    "batch_size": 32, "max_length": 10, "embedding_dim": 8, "num_blocks": 1, "epochs": 2
}  # fmt: skip


@pytest.fixture
def rated(tmp_path: Path) -> Path:
    """A file whose column ``trust`` is 0 for its noise and 1 for the rest."""
    made = simulate_interactions(
        num_users=60, num_items=40, seed=1, mean_length=8, max_length=20, noise=NOISE
    )
    frame = made.frame.select("user", "item", "time", "is_noise")
    path = tmp_path / "rated.csv"
    frame.with_columns(trust=1.0 - pl.col("is_noise").cast(pl.Float64)).write_csv(path)
    return path


# ---- reading ----------------------------------------------------------------------------------


def test_weights_follow_their_interactions_into_sequences(tmp_path: Path) -> None:
    path = write(tmp_path, "a.csv", "user,item,time,trust\n1,b,9,0.25\n2,x,1,1\n1,a,3,0.5\n")
    sequences = to_sequences(read_interactions(path, weight_column="trust"))
    assert sequences.decode_items(sequences.items) == ["a", "b", "x"]
    assert sequences.weights is not None
    assert sequences.weights.tolist() == [0.5, 0.25, 1.0]
    unnamed = read_interactions(path)
    assert to_sequences(unnamed).weights is None
    assert unnamed.frame["trust"].dtype == pl.String


def test_every_table_with_names_may_have_weights(tmp_path: Path) -> None:
    frame = pl.DataFrame({"user": ["1"], "item": ["x"], "time": [3], "weight": [0.5]})
    frame.write_parquet(tmp_path / "a.parquet")
    frame.write_csv(tmp_path / "a.tsv", separator="\t")
    frame.write_ndjson(tmp_path / "a.jsonl")
    header = "user_id:token\titem_id:token\tweight:float\n"
    write(tmp_path, "a.inter", f"{header}1\tx\t0.5\n")
    for name in ("a.parquet", "a.tsv", "a.jsonl", "a.inter"):
        got = read_interactions(tmp_path / name, weight_column="weight")
        assert got.frame["weight"].to_list() == [0.5], name
    # A column that nobody named as weights is a feature like any other.
    got = interactions_from_frame(frame)
    assert got.frame["weight_as_read"].to_list() == [0.5]
    assert to_sequences(got).weights is None


@pytest.mark.parametrize("value", ["1.5", "-0.1", "nan", "sure", ""])
def test_what_is_no_weight_is_named(tmp_path: Path, value: str) -> None:
    path = write(tmp_path, "a.csv", f"user,item,time,trust\n1,b,9,1\n1,a,3,{value}\n")
    message = refusal(read_interactions, path, weight_column="trust")
    assert message.startswith(f"{path}:3: column 'trust' must be a number in [0, 1], got '{value}'")


def test_what_is_no_column_of_weights_is_named() -> None:
    for weight in ([1.0], True):
        frame = pl.DataFrame({"user": ["1"], "item": ["x"], "time": [3], "trust": [weight]})
        message = refusal(interactions_from_frame, frame, weight_column="trust")
        assert "column 'trust' holds" in message
    frame = pl.DataFrame({"user": ["1"], "item": ["x"], "weight": [2.0]})
    assert "column 'weight' must hold numbers in [0, 1]" in refusal(Interactions, frame)


def test_a_column_named_as_weight_is_nothing_else(tmp_path: Path) -> None:
    path = write(tmp_path, "a.csv", "user,item,time,rating,overall\n1,a,3,5,0.5\n")
    got = read_interactions(path, weight_column="overall")
    assert got.frame.row(0) == ("1", "a", 3, 5.0, 0.5)


def test_files_without_names_have_no_weights(tmp_path: Path) -> None:
    path = write(tmp_path, "s.txt", "1 2 3\n4 5 6 7 8 9\n")
    with pytest.raises(ValueError, match="no named columns, but a column was named"):
        read_interactions(path, weight_column="trust")


# ---- training ---------------------------------------------------------------------------------


def test_training_goes_by_the_weights_of_the_file(
    rated: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    options = [*GIVEN, *SMALL, "--epochs=2"]
    assert main(["train", str(rated), f"--out={out}", *options]) == 0
    assert "weight is 'trust'" in capsys.readouterr().out
    run = Run(out)
    kept = pl.read_parquet(out / "interactions.parquet")
    train = run.sequences().without_last(2)
    assert train.is_noise is not None
    assert kept["weight"].to_list() == (~train.is_noise).float().tolist()
    ours, baseline = (
        json.loads((p / "metrics.json").read_text()) for p in (out, out / "equal_weights")
    )
    assert ours["test"] != baseline["test"]
    shown = f"{ours['test']['NDCG@10']:.4f}"
    for more in ([], [f"--file={rated}"]):
        assert main(["evaluate", f"--run={out}", *more]) == 0
        lines = capsys.readouterr().out.splitlines()
        assert shown in next(line for line in lines if "NDCG@10" in line)
    assert main(["recommend", f"--run={out}", "--user=u07", "--k=3"]) == 0
    assert main(["report", f"--run={out}"]) == 0
    # The baseline reads no weights, and does not ask for any.
    pl.read_csv(rated).drop("trust").write_csv(rated)
    capsys.readouterr()
    assert main(["evaluate", f"--run={out / 'equal_weights'}", f"--file={rated}"]) == 0
    assert "no column 'trust'" in refused(capsys, "evaluate", f"--run={out}", f"--file={rated}")


def test_a_run_does_not_go_on_under_other_weights(
    rated: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train = ["train", str(rated), f"--out={tmp_path / 'run'}", *GIVEN, *SMALL, "--no_baseline"]
    assert main([*train, "--epochs=1"]) == 0
    assert main([*train, "--epochs=1", "--resume"]) == 0
    pl.read_csv(rated).with_columns(trust=0.5).write_csv(rated)
    capsys.readouterr()
    message = refused(capsys, *train, "--epochs=1", "--resume")
    assert "the weights have changed since the run to resume began" in message


def test_weights_go_through_filters(rated: Path) -> None:
    config = RunConfig.from_recipe(weight_column="trust", k_core=3, min_length=4, latest=6)
    sequences = load_sequences(rated, config)
    assert 0 < sequences.num_interactions < len(pl.read_csv(rated))
    assert sequences.is_noise is not None
    assert sequences.weights is not None
    assert sequences.weights.tolist() == (~sequences.is_noise).float().tolist()


def test_weights_that_nothing_goes_by_are_refused(
    rated: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train = ["train", str(rated), f"--out={tmp_path / 'run'}", *SMALL]
    message = refused(capsys, *train, "--weight_column=trust")
    assert "used only by weighting=given, got weighting=co_occurrence" in message
    message = refused(capsys, *train, "--weight_column=trust", "--weighting=equal")
    assert "got weighting=equal" in message
    assert "must not be given" in refused(capsys, "audit", str(rated), "--weight_column=trust")
    message = refused(capsys, *train, "--weighting=given")
    assert "from the column that weight_column names" in message
    assert not (tmp_path / "run").exists()


# ---- comparing --------------------------------------------------------------------------------


def grid(
    rated: Path, folder: Path, *recipes: str, column: str | None = "trust", **changes: object
) -> dict[str, CellResult]:
    settings = RunConfig.from_recipe(weight_column=column, **GRID_OPTIONS)
    spec = ExperimentSpec(files=(str(rated),), noises=("none",), seeds=(0,), recipes=recipes)
    outcome = run_grid(replace(spec, **changes), {"sasrec": settings}, folder, progress=False)
    assert not outcome.failures
    return {one.cell.recipe: one for one in outcome.results}


@pytest.mark.parametrize("acts_on", ["both", "targets", "drop"])
def test_a_column_does_in_a_grid_what_it_does_in_a_run(
    rated: Path, tmp_path: Path, acts_on: str
) -> None:
    found = grid(rated, tmp_path, f"column-{acts_on}")
    config = RunConfig.from_recipe(
        weight_column="trust", weighting="given", weights_act_on=acts_on, **GRID_OPTIONS
    )
    train_run(tmp_path / "run", load_sequences(rated, config), config, progress=False)
    ranks = pl.read_parquet(tmp_path / "run" / "ranks.parquet")["rank"].to_list()
    assert found[f"column-{acts_on}"].ranks.tolist() == ranks
    assert found["equal_weights"].ranks.tolist() != ranks


def test_a_column_of_the_truth_finds_all_noise(rated: Path, tmp_path: Path) -> None:
    found = grid(rated, tmp_path, "column-both")["column-both"].values
    assert found["detection"]["interaction_AUC"] == 1.0
    assert (found["weights"]["mean_clean"], found["weights"]["mean_noise"]) == (1.0, 0.0)


def test_a_column_is_nothing_to_other_recipes(rated: Path, tmp_path: Path) -> None:
    others = ("default", "oracle-both")
    for at_test in (True, False):
        alone = grid(rated, tmp_path / "alone", *others, column=None, clean_at_test=at_test)
        beside = grid(rated, tmp_path / "beside", "column-both", *others, clean_at_test=at_test)
        for recipe in others:
            assert beside[recipe].ranks.tolist() == alone[recipe].ranks.tolist()
    alone_cells, cells = (
        {path.name for path in (tmp_path / folder / "cells").glob("*.json")}
        for folder in ("alone", "beside")
    )
    assert {name.split("_")[3] for name in cells - alone_cells} == {"column-both"}
    assert alone_cells <= cells


def test_other_weights_are_other_data(rated: Path, tmp_path: Path) -> None:
    first = grid(rated, tmp_path, "column-both")
    pl.read_csv(rated).with_columns(trust=1.0 - 0.9 * pl.col("trust")).write_csv(rated)
    second = grid(rated, tmp_path, "column-both")
    assert first["column-both"].ranks.tolist() != second["column-both"].ranks.tolist()
    assert first["equal_weights"].ranks.tolist() == second["equal_weights"].ranks.tolist()


def test_a_grid_takes_a_column_and_its_recipes_together(rated: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="column-both: weight_column must name"):
        grid(rated, tmp_path, "column-both", column=None)
    with pytest.raises(ValueError, match="weight_column=trust is used only by recipes like"):
        grid(rated, tmp_path, "default")
