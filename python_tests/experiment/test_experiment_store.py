"""The store: cells found by data and settings, whatever the names of files and the release."""

from __future__ import annotations

import json
import os
import re
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch

from atjt_ext.cli.main import main
from atjt_ext.data import ItemFeature, simulate_interactions
from atjt_ext.experiment import Cell, ExperimentSpec, run_cell, run_grid
from atjt_ext.experiment.comparison import compare
from atjt_ext.experiment.run_cell import cell_settings
from atjt_ext.experiment.store import FORMAT, CellResult, CellStore, data_digest
from atjt_ext.recognition import RecognitionConfig
from atjt_ext.runs.config import RunConfig
from helpers.tiny import tiny_sequences

# From before the digest counted items that nobody has.
OLD_DIGEST = "bb0e1407010dc21a"
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


def test_items_that_nobody_has_are_part_of_the_data() -> None:
    """Under --latest the catalogue keeps them, and they take part in rankings."""
    digests = {data_digest(tiny_sequences([1, 2, 3], num_items=count)) for count in (3, 4, 5)}
    assert len(digests) == 3


def test_data_without_such_items_keep_the_digest_of_earlier_releases() -> None:
    assert data_digest(tiny_sequences([1, 2, 3], [2, 3], num_items=3)) == OLD_DIGEST


@pytest.mark.parametrize("damage", ["ranks", "values", "document", "settings", "json", "npz"])
def test_a_cell_that_changed_after_it_was_written_is_refused(tmp_path: Path, damage: str) -> None:
    ratings(tmp_path / "ratings.csv")
    base = spec(tmp_path / "ratings.csv", recipes=("equal_weights",))
    (result,) = run_grid(base, GRID, tmp_path, progress=False).results
    (path,) = (tmp_path / "cells").glob("*.json")
    document, npz = json.loads(path.read_text()), path.with_suffix(".npz")
    assert "ranks_sha256" not in result.values
    if damage == "ranks":
        np.savez_compressed(npz, ranks=result.ranks + 1, json_sha256=np.load(npz)["json_sha256"])
    elif damage == "npz":
        npz.unlink()
    elif damage == "json":
        path.write_text("[" * 100_000)
    else:
        changed = {"values": {"epochs": 9}, "document": {"cell": 3}, "settings": {"settings": []}}
        path.write_text(json.dumps({**document, **changed[damage]}))
    file = npz if damage in ("ranks", "npz") else path
    for read in (lambda: CellStore(tmp_path).read(path), lambda: run_grid(base, GRID, tmp_path)):
        with pytest.raises(ValueError, match=f"^{re.escape(str(file))}: not a finished cell"):
            read()


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


# ---- cells on disk ----------------------------------------------------------------------------

SPEC = ExperimentSpec(files=("small.inter",))
NOISE_MODEL = {"noise_embedding_dim": 8, "noise_hidden_dims": (16,)}
SMALL = {"embedding_dim": 16, "num_blocks": 1, "max_length": 20, "epochs": 2, **NOISE_MODEL}


@pytest.fixture
def digest(monkeypatch: pytest.MonkeyPatch) -> str:
    """What all files are: settings of cells that need no file."""
    digest = "043205a245a7092e"
    monkeypatch.setattr(run_cell, "_load", lambda *_: (None, digest))
    return digest


def test_a_cells_name_depends_on_all_that_its_result_does(digest: str, tmp_path: Path) -> None:
    store, cell = CellStore(tmp_path), Cell("ratings.csv", "sasrec", "none", 0, "oracle-both")

    def name(cell: Cell = cell, spec: ExperimentSpec = SPEC, **changes: object) -> str:
        return store.path(cell, cell_settings(cell, spec, {**SMALL, **changes})).name

    other = [
        name(replace(cell, noise="diffuse:0.2")),
        name(replace(cell, seed=1)),
        name(replace(cell, recipe="oracle-targets")),
        name(epochs=3),
        name(spec=replace(SPEC, clean_at_test=False)),
    ]
    later = {"schedule": "cosine", "precision": "bfloat16", "compile": True}
    later["schedule_warmup_steps"] = 1
    other += [name(**{option: value}) for option, value in later.items()]
    assert len({name(), *other}) == 10
    assert name().startswith("ratings_sasrec_none_oracle-both_s0_")
    # The name does not depend on these values, for example options without effect.
    assert name(noise_learning_rate=0.5, truncated_share=0.3, drop_below=0.1) == name()
    assert name(spec=replace(SPEC, seeds=(0, 1), pilot_epochs=9, more_epochs=5)) == name()
    assert name(replace(cell, file="another/ratings.csv")) == name()


def test_what_the_package_decides_is_part_of_a_cells_settings(digest: str) -> None:
    """Otherwise the cells of an earlier release would count as those of this one."""

    def settings(recipe: str, model: str = "sasrec") -> dict[str, Any]:
        return cell_settings(Cell("a", model, "none", 0, recipe), SPEC, {"embedding_dim": 16})

    recognising = ("default", "default_reweighted_loss")
    for recipe in recognising:
        for model, acts_on in (("sasrec", "both"), ("gru4rec", "drop")):
            assert settings(recipe, model)["config"]["trainer"]["weights_act_on"] == acts_on
        assert settings(recipe)["clean_at_test"] is True
    recognition = asdict(RecognitionConfig())
    for recipe in (*recognising, "co_occurrence-targets", "shuffled-both", "loss-drop"):
        assert settings(recipe)["recognition"] == recognition
    for recipe in ("equal_weights", "oracle-both", "joint", "truncated_loss"):
        assert "recognition" not in settings(recipe)


@pytest.mark.parametrize("format", [None, 4, 6])
def test_cells_of_another_format_run_again(format: int | None, digest: str, tmp_path: Path) -> None:
    store, cell = CellStore(tmp_path), Cell("a.csv", "sasrec", "none", 0, "joint")
    settings = cell_settings(cell, SPEC, SMALL)
    named = store.path(cell, settings)
    path = named.with_name(f"{named.stem[:-10]}{'0' * 10}.json")  # the name of another format
    store.write(path, CellResult(cell, {"settings": settings}, np.zeros(2, np.int32)))
    assert store.find(cell, settings) == path
    document = json.loads(path.read_text())
    assert document.pop("format") == FORMAT == 5
    path.write_text(json.dumps(document if format is None else {**document, "format": format}))
    assert store.find(cell, settings) is None


def test_a_cell_from_before_an_option_is_found_while_the_option_has_its_default(
    digest: str, tmp_path: Path
) -> None:
    store, cell = CellStore(tmp_path), Cell("a.csv", "sasrec", "none", 0, "joint")
    settings = cell_settings(cell, SPEC, SMALL)
    before = json.loads(json.dumps(settings))
    del before["config"]["trainer"]["schedule"]
    path = store.path(cell, before)
    assert path != store.path(cell, settings)
    store.write(path, CellResult(cell, {"settings": before}, np.zeros(2, np.int32)))
    assert store.find(cell, settings) == path
    later = cell_settings(cell, SPEC, {**SMALL, "schedule": "cosine"})
    assert store.find(cell, later) is None


def test_a_damaged_cell_is_refused_before_others_run(tmp_path: Path) -> None:
    ratings(tmp_path / "a.csv")
    one, two = spec(tmp_path / "a.csv"), spec(tmp_path / "a.csv", seeds=(0, 1))
    run_grid(one, GRID, tmp_path / "grid", progress=False)
    (found,) = (tmp_path / "grid" / "cells").glob("*_oracle-drop_*.json")
    found.write_text("{")
    with pytest.raises(ValueError, match=f"{re.escape(str(found))}: not a finished cell"):
        run_grid(two, GRID, tmp_path / "grid", progress=False)
    assert len([*found.parent.glob("*.json")]) == 2


def test_a_damaged_cell_of_another_grid_is_passed_over(tmp_path: Path) -> None:
    ratings(tmp_path / "a.csv")
    one = spec(tmp_path / "a.csv")
    run_grid(one, GRID, tmp_path / "grid", progress=False)
    (found,) = (tmp_path / "grid" / "cells").glob("*_oracle-drop_*.json")
    damaged = found.with_name(f"{found.stem.rpartition('_')[0]}_0123456789.json")
    damaged.write_text("{")
    found.unlink()
    with pytest.warns(UserWarning, match=f"{damaged.name}: not a finished cell"):
        outcome = run_grid(one, GRID, tmp_path / "grid", progress=False)
    assert len(outcome.results) == 2
