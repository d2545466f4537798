"""A run folder keeps the beliefs about its training interactions."""

from __future__ import annotations

import math
import shutil
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest
import torch

from atjt_ext.cli.main import main
from atjt_ext.data import leave_one_out
from atjt_ext.recognition import NoiseRecogniser
from atjt_ext.runs.build import load_models
from atjt_ext.runs.evaluate import evaluate_run
from atjt_ext.runs.folder import Run
from atjt_ext.training.checkpoint import CheckpointError
from helpers.small_run import without_manifest
from helpers.tiny import tiny_sequences


@pytest.fixture
def copied(trained_run: Run, tmp_path: Path) -> Run:
    return Run(Path(shutil.copytree(trained_run.folder, tmp_path / "copy")))


@pytest.fixture
def learned(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The number of interactions in each fit of a recogniser."""
    sizes: list[int] = []
    usual = NoiseRecogniser.usual

    def counted(train: object, *, seed: int) -> NoiseRecogniser:
        sizes.append(train.num_interactions)  # type: ignore[attr-defined]
        return usual(train, seed=seed)  # type: ignore[arg-type]

    monkeypatch.setattr(NoiseRecogniser, "usual", staticmethod(counted))
    return sizes


def test_what_was_believed_is_written_by_user_and_item(trained_run: Run) -> None:
    train = leave_one_out(trained_run.sequences()).train
    frame = pl.read_parquet(trained_run.interactions_path)
    for user in (0, 77, 149):
        own = frame.filter(pl.col("user") == train.user_ids[user])
        assert own["item"].to_list() == train.decode_items(train.items_of(user))
    found = NoiseRecogniser.usual(train, seed=0).found
    assert frame["weight"].to_list() == found.weights.tolist()
    assert frame["noise_logit"].to_list() == found.noise_logits.tolist()
    assert not Run(trained_run.folder / "equal_weights").interactions_path.exists()


def test_a_run_is_measured_again_without_learning(trained_run: Run, learned: list[int]) -> None:
    sequences = trained_run.sequences()
    split = leave_one_out(sequences)
    again = evaluate_run(load_models(trained_run, sequences, train=split.train), split)
    metrics = trained_run.metrics()
    assert {name: metrics[name] for name in again} == again
    user = sequences.user_ids[3]
    assert main(["recommend", f"--run={trained_run.folder}", f"--user={user}"]) == 0
    assert learned == []


def test_serving_builds_no_optimizer(trained_run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(torch.optim, "Adam")
    sequences = trained_run.sequences()
    models = load_models(trained_run, sequences)
    assert models.evaluate(leave_one_out(sequences).test) == trained_run.metrics()["test"]


def test_a_folder_from_before_is_learned_from_again(copied: Run, learned: list[int]) -> None:
    without_manifest(copied).interactions_path.unlink()
    sequences = copied.sequences()
    split = leave_one_out(sequences)
    again = evaluate_run(load_models(copied, sequences), split)
    assert again["test"] == copied.metrics()["test"]
    assert learned == [split.train.num_interactions]


def test_other_sequences_are_judged_by_what_is_learned_when_it_is_needed(
    trained_run: Run, learned: list[int]
) -> None:
    sequences = trained_run.sequences()
    split = leave_one_out(sequences)
    models = load_models(trained_run, sequences, train=split.train)
    longer = split.test.histories
    judged = NoiseRecogniser(seed=0).fit(split.train).judge(longer)
    assert torch.equal(models.interaction_weights(longer), judged.weights)
    assert torch.equal(models.interaction_noise_logits(longer), judged.noise_logits)
    assert learned == [split.train.num_interactions]


def test_what_is_not_believed_comes_back_as_nan(tmp_path: Path) -> None:
    run, train = Run(tmp_path), tiny_sequences([1, 2], [3])
    logits, weights = torch.tensor([0.5, -1.0, math.nan]), torch.tensor([0.25, 1.0, math.nan])
    run.write_interactions(train, logits, weights)
    assert pl.read_parquet(run.interactions_path)["weight"].to_list() == [0.25, 1.0, None]
    back = run.beliefs(train)
    assert back is not None
    for found, given in zip(back, (logits, weights), strict=True):
        assert found.dtype == torch.float32
        assert torch.equal(found[:2], given[:2])
        assert found.isnan().tolist() == [False, False, True]


@pytest.mark.parametrize("break_it", ["item", "user", "rows", "columns"])
def test_a_file_of_other_interactions_is_refused(copied: Run, break_it: str) -> None:
    frame = pl.read_parquet(copied.interactions_path)
    if break_it == "rows":
        frame = frame.head(frame.height - 1)
    elif break_it == "columns":
        frame = frame.drop("weight")
    else:
        frame = frame.with_columns(pl.col(break_it).reverse())
    frame.write_parquet(without_manifest(copied).interactions_path)
    wrong = r"columns .* wanted" if break_it == "columns" else r"does not hold the [\d,]+"
    with pytest.raises(CheckpointError, match=rf"interactions\.parquet: {wrong}"):
        load_models(copied, copied.sequences())


def test_beliefs_must_fit_the_interactions(trained_run: Run) -> None:
    sequences = trained_run.sequences()
    models = load_models(trained_run, sequences)
    train = leave_one_out(sequences).train
    with pytest.raises(ValueError, match=rf"weights must be \[{len(train.items)}\], got \[2\]"):
        models.beliefs.recall(train, (torch.zeros(len(train.items)), torch.ones(2)))
    other = replace(train, items=train.items.flip(0))
    models.beliefs.recall(other, (torch.zeros(len(train.items)), torch.ones(len(train.items))))
    assert models.interaction_weights(other).eq(1).all()
