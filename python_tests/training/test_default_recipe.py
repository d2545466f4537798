"""The recipe `default`: weights by co-occurrence, on inputs and targets."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from atjt_ext import GRU4Rec, JointTrainer, JointTrainerConfig
from atjt_ext.data import LeaveOneOut
from atjt_ext.data.weighed_histories import extended_weights
from atjt_ext.recognition import NoiseRecogniser, RecognitionConfig, recognise_noise
from helpers.joint import config, parameters, trainer


def test_it_weighs_all_where_the_recommender_takes_weights_and_else_drops() -> None:
    assert JointTrainerConfig().weighting == "co_occurrence"
    assert JointTrainerConfig().weights_act_on is None
    gru = JointTrainer(GRU4Rec(9))
    assert gru.config.drops
    assert not gru.config.weighs_inputs
    for weighting, takes, decided in (
        ("co_occurrence", True, "both"),
        ("co_occurrence", False, "drop"),
        ("given", True, "targets"),
        ("calibrated", True, "targets"),
        ("equal", True, None),
    ):
        made = JointTrainerConfig(weighting=weighting).decided(takes_input_weight=takes)  # type: ignore[arg-type]
        assert made.weights_act_on == decided
    asked = JointTrainerConfig(weights_act_on="inputs")
    assert asked.decided(takes_input_weight=True) is asked


def test_it_reads_training_sequences_and_histories_under_their_weights(noisy: LeaveOneOut) -> None:
    made = trainer(noisy, recipe="default", seed=3)
    assert made.config.weights_act_on == "both"
    history = made.fit(noisy.train, noisy.valid, progress=False)
    recogniser = NoiseRecogniser(seed=3).fit(noisy.train)
    weights = recogniser.found.weights
    assert torch.equal(made.interaction_weights(noisy.train), weights)
    assert {record.weights_used for record in history} == {"all"}
    assert history[0].weights.mean == pytest.approx(float(weights.mean()), abs=0.02)
    # The same by hand: given weights, in training and in what is read.
    given = trainer(noisy, weighting="given", weights_act_on="both", seed=3)

    def weighed(of: LeaveOneOut, part: str) -> object:
        data = getattr(of, part)
        found = extended_weights(of.train, weights, data.histories)
        return replace(data, histories=replace(data.histories, weights=found))

    valid, test = weighed(noisy, "valid"), weighed(noisy, "test")
    given.fit(replace(noisy.train, weights=weights), valid, progress=False)  # type: ignore[arg-type]
    assert torch.equal(parameters(made.recommender), parameters(given.recommender))
    assert torch.equal(made.ranks(noisy.test), given.ranks(test))  # type: ignore[arg-type]
    # Without the weights, the histories would give other ranks.
    whole = replace(noisy.test, read=noisy.test.histories)
    assert not torch.equal(made.ranks(noisy.test), made.ranks(whole))


def test_folds_and_gate_reach_the_recogniser(noisy: LeaveOneOut) -> None:
    made = trainer(noisy, recipe="default", num_folds=3, gate_auc=0.0)
    options = RecognitionConfig(num_folds=3, gate_auc=0.0)
    wanted = recognise_noise(noisy.train, options, seed=0)
    found = made.recognise(noisy.train)
    assert torch.equal(found.weights, wanted.weights)
    assert len(found.artificial_auc) == 3
    assert bool((wanted.weights < 1).any())
    gated = trainer(noisy, recipe="default", gate_auc=1.0)
    assert bool((gated.recognise(noisy.train).weights == 1).all())


def test_weights_of_one_are_equal_weights(noisy: LeaveOneOut) -> None:
    """Batches and masks are the same: only weights could make a difference."""
    equal = trainer(noisy, weighting="equal")
    equal.fit(noisy.train, noisy.valid, progress=False)
    made = trainer(noisy, recipe="default")
    found = made.recognise(noisy.train)
    found.weights.fill_(1.0)
    made.fit(noisy.train, progress=False)
    torch.testing.assert_close(
        parameters(made.recommender), parameters(equal.recommender), rtol=5e-3, atol=5e-3
    )


def test_it_says_what_it_knows(noisy: LeaveOneOut, capsys: pytest.CaptureFixture[str]) -> None:
    trainer(noisy, recipe="default", epochs=1).fit(noisy.train, title="run")
    said = capsys.readouterr().err
    assert "run: recognised noise: mean P(clean) 0." in said
    assert "left out" not in said


def test_a_config_is_refused_that_no_recommender_could_follow() -> None:
    with pytest.raises(TypeError, match="weights on inputs need a recommender whose encode takes"):
        JointTrainer(GRU4Rec(9), config=config(recipe="default", weights_act_on="inputs"))
