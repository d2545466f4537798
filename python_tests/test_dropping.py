"""Weights that are known before training, and what they drop."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from atjt_ext import JointTrainer, JointTrainerConfig, SASRec
from atjt_ext.data import (
    LeaveOneOut,
    PlantedNoise,
    inject_noise,
    leave_one_out,
    simulate_interactions,
    to_sequences,
)
from atjt_ext.dropping import kept, without_dropped
from atjt_ext.recognition import recognise_noise
from joint import config, fit, parameters, trainer
from tiny import tiny_sequences


def test_low_weights_leave_and_everybody_keeps_the_cleanest() -> None:
    sequences = tiny_sequences([1, 2, 3], [4, 5], [6], [], noise=[False, True] * 3)
    weights = torch.tensor([0.9, 0.2, 0.6, 0.1, 0.3, 0.0])
    assert kept(sequences, weights, below=0.6).tolist() == [True, False, True, False, True, True]
    assert kept(sequences, weights, below=0.0).all()
    # Of equals the latest stays: who is noise from end to end does not stay whole.
    assert kept(sequences, torch.zeros(6), below=0.6).tolist() == [
        False,
        False,
        True,
        False,
        True,
        True,
    ]
    left = without_dropped(replace(sequences, weights=weights), below=0.6)
    assert [left.items_of(user).tolist() for user in range(4)] == [[1, 3], [5], [6], []]
    assert left.weights is None
    assert left.is_noise is not None
    assert left.is_noise.tolist() == [False, False, False, True]
    assert left.num_items == sequences.num_items
    with pytest.raises(ValueError, match="sequences must carry weights to drop by, got None"):
        without_dropped(sequences, below=0.5)


def test_what_is_dropped_is_not_trained_on(split: LeaveOneOut) -> None:
    weights = (torch.rand(split.train.num_interactions, generator=_seeded()) > 0.2).float()
    weighed = replace(split.train, weights=weights)
    dropping = trainer(split, weighting="given", weights_act_on="drop")
    history = dropping.fit(weighed, split.valid, progress=False)
    equal = trainer(split, weighting="equal")
    equal.fit(without_dropped(weighed, below=0.5), split.valid, progress=False)
    assert torch.equal(parameters(dropping.recommender), parameters(equal.recommender))
    assert {record.weights_used for record in history} == {"all"}
    # Nothing dropped is nothing changed.
    ones = replace(split.train, weights=torch.ones(split.train.num_interactions))
    whole = trainer(split, weighting="given", weights_act_on="drop")
    whole.fit(ones, split.valid, progress=False)
    plain = fit(split, weighting="equal")
    assert torch.equal(parameters(whole.recommender), parameters(plain.recommender))


def _seeded() -> torch.Generator:
    return torch.Generator().manual_seed(0)


@pytest.fixture(scope="module")
def noisy() -> LeaveOneOut:
    made = simulate_interactions(num_users=600, num_items=120, seed=2, mean_length=14)
    clean = replace(to_sequences(made), is_noise=None)
    return leave_one_out(inject_noise(clean, PlantedNoise(diffuse_share=0.2), seed=0))


def test_the_default_recipe_drops_what_co_occurrence_recognises(noisy: LeaveOneOut) -> None:
    assert (JointTrainerConfig().weighting, JointTrainerConfig().acts_on) == (
        "co_occurrence",
        "drop",
    )
    made = trainer(noisy, recipe="default", seed=3, drop_below=0.8)
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
    made = trainer(noisy, recipe="default", epochs=1, drop_below=0.8)
    made.fit(noisy.train, noisy.valid, progress=False)
    read = made.as_read(noisy.test)
    assert read.histories is noisy.test.histories  # what was seen stays seen
    assert read.read is not None
    assert read.read.num_interactions < noisy.test.histories.num_interactions
    assert bool((read.read.lengths > 0).all())
    assert made.as_read(read) is read
    assert torch.equal(made.ranks(read), made.ranks(noisy.test))
    # Some users alone are read as among all.
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
    trainer(noisy, recipe="default", epochs=1).fit(noisy.train, title="run")
    said = capsys.readouterr().err
    total = f"of {noisy.train.num_interactions:,} interactions left out"
    assert "run: recognised noise: mean P(clean) 0." in said
    assert total in said
    # Eight interactions tell nothing.
    few = leave_one_out(tiny_sequences([1, 2, 3, 4, 5, 6], [2, 3, 4, 5, 6, 7]))
    made = JointTrainer(
        SASRec(9, max_length=12, embedding_dim=16, num_blocks=1), config=config(recipe="default")
    )
    made.fit(few.train, title="run")
    assert "run: nothing is known of the noise (held-out AUC" in capsys.readouterr().err
    assert made.interaction_weights(few.train).tolist() == [1.0] * 8


def test_weights_of_co_occurrence_may_act_on_targets(noisy: LeaveOneOut) -> None:
    made = trainer(noisy, recipe="default", weights_act_on="targets", epochs=1)
    history = made.fit(noisy.train, noisy.valid, progress=False)
    found = recognise_noise(noisy.train)
    assert history[0].weights.min == pytest.approx(float(found.weights.min()), abs=0.05)
    given = trainer(noisy, weighting="given", weights_act_on="targets", epochs=1)
    given.fit(replace(noisy.train, weights=found.weights), noisy.valid, progress=False)
    assert torch.equal(parameters(made.recommender), parameters(given.recommender))


def test_a_saved_run_knows_its_weights_again(noisy: LeaveOneOut, tmp_path: object) -> None:
    made = trainer(noisy, recipe="default", epochs=1)
    made.fit(noisy.train, noisy.valid, progress=False)
    made.save(f"{tmp_path}/c.pt")
    again = trainer(noisy, recipe="default", epochs=1)
    again.load(f"{tmp_path}/c.pt", num_users=noisy.train.num_users)
    with pytest.raises(RuntimeError, match=r"call recognise\(train\) with the training sequences"):
        again.evaluate(noisy.test)
    again.recognise(noisy.train)
    assert torch.equal(again.sequence_weights(noisy.train), made.sequence_weights(noisy.train))
    assert again.evaluate(noisy.test) == made.evaluate(noisy.test)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"weighting": "calibrated", "weights_act_on": "drop"},
            "weights_act_on='drop' needs weights that are known before training .*'calibrated'",
        ),
        (
            {"weighting": "co_occurrence", "weights_act_on": "both"},
            "co_occurrence.* must be 'drop' or 'targets', got 'both'",
        ),
    ],
)
def test_what_does_not_go_together_is_refused(changes: dict[str, str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        JointTrainerConfig(**changes)  # type: ignore[arg-type]


def test_one_user_cannot_be_judged_by_others() -> None:
    alone = leave_one_out(tiny_sequences([1, 2, 3, 4, 5]))
    made = JointTrainer(SASRec(9), config=JointTrainerConfig(epochs=1))
    with pytest.raises(ValueError, match="train must have at least 2 users, got 1"):
        made.fit(alone.train, progress=False)
