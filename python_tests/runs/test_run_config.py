"""Recipes, and configs of runs: phases, models, configs of earlier releases."""

from __future__ import annotations

import json
from typing import Any

import pytest

from atjt_ext.models.registry import MODELS
from atjt_ext.recognition.noise_models.bidirectional import BidirectionalConfig
from atjt_ext.recognition.noise_models.target_attention import TargetAttentionConfig
from atjt_ext.runs.config import RunConfig
from atjt_ext.training.config import JointTrainerConfig
from atjt_ext.training.recipes import RECIPES

# ---- phases -------------------------------------------------------------------------------------


def test_sequential_cross_fitting_has_a_phase_per_fold() -> None:
    assert JointTrainerConfig(epochs=4, num_folds=3).total_epochs == 4
    phases: dict[str, Any] = {"num_folds": 3, "cross_fitting": "sequential", "patience": None}
    for weighting in ("equal", "co_occurrence"):
        assert JointTrainerConfig(epochs=4, weighting=weighting, **phases).total_epochs == 12


def test_stopping_early_would_leave_out_phases() -> None:
    with pytest.raises(ValueError, match="patience must be None under cross_fitting='sequential'"):
        JointTrainerConfig(cross_fitting="sequential", patience=3)


def test_only_equal_weights_need_no_noise_model() -> None:
    assert [
        JointTrainerConfig(weighting=weighting).learns_noise
        for weighting in ("equal", "clean_probability", "calibrated")
    ] == [False, True, True]


def test_the_paper_recipe_is_the_papers() -> None:
    run = RunConfig.from_recipe("paper")
    trainer = run.trainer
    assert run.recipe == "paper"
    assert trainer.weighting == "clean_probability"
    assert (trainer.cross_fitting, trainer.fold_count) == ("sequential", 2)
    assert (trainer.noise_loss_weight, trainer.gradient_through_weights) == (100.0, True)
    assert (trainer.num_replacements, trainer.replace_ratio) == (1, None)
    assert (trainer.sequence_fraction, trainer.corrupt_target) == (0.5, False)
    assert (trainer.loss, trainer.num_negatives) == ("binary_cross_entropy", 1)
    assert (trainer.max_length, trainer.batch_size) == (19, 256)
    assert (trainer.epochs, trainer.total_epochs) == (4, 8)
    assert (trainer.optimizer, trainer.weight_decay) == ("adagrad", 5e-4)
    assert (trainer.learning_rate, trainer.noise_learning_rate) == (8e-4, 0.024)
    assert (trainer.warmup_epochs, trainer.patience) == (0, None)
    assert run.model.options()["embedding_dim"] == 8
    assert run.noise_model == TargetAttentionConfig(
        noise_embedding_dim=8, noise_hidden_dims=(256, 64)
    )


def test_the_other_recipes_differ_from_the_defaults_in_their_weights_only() -> None:
    assert RunConfig.from_recipe() == RunConfig()
    assert JointTrainerConfig.from_recipe() == JointTrainerConfig()
    assert JointTrainerConfig.from_recipe("equal_weights") == JointTrainerConfig(weighting="equal")


@pytest.mark.parametrize("recipe", RECIPES)
def test_changes_reach_the_part_they_belong_to(recipe: str) -> None:
    run = RunConfig.from_recipe(recipe, epochs=7, embedding_dim=24, num_heads=3, k_core=5)
    assert (run.trainer.epochs, run.model.embedding_dim, run.data.k_core) == (7, 24, 5)
    assert run.trainer.weighting == RunConfig.from_recipe(recipe).trainer.weighting
    assert JointTrainerConfig.from_recipe(recipe, epochs=7) == run.trainer
    with pytest.raises(TypeError, match="k_core"):
        JointTrainerConfig.from_recipe(recipe, epochs=7, k_core=5)


def test_naming_one_amount_takes_the_others_back() -> None:
    count = JointTrainerConfig.from_recipe("joint", num_replacements=2)
    assert (count.num_replacements, count.replace_ratio) == (2, None)
    share = JointTrainerConfig.from_recipe("paper", replace_ratio=0.2)
    assert (share.num_replacements, share.replace_ratio) == (None, 0.2)
    chance = JointTrainerConfig.from_recipe("paper", replace_probability=0.2)
    assert (chance.num_replacements, chance.replace_probability) == (None, 0.2)
    count = JointTrainerConfig.from_recipe("joint_positions", num_replacements=2)
    assert (count.num_replacements, count.replace_probability) == (2, None)
    with pytest.raises(ValueError, match="exactly one of"):
        JointTrainerConfig.from_recipe("joint", num_replacements=2, replace_ratio=0.2)


def test_changing_a_recipe_leaves_it_as_it_was() -> None:
    before = {name: dict(values) for name, values in RECIPES.items()}
    RunConfig.from_recipe("paper", replace_ratio=0.2, epochs=9)
    assert before == RECIPES


def test_unknown_recipe_lists_the_known_ones() -> None:
    known = "default, joint, joint_positions, equal_weights, paper"
    with pytest.raises(ValueError, match=f"recipe must be one of {known}, got 'papers'"):
        RunConfig.from_recipe("papers")


def test_unknown_option_is_named() -> None:
    with pytest.raises(TypeError, match="no such option: epoch, heads"):
        RunConfig.from_recipe(epoch=3, heads=2, epochs=4)


@pytest.mark.parametrize("recipe", RECIPES)
def test_configs_survive_a_round_trip_through_json(recipe: str) -> None:
    changes: dict[str, Any] = {"user_column": "who", "k_core": 3, "clip_grad_norm": 1.0}
    run = RunConfig.from_recipe(recipe, shared={"noise_hidden_dims": (32,)}, **changes)
    assert RunConfig.from_dict(json.loads(json.dumps(run.as_dict()))) == run


def test_equal_weights_differ_in_nothing_else() -> None:
    run = RunConfig.from_recipe("paper", seed=4)
    equal = run.with_equal_weights()
    assert equal.trainer.weighting == "equal"
    assert RunConfig.from_recipe("paper", seed=4, weighting="equal") == equal


def test_configs_can_not_be_changed_by_accident() -> None:
    with pytest.raises(AttributeError):
        JointTrainerConfig().epochs = 3  # type: ignore[misc]


# ---- models -------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("recipe", RECIPES)
def test_every_model_has_every_recipe_and_survives_json(recipe: str, model: str) -> None:
    shared = {"noise_hidden_dims": (8,)}
    run = RunConfig.from_recipe(recipe, model=model, item_columns=("class",), shared=shared)
    assert type(run.model) is MODELS[model]
    assert run.as_dict()["model"]["name"] == run.model.name == model
    assert RunConfig.from_dict(json.loads(json.dumps(run.as_dict()))) == run
    assert run.with_equal_weights().model == run.model


def test_a_model_changes_the_default_training_and_recipes_and_options_go_before_it() -> None:
    assert RunConfig.from_recipe(model="din").trainer == JointTrainerConfig(
        loss="binary_cross_entropy", window_stride=1
    )
    assert RunConfig.from_recipe(model="fearec").trainer == JointTrainerConfig(window_stride=1)
    assert RunConfig.from_recipe(model="gru4rec").trainer == JointTrainerConfig()
    for model in MODELS:
        assert RunConfig.from_recipe("paper", model=model).trainer == (
            JointTrainerConfig.from_recipe("paper")
        )
    changed = RunConfig.from_recipe(model="dcn", loss="cross_entropy", window_stride=None)
    assert changed.trainer == JointTrainerConfig()


def test_the_paper_recipe_has_the_papers_width_for_every_model() -> None:
    for model in MODELS:
        sizes = RunConfig.from_recipe("paper", model=model).model.options()
        assert sizes["embedding_dim"] == 8


def test_an_option_of_another_model_is_named() -> None:
    with pytest.raises(TypeError, match="no such option: num_heads"):
        RunConfig.from_recipe(model="din", num_heads=2)


def test_an_unknown_model_lists_the_known_ones() -> None:
    message = f"model must be one of {', '.join(MODELS)}, got 'bert4rec'"
    with pytest.raises(ValueError, match=message):
        RunConfig.from_recipe(model="bert4rec")
    values = RunConfig().as_dict()
    values["model"]["name"] = "bert4rec"
    with pytest.raises(ValueError, match=message):
        RunConfig.from_dict(values)


# ---- configs of earlier releases ----------------------------------------------------------------

BEFORE = """{"recipe": "RECIPE", "data": {"format": "auto", "item_columns": [], "k_core": 0},
"model": {"name": "sasrec", "noise_model": "target_attention", "noise_embedding_dim": 32,
 "noise_hidden_dims": [256, 64], "noise_num_blocks": 2, "noise_num_heads": 2,
 "embedding_dim": 16, "num_blocks": 1, "num_heads": 1, "dropout": 0.5},
"trainer": {"weighting": "WEIGHTING", "weights_act_on": null, "drop_below": 0.6,
 "adaptive_denoising": "none", "truncated_share": 0.2, "truncation_epochs": 5,
 "reweighting_power": 0.2, "cross_fitting": "simultaneous", "num_folds": 2,
 "noise_loss_weight": 1.0, "gradient_through_weights": false, "warmup_epochs": 2,
 "gate_auc": 0.55, "sequence_fraction": 0.5, "num_replacements": null, "replace_ratio": 0.3,
 "replace_probability": null, "corrupt_target": true, "loss": "cross_entropy",
 "softmax": "auto", "num_negatives": 1, "max_length": 20, "epochs": 3,
 "noise_learning_rate": 0.001, "patience": 6, "min_epochs": 10, "min_steps": 2000}}"""


def _before(recipe: str, weighting: str, model: object = None, **trainer: object) -> dict[str, Any]:
    """What an earlier release wrote to config.json: every option has a value."""
    text = BEFORE.replace("RECIPE", recipe).replace("WEIGHTING", weighting)
    values: dict[str, Any] = json.loads(text)
    values["trainer"].update(trainer)
    values["model"].update(model or {})
    return values


@pytest.mark.parametrize(
    ("recipe", "weighting"),
    [("default", "co_occurrence"), ("joint", "calibrated"), ("joint", "clean_probability")],
)
def test_an_earlier_config_is_todays_of_the_same_options(recipe: str, weighting: str) -> None:
    small = {"embedding_dim": 16, "num_blocks": 1, "dropout": 0.5, "max_length": 20, "epochs": 3}
    wanted = RunConfig.from_recipe(recipe, weighting=weighting, **small)
    assert RunConfig.from_dict(_before(recipe, weighting)) == wanted
    equal = RunConfig.from_dict(_before(recipe, "equal"))
    assert equal == wanted.with_equal_weights()
    assert f"trainer.weighting: 'equal' -> {weighting!r}" in equal.differences(wanted)


def test_options_that_had_no_effect_are_left_out_of_an_earlier_config() -> None:
    idle = {"gate_auc": 0.7, "num_folds": 3, "num_negatives": 4, "min_steps": 0, "patience": None}
    read = RunConfig.from_dict(_before("default", "co_occurrence", {"noise_num_heads": 3}, **idle))
    assert read.trainer == JointTrainerConfig(max_length=20, epochs=3, patience=None)
    joint = RunConfig.from_dict(_before("joint", "calibrated", {"noise_num_heads": 3}, **idle))
    assert (joint.trainer.gate_auc, joint.trainer.num_folds) == (0.7, 3)
    assert joint.noise_model == TargetAttentionConfig()
    sequential = {"cross_fitting": "sequential", "patience": None, "num_folds": 3}
    assert JointTrainerConfig.from_dict(
        _before("paper", "equal", **sequential)["trainer"], earlier=True
    ).total_epochs == (9)


def test_an_earlier_bidirectional_noise_model_is_read() -> None:
    options = {"noise_model": "bidirectional", "noise_num_blocks": 3}
    read = RunConfig.from_dict(_before("joint_positions", "calibrated", options))
    assert read.noise_model == BidirectionalConfig(noise_num_blocks=3)
    options["noise_model"] = "causal"
    with pytest.raises(ValueError, match="noise_model must be one of target_attention, bidirect"):
        RunConfig.from_dict(_before("joint", "calibrated", options))


def test_todays_folds_and_gate_are_read_as_they_are() -> None:
    asked = RunConfig.from_recipe(num_folds=2, gate_auc=0.55)
    assert RunConfig.from_dict(json.loads(json.dumps(asked.as_dict()))) == asked
    assert asked.differences(RunConfig()) == [
        "trainer.num_folds: 2 -> None",
        "trainer.gate_auc: 0.55 -> None",
    ]
    joint = RunConfig.from_recipe("joint", num_folds=2, gate_auc=0.55)
    assert joint.differences(RunConfig.from_recipe("joint")) == []


def test_a_config_with_float16_says_that_it_has_gone() -> None:
    with pytest.raises(ValueError, match="got 'float16': training in float16 was removed"):
        RunConfig.from_dict(_before("default", "co_occurrence", precision="float16"))


def test_a_config_from_before_there_were_models_is_sasrecs() -> None:
    values = RunConfig().as_dict()
    del values["model"]["name"], values["trainer"]["window_stride"]
    assert RunConfig.from_dict(values) == RunConfig()
