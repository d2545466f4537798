"""A grid's files: the same data under another name, and other data under the same name."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import polars as pl
import torch

from atjt_ext.cli.main import main
from atjt_ext.data import ItemFeature, simulate_interactions
from atjt_ext.experiment import ExperimentSpec, run_grid
from atjt_ext.experiment.comparison import compare
from atjt_ext.experiment.store import data_digest
from atjt_ext.runs.config import RunConfig
from helpers.tiny import tiny_sequences

# A config: its differences from the default recipe are shared.
GRID = {
    "sasrec": RunConfig.from_recipe(
        batch_size=32, max_length=10, embedding_dim=8, num_blocks=1, epochs=1
    )
}


def ratings(path: Path, *, num_users: int = 40) -> pl.DataFrame:
    made = simulate_interactions(
        num_users=num_users, num_items=50, seed=1, mean_length=8, max_length=20
    )
    frame = made.frame.select("user", "item", "time")
    frame.write_csv(path)
    return frame


def spec(path: Path | str, **changes: object) -> ExperimentSpec:
    one = ExperimentSpec(
        files=(str(path),), noises=("diffuse:0.2",), seeds=(0,), recipes=("oracle-drop",)
    )
    return replace(one, **changes)


def test_the_features_of_the_items_are_part_of_the_data() -> None:
    bare = tiny_sequences([1, 2, 3])

    def digest(values: list[str], codes: list[int]) -> str:
        offsets = torch.tensor([0, 0, *([len(codes)] * bare.num_items)])
        brand = ItemFeature(values, offsets, torch.tensor(codes))
        return data_digest(replace(bare, item_features={"brand": brand}))

    digests = {digest(["a", "b"], [1]), digest(["a", "c"], [1]), digest(["a", "b"], [2])}
    assert len(digests | {data_digest(bare)}) == 4


def test_what_is_known_of_the_noise_is_part_of_the_data() -> None:
    bare = tiny_sequences([1, 2, 3])
    truths = [None, torch.tensor([False, True, False]), torch.tensor([True, False, False])]
    assert len({data_digest(replace(bare, is_noise=truth)) for truth in truths}) == 3


def test_a_file_under_another_name_meets_its_cells_from_before(tmp_path: Path) -> None:
    ratings(tmp_path / "ratings.csv")
    base = spec(tmp_path / "ratings.csv", recipes=("equal_weights",))
    run_grid(base, GRID, tmp_path, progress=False)
    relative = os.path.relpath(tmp_path / "ratings.csv")
    outcome = run_grid(spec(relative), GRID, tmp_path, progress=False)
    assert outcome.skipped == 1
    (found,) = compare(outcome.results, "NDCG@10")
    assert (found.file, found.recipe, found.seeds) == (relative, "oracle-drop", (0,))


def test_a_file_that_has_changed_is_read_again(tmp_path: Path) -> None:
    whole = ratings(tmp_path / "ratings.csv")
    one = spec(tmp_path / "ratings.csv", recipes=("equal_weights",))
    (before,) = run_grid(one, GRID, tmp_path, progress=False).results
    half = ratings(tmp_path / "ratings.csv", num_users=20)
    (after,) = run_grid(one, GRID, tmp_path, progress=False).results
    counts = [r.values["train_interactions"] for r in (before, after)]
    assert counts == [len(whole) - 2 * 40, len(half) - 2 * 20]


def test_a_number_of_replacements_goes_before_the_usual_ratio(tmp_path: Path) -> None:
    ratings(tmp_path / "ratings.csv")
    command = ["experiment", f"--files=[{tmp_path / 'ratings.csv'}]", f"--out={tmp_path / 'out'}"]
    command += ["--noises=[none]", "--seeds=[0]", "--recipes=[joint]", "--epochs=1"]
    assert main([*command, "--num_replacements=2", "--embedding_dim=8", "--num_blocks=1"]) == 0
    _, cell = json.loads((tmp_path / "out" / "results.json").read_text())["cells"]
    trainer = cell["settings"]["config"]["trainer"]
    assert (trainer["num_replacements"], trainer["replace_ratio"]) == (2, None)
