"""Recipes of an experiment: the options and weights that each one sets, and nothing else."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import pytest
import torch

from atjt_ext.data import LeaveOneOut, PlantedNoise, Sequences, inject_noise, leave_one_out
from atjt_ext.experiment.recipes import SOURCES, WITHOUT_RECOGNITION, ExperimentRecipe, recipe_names
from atjt_ext.experiment.weights import (
    dealt_by,
    given_weights,
    of_whole,
    pilot_losses,
    with_weights,
    without_noise,
)
from atjt_ext.models.registry import MODELS
from atjt_ext.recognition.noise_models.registry import NOISE_MODELS
from atjt_ext.runs.build import base_model
from atjt_ext.runs.config import RunConfig
from atjt_ext.training.config import JointTrainerConfig
from atjt_ext.training.objectives import recommender_loss
from helpers.joint import parameters
from helpers.tiny import LastItemModel, tiny_batch, tiny_sequences

OPTIONS = {
    "epochs": 2,
    "batch_size": 32,
    "max_length": 12,
    "embedding_dim": 16,
    "num_blocks": 1,
    "patience": None,
}


def config_of(recipe: str, *, model: str = "sasrec", seed: int = 0, **changes: Any) -> RunConfig:
    options = {**OPTIONS, **changes}
    return ExperimentRecipe.named(recipe).config(model, options, seed=seed, more_epochs=3)


@pytest.fixture
def noisy() -> Sequences:
    """Two users of five items; items 8 and 9 are noise."""
    return tiny_sequences(
        [1, 8, 2, 3, 4],
        [9, 5, 6, 7, 1],
        noise=[False, True, False, False, False, True, False, False, False, False],
    )


# ---- names and settings -----------------------------------------------------------------------


@pytest.mark.parametrize("name", recipe_names())
def test_every_recipe_has_a_valid_config_and_a_baseline(name: str) -> None:
    recipe = ExperimentRecipe.named(name)
    config = config_of(name, seed=7)
    assert config.trainer.seed == 7
    assert config.recipe == name
    if recipe.baseline is not None:
        assert ExperimentRecipe.named(recipe.baseline).baseline is None


def test_a_recipe_differs_from_its_baseline_in_the_weighing_alone() -> None:
    weighing = {"weighting", "weights_act_on", "adaptive_denoising"}
    of_noise_models = {
        one.name
        for one in fields(JointTrainerConfig)
        if "weighting=clean_probability" in getattr(one.metadata.get("only"), "needs", "")
    }
    assert {"noise_learning_rate", "replace_ratio"} <= of_noise_models
    for name in recipe_names():
        recipe = ExperimentRecipe.named(name)
        if recipe.baseline is None:
            continue
        ours, base = (config_of(n, seed=1) for n in (name, recipe.baseline))
        assert ours.model == base.model
        assert ours.data == base.data
        changed = {
            field
            for field, value in ours.as_dict()["trainer"].items()
            if value != base.as_dict()["trainer"][field]
        }
        allowed = {
            "more_epochs": {"epochs"},
            "joint_positions": weighing | of_noise_models,
            "paper": weighing | of_noise_models,
        }
        assert changed <= allowed.get(name, weighing), name
        assert base.trainer.weighting == "equal"


def test_joint_positions_is_the_recipe_of_that_name() -> None:
    # The grid's own options of damage do not matter.
    ours = config_of("joint_positions", seed=1, num_replacements=1, noise_embedding_dim=8)
    assert ours.model == config_of("equal_weights").model
    assert ours.noise_model == NOISE_MODELS["bidirectional"](noise_embedding_dim=8)
    trainer = ours.trainer
    assert (trainer.weighting, trainer.sequence_fraction) == ("calibrated", 0.95)
    assert (trainer.num_replacements, trainer.replace_ratio) == (None, None)
    assert (trainer.replace_probability, trainer.noise_learning_rate) == (0.2, 3e-3)
    assert (trainer.max_length, trainer.seed) == (12, 1)
    assert trainer == replace(
        RunConfig.from_recipe("joint_positions", seed=1).trainer,
        **{name: OPTIONS[name] for name in ("epochs", "batch_size", "max_length", "patience")},
    )


def test_more_epochs_and_the_paper_are_what_they_say() -> None:
    more = config_of("more_epochs", patience=4, min_steps=50).trainer
    assert (more.epochs, more.patience, more.min_steps) == (6, 12, 150)
    assert config_of("more_epochs").trainer.epochs == 6  # without patience
    assert config_of("paper", seed=3).trainer == RunConfig.from_recipe("paper", seed=3).trainer


def test_the_paper_has_its_own_sizes_and_the_grids_where_it_says_nothing() -> None:
    own = {"model": "s3rec", "embedding_dim": 32, "pretrain_epochs": 3}
    paper = config_of("paper", noise_hidden_dims=(16,), noise_embedding_dim=4, **own)
    assert paper.model == MODELS["s3rec"](embedding_dim=8, pretrain_epochs=3, num_blocks=1)
    expected = NOISE_MODELS["target_attention"](noise_embedding_dim=8, noise_hidden_dims=(16,))
    assert paper.noise_model == expected
    other = config_of("paper", noise_model="bidirectional", noise_hidden_dims=(16,), **own)
    assert other == paper
    assert paper.model.name == "s3rec"
    assert paper.trainer == RunConfig.from_recipe("paper", model="s3rec").trainer


def test_unknown_recipes_are_refused() -> None:
    for name in ("magic", "oracle", "oracle-users", "magic-both"):
        with pytest.raises(ValueError, match=f"recipe must be one of .*, got '{name}'"):
            ExperimentRecipe.named(name)


# ---- given weights ----------------------------------------------------------------------------


def test_oracle_weights_are_the_truth(noisy: Sequences) -> None:
    train = leave_one_out(noisy).train
    weights = given_weights("oracle", train, None, None, seed=0)
    assert weights.tolist() == [1, 0, 1, 0, 1, 1]
    with pytest.raises(ValueError, match="need sequences with is_noise"):
        given_weights("oracle", replace(train, is_noise=None), None, None, seed=0)


def test_controls_deal_out_the_same_weights(noisy: Sequences) -> None:
    train = tiny_sequences([1, 1, 2, 3], [1, 2, 3, 4])
    weights = torch.tensor([0.8, 0.1, 0.9, 0.3, 0.7, 0.2, 1.0, 0.6])
    losses = torch.tensor([1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0])
    for source in sorted(SOURCES.keys() - set(WITHOUT_RECOGNITION)):
        dealt = given_weights(source, train, weights, losses, seed=0)
        assert torch.equal(dealt.sort().values, weights.sort().values)
    by_loss = given_weights("loss", train, weights, losses, seed=0)
    assert torch.equal(by_loss, weights.sort(descending=True).values)
    by_popularity = given_weights("popularity", train, weights, losses, seed=0)
    assert float(by_popularity[-1]) == pytest.approx(0.1)  # item 4, the only rarest
    assert set(by_popularity[[0, 1, 4]].tolist()) == set(weights.sort().values[-3:].tolist())
    shuffled = [given_weights("shuffled", train, weights, None, seed=s) for s in (0, 0, 1)]
    assert torch.equal(shuffled[0], shuffled[1])
    assert not torch.equal(shuffled[0], shuffled[2])


def test_ties_are_dealt_at_random() -> None:
    weights, order = torch.arange(100.0) / 100, torch.zeros(100)
    dealt = dealt_by(weights, order, seed=0)
    assert not torch.equal(dealt, weights)
    assert abs(float(torch.corrcoef(torch.stack([dealt, weights]))[0, 1])) < 0.4


def test_sources_need_what_they_are_made_of(noisy: Sequences) -> None:
    with pytest.raises(ValueError, match="weights of 'shuffled' need the co_occurrence weights"):
        given_weights("shuffled", noisy, None, None, seed=0)
    with pytest.raises(ValueError, match="need the losses of a pilot"):
        given_weights("loss", noisy, torch.ones(10), None, seed=0)
    with pytest.raises(ValueError, match="no such source of weights: 'magic'"):
        given_weights("magic", noisy, torch.ones(10), None, seed=0)


# ---- what weights do --------------------------------------------------------------------------


def test_oracle_on_targets_drops_the_noise_from_the_loss(noisy: Sequences) -> None:
    train = leave_one_out(noisy).train
    weights = given_weights("oracle", train, None, None, seed=0)
    model, batch = LastItemModel(), tiny_batch([1, 8, 2], [9, 5, 6])
    found, clean = (
        recommender_loss(model, b, w, JointTrainerConfig()).item()
        for b, w in (
            (batch, weights.view(2, 3)),
            # 8 -> 2, 9 -> 5 and 5 -> 6 are what is left: 1 -> 8 has a noisy target.
            (tiny_batch([8, 2], [9, 5], [5, 6]), torch.ones(3)),
        )
    )
    assert found == pytest.approx(clean, rel=1e-6)


def test_given_weights_are_read_at_test_time_if_asked_to(noisy: Sequences) -> None:
    weights = given_weights("oracle", leave_one_out(noisy).train, None, None, seed=0)
    at_test = with_weights(noisy, of_whole(noisy, weights), at_test=True)
    assert at_test.train.weights is not None
    assert at_test.train.weights.tolist() == weights.tolist()
    assert at_test.test.histories.weights is not None
    # The validation item is read under weight one: nobody judged it.
    assert at_test.test.histories.weights.tolist() == [1, 0, 1, 1, 0, 1, 1, 1]
    only_train = with_weights(noisy, of_whole(noisy, weights), at_test=False)
    assert only_train.train.weights is not None
    assert only_train.test.histories.weights is None
    assert only_train.valid.histories.weights is None


def test_dropping_takes_the_noise_out_and_keeps_what_was_seen(noisy: Sequences) -> None:
    weights = given_weights("oracle", leave_one_out(noisy).train, None, None, seed=0)
    split = without_noise(noisy, of_whole(noisy, weights), below=0.5, at_test=True)
    assert split.train.items.tolist() == [1, 2, 5, 6]
    assert split.test.targets.tolist() == [4, 1]
    (batch,) = split.test.batches(2, 9)
    assert batch.inputs.tolist() == [[1, 2, 3], [5, 6, 7]]
    assert sorted(batch.seen_items.tolist()) == [1, 2, 3, 5, 6, 7, 8, 9]
    (batch,) = split.valid.batches(2, 9)
    assert batch.inputs.tolist() == [[1, 2], [5, 6]]
    only_train = without_noise(noisy, of_whole(noisy, weights), below=0.5, at_test=False)
    (batch,) = only_train.test.batches(2, 9)
    assert batch.inputs.tolist() == [[1, 8, 2, 3], [9, 5, 6, 7]]


def test_dropping_leaves_everybody_the_cleanest_item() -> None:
    sequences = tiny_sequences([1, 2, 3, 4], [5, 6, 7, 8])
    weights = torch.tensor([0.1, 0.3, 1.0, 1.0, 0.9, 0.2, 0.4, 0.0])
    split = without_noise(sequences, weights, below=0.5, at_test=True)
    assert split.train.items.tolist() == [2, 5]
    assert split.train.lengths.tolist() == [1, 1]
    # What came after training is left out by its own weight, targets never.
    (batch,) = split.test.batches(2, 9)
    assert batch.inputs.tolist() == [[2, 3], [0, 5]]
    assert split.test.targets.tolist() == [4, 8]


# ---- equal random streams ---------------------------------------------------------------------


def trained(recipe: str, split: LeaveOneOut) -> torch.Tensor:
    trainer = base_model(config_of(recipe), split.train)
    trainer.fit(split.train, split.valid, progress=False)
    return parameters(trainer.recommender)


def test_weights_of_one_train_as_the_baseline_does(split: LeaveOneOut) -> None:
    whole = inject_noise(rejoined(split), PlantedNoise(), seed=0)
    plain = leave_one_out(whole)
    baseline = trained("equal_weights", plain)
    ones = torch.ones(whole.num_interactions)
    for recipe in ("oracle-targets", "oracle-both"):
        given = trained(recipe, with_weights(whole, ones, at_test=True))
        torch.testing.assert_close(given, baseline, rtol=5e-3, atol=5e-3)
    assert torch.equal(
        trained("oracle-drop", without_noise(whole, ones, below=0.5, at_test=True)), baseline
    )


def rejoined(split: LeaveOneOut) -> Sequences:
    """Whole sequences from a split, of users whose noise is not known."""
    histories = split.test.histories
    items = [
        torch.cat([histories.items_of(u), split.test.targets[u : u + 1]]).tolist()
        for u in range(histories.num_users)
    ]
    return tiny_sequences(*items, num_items=histories.num_items)


# ---- pilots -----------------------------------------------------------------------------------


@pytest.mark.parametrize("model", ["din", "fearec"])
def test_a_pilot_that_predicts_last_items_only_judges_windows_by_them(
    model: str, split: LeaveOneOut
) -> None:
    settings = RunConfig.from_recipe(model=model, embedding_dim=8, max_length=4)
    losses = pilot_losses(settings, split, epochs=1)
    assert bool(torch.isfinite(losses).all())
    start, end = split.train.offsets[:2].tolist()
    last = losses[end - 5 : end] if end - start >= 5 else losses[start:end]
    assert len(set(last[1:].tolist())) == 1


def test_a_pilot_finds_planted_noise_hard_to_fit(split: LeaveOneOut) -> None:
    losses = pilot_losses(config_of("loss-targets"), split, epochs=6)
    assert losses.shape == (split.train.num_interactions,)
    assert bool(torch.isfinite(losses).all())
    noise = split.train.is_noise
    assert noise is not None
    assert float(losses[noise].mean()) > float(losses[~noise].mean())
