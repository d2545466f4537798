"""Training, evaluation and run folders with weights that are known before training."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from atjt_ext import JointTrainer, JointTrainerConfig, SASRec
from atjt_ext.data import LeaveOneOut, Sequences, TrainingRows, leave_one_out
from atjt_ext.data.weighed_histories import without_dropped
from atjt_ext.recognition import recognise_noise
from atjt_ext.runs.build import base_model, load_trainer
from atjt_ext.runs.config import RunConfig
from atjt_ext.runs.folder import Run
from atjt_ext.runs.train import train_run
from helpers.joint import config, fit, parameters, trainer
from helpers.tiny import tiny_sequences

DROP: dict[str, Any] = {"weighting": "co_occurrence", "weights_act_on": "drop"}
SMALL: dict[str, Any] = {"epochs": 1, "embedding_dim": 16, "num_blocks": 1, "max_length": 12}


def test_what_is_dropped_is_not_trained_on(split: LeaveOneOut) -> None:
    weights = (torch.rand(split.train.num_interactions, generator=_seeded()) > 0.2).float()
    weighed = replace(split.train, weights=weights)
    dropping = trainer(split, weighting="given", weights_act_on="drop")
    history = dropping.fit(weighed, split.valid, progress=False)
    equal = trainer(split, weighting="equal")
    equal.fit(without_dropped(weighed, below=0.5), split.valid, progress=False)
    assert torch.equal(parameters(dropping.recommender), parameters(equal.recommender))
    assert {record.weights_used for record in history} == {"all"}
    # Dropping nothing changes nothing.
    ones = replace(split.train, weights=torch.ones(split.train.num_interactions))
    whole = trainer(split, weighting="given", weights_act_on="drop")
    whole.fit(ones, split.valid, progress=False)
    plain = fit(split, weighting="equal")
    assert torch.equal(parameters(whole.recommender), parameters(plain.recommender))


def _seeded() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def test_what_co_occurrence_recognises_is_dropped(noisy: LeaveOneOut) -> None:
    made = trainer(noisy, **DROP, seed=3, drop_below=0.8)
    made.fit(noisy.train, noisy.valid, progress=False)
    found = recognise_noise(noisy.train, seed=3)
    assert torch.equal(made.interaction_weights(noisy.train), found.weights)
    assert torch.equal(made.interaction_noise_logits(noisy.train), found.noise_logits)
    assert made.held_out_auc == found.held_out_auc
    detected = made.noise_detection(noisy.train)["interaction_AUC"]
    assert detected is not None
    assert detected > 0.7
    cleaned = without_dropped(replace(noisy.train, weights=found.weights), below=0.8)
    assert 0.6 < cleaned.num_interactions / noisy.train.num_interactions < 0.99
    by_hand = trainer(noisy, weighting="equal", seed=3)
    by_hand.fit(cleaned, made.as_read(noisy.valid), progress=False)
    assert torch.equal(parameters(made.recommender), parameters(by_hand.recommender))


def test_histories_are_read_without_what_looks_like_noise(noisy: LeaveOneOut) -> None:
    made = trainer(noisy, **DROP, epochs=1, drop_below=0.8)
    made.fit(noisy.train, noisy.valid, progress=False)
    read = made.as_read(noisy.test)
    assert read.histories is noisy.test.histories  # what was seen stays seen
    assert read.read is not None
    assert read.read.num_interactions < noisy.test.histories.num_interactions
    assert bool((read.read.lengths > 0).all())
    assert made.as_read(read) is read
    assert torch.equal(made.ranks(read), made.ranks(noisy.test))
    # A subset of the users is read as within all users.
    few = noisy.test.select(torch.tensor([5, 17]))
    some = made.as_read(few).read
    assert some is not None
    for user in (5, 17):
        assert torch.equal(some.items_of(user), read.read.items_of(user))
    # Equal weights read everything.
    equal = trainer(noisy, weighting="equal")
    assert equal.as_read(noisy.test) is noisy.test


def test_given_weights_drop_from_histories_that_carry_them(noisy: LeaveOneOut) -> None:
    made = trainer(noisy, weighting="given", weights_act_on="drop")
    assert made.as_read(noisy.test) is noisy.test
    weights = torch.ones(noisy.test.histories.num_interactions)
    weights[0] = 0.0
    weighed = replace(noisy.test, histories=replace(noisy.test.histories, weights=weights))
    read = made.as_read(weighed).read
    assert read is not None
    assert torch.equal(read.items, noisy.test.histories.items[1:])


def test_it_says_what_it_left_out(noisy: LeaveOneOut, capsys: pytest.CaptureFixture[str]) -> None:
    trainer(noisy, **DROP, epochs=1).fit(noisy.train, title="run")
    said = capsys.readouterr().err
    total = f"of {noisy.train.num_interactions:,} interactions left out"
    assert "run: recognised noise: mean P(clean) 0." in said
    assert total in said
    # Eight interactions are too few to recognise noise.
    few = leave_one_out(tiny_sequences([1, 2, 3, 4, 5, 6], [2, 3, 4, 5, 6, 7]))
    made = JointTrainer(SASRec(9, max_length=12), config=config(**DROP))
    made.fit(few.train, title="run")
    assert "run: too little is known of the noise (held-out AUC" in capsys.readouterr().err
    assert made.interaction_weights(few.train).tolist() == [1.0] * 8


def test_weights_of_co_occurrence_may_act_on_targets(noisy: LeaveOneOut) -> None:
    made = trainer(noisy, weighting="co_occurrence", weights_act_on="targets", epochs=1)
    history = made.fit(noisy.train, noisy.valid, progress=False)
    found = recognise_noise(noisy.train)
    assert history[0].weights.min == pytest.approx(float(found.weights.min()), abs=0.05)
    given = trainer(noisy, weighting="given", weights_act_on="targets", epochs=1)
    given.fit(replace(noisy.train, weights=found.weights), noisy.valid, progress=False)
    assert torch.equal(parameters(made.recommender), parameters(given.recommender))


def test_a_saved_run_knows_its_weights_again(noisy: LeaveOneOut, tmp_path: Path) -> None:
    made = trainer(noisy, **DROP, epochs=1)
    made.fit(noisy.train, noisy.valid, progress=False)
    made.save(tmp_path / "c.pt")
    again = trainer(noisy, **DROP, epochs=1)
    again.load(tmp_path / "c.pt", num_users=noisy.train.num_users)
    with pytest.raises(RuntimeError, match=r"call recognise\(train\) with the training sequences"):
        again.evaluate(noisy.test)
    again.recognise(noisy.train)
    assert torch.equal(again.sequence_weights(noisy.train), made.sequence_weights(noisy.train))
    assert again.evaluate(noisy.test) == made.evaluate(noisy.test)


def test_noise_models_know_too_late_what_to_drop() -> None:
    wanted = "weights_act_on='drop' needs weights that are known before training .*'calibrated'"
    with pytest.raises(ValueError, match=wanted):
        JointTrainerConfig(weighting="calibrated", weights_act_on="drop")


def test_one_user_cannot_be_judged_by_others() -> None:
    alone = leave_one_out(tiny_sequences([1, 2, 3, 4, 5]))
    made = JointTrainer(SASRec(9), config=JointTrainerConfig(epochs=1))
    with pytest.raises(
        ValueError, match="train must have at least 2 users, to judge one by another, got 1"
    ):
        made.fit(alone.train, progress=False)


def test_asking_about_other_sequences_learns_nothing(noisy: LeaveOneOut) -> None:
    made = trainer(noisy, **DROP, epochs=1, drop_below=0.8)
    made.fit(noisy.train, noisy.valid, progress=False)
    before = made.as_read(noisy.test).read
    # Whole histories hold what is held out: they are judged, and not learned from.
    made.interaction_weights(noisy.test.histories)
    made.sequence_weights(replace(noisy.train))
    after = made.as_read(noisy.test).read
    assert before is not None
    assert after is not None
    assert torch.equal(before.items, after.items)
    copied = made.interaction_weights(replace(noisy.train))
    assert torch.equal(copied, made.interaction_weights(noisy.train))


def test_loading_forgets_what_was_recognised(noisy: LeaveOneOut, tmp_path: Path) -> None:
    made = trainer(noisy, **DROP, epochs=1)
    made.fit(noisy.train, noisy.valid, progress=False)
    made.save(tmp_path / "c.pt")
    made.load(tmp_path / "c.pt", num_users=noisy.train.num_users)
    with pytest.raises(RuntimeError, match="call recognise"):
        made.evaluate(noisy.test)


def test_a_threshold_that_leaves_nothing_is_refused(noisy: LeaveOneOut, tmp_path: Path) -> None:
    made = trainer(noisy, **DROP, drop_below=1.0)
    with pytest.raises(
        ValueError, match=r"drop_below=1\.0 leaves every user fewer than two interactions"
    ):
        made.fit(noisy.train, progress=False)
    config = RunConfig.from_recipe(weights_act_on="drop", drop_below=1.0, epochs=1)
    sequences = replace(noisy.test.histories, item_features={})
    with pytest.raises(ValueError, match="drop_below"):
        train_run(tmp_path / "run", sequences, config, progress=False)
    assert not (tmp_path / "run").exists()


def test_a_run_folder_is_evaluated_by_what_it_was_trained_on(
    noisy: LeaveOneOut, tmp_path: Path
) -> None:
    sequences = noisy.test.histories
    config = RunConfig.from_recipe(weights_act_on="drop", drop_below=0.8, **SMALL)
    metrics = train_run(tmp_path / "run", sequences, config, progress=False)
    run = Run(tmp_path / "run")
    split = leave_one_out(sequences)
    assert load_trainer(run, sequences).evaluate(split.test) == metrics["test"]
    # Newer data of the same users, judged by what the run knows.
    random = torch.Generator().manual_seed(1)
    order = torch.randperm(sequences.num_interactions, generator=random)
    newer = replace(sequences, items=sequences.items[order])
    test = leave_one_out(newer).test
    first, second = (load_trainer(run, data).as_read(test).read for data in (sequences, newer))
    assert first is not None
    assert second is not None
    assert torch.equal(first.items, second.items)


def test_a_run_folder_keeps_given_weights(noisy: LeaveOneOut, tmp_path: Path) -> None:
    weights = torch.rand(noisy.test.histories.num_interactions, generator=_seeded())
    sequences = replace(noisy.test.histories, weights=weights)
    config = RunConfig.from_recipe(weighting="given", weights_act_on="drop", **SMALL)
    metrics = train_run(tmp_path / "run", sequences, config, progress=False)
    run = Run(tmp_path / "run")
    again = run.sequences()
    assert again.weights is not None
    assert torch.equal(again.weights, weights)
    assert load_trainer(run, again).evaluate(leave_one_out(again).test) == metrics["test"]


def test_pretraining_sees_what_is_left(noisy: LeaveOneOut, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []

    def spy(sequences: Sequences, **options: Any) -> TrainingRows:
        seen.append(sequences.num_interactions)
        return TrainingRows(sequences, **options)

    monkeypatch.setattr("atjt_ext.runs.build.TrainingRows", spy)
    options = {**SMALL, "weights_act_on": "drop", "drop_below": 0.8, "pretrain_epochs": 0}
    made = base_model(RunConfig.from_recipe(model="s3rec", **options), noisy.train)
    assert seen == [made.models.beliefs.to_learn_from(noisy.train).num_interactions]
    assert seen[0] < noisy.train.num_interactions
