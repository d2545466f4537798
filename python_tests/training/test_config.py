"""Options, their ranges, and recipes."""

from __future__ import annotations

import json
from dataclasses import fields
from typing import Any, Literal, get_origin, get_type_hints

import pytest

from atjt_ext.models.dcn import DCNConfig
from atjt_ext.models.din import DINConfig
from atjt_ext.models.fearec import FEARecConfig
from atjt_ext.models.gru4rec import GRU4RecConfig
from atjt_ext.models.registry import MODELS
from atjt_ext.models.s3rec import S3RecConfig
from atjt_ext.models.sasrec import SASRecConfig
from atjt_ext.models.wide_deep import WideDeepConfig
from atjt_ext.runs.config import DataConfig, RunConfig
from atjt_ext.training.config import JointTrainerConfig
from atjt_ext.training.recipes import RECIPES

NAN = float("nan")
NOISE: list[tuple[str, Any]] = [
    ("noise_model", "causal"),
    ("noise_embedding_dim", 0),
    ("noise_hidden_dims", (64, 0)),
    ("noise_num_blocks", 0),
    ("noise_num_heads", 0),
]
TRANSFORMER: list[tuple[str, Any]] = [
    ("embedding_dim", 0),
    ("num_blocks", 0),
    ("num_heads", 0),
    ("dropout", -0.1),
    ("dropout", 1.0),
    *NOISE,
]
POINTWISE: list[tuple[str, Any]] = [
    ("embedding_dim", 0),
    ("hidden_dims", (8, 0)),
    ("activation", "elu"),
    ("dropout", 1.0),
    *NOISE,
]
OUT_OF_RANGE: dict[type, list[tuple[str, Any]]] = {
    JointTrainerConfig: [
        ("weighting", "oracle"),
        ("cross_fitting", "none"),
        ("num_folds", 1),
        ("noise_loss_weight", -0.1),
        ("noise_loss_weight", NAN),
        ("warmup_epochs", -1),
        ("gate_auc", -0.1),
        ("gate_auc", 1.1),
        ("sequence_fraction", 0.0),
        ("sequence_fraction", 1.0),
        ("replace_probability", 0.0),
        ("replace_probability", 1.1),
        ("replace_ratio", 0.0),
        ("replace_ratio", 1.1),
        ("loss", "hinge"),
        ("softmax", "sampled"),
        ("num_negatives", 0),
        ("max_length", 0),
        ("window_stride", 0),
        ("window_stride", 51),
        ("batch_size", 0),
        ("epochs", 0),
        ("optimizer", "sgd"),
        ("weights_act_on", "users"),
        ("drop_below", 1.1),
        ("drop_below", -0.1),
        ("adaptive_denoising", "dropped"),
        ("truncated_share", 1.0),
        ("truncation_epochs", -1),
        ("reweighting_power", -0.1),
        ("learning_rate", 0.0),
        ("learning_rate", NAN),
        ("noise_learning_rate", 0.0),
        ("weight_decay", -1e-9),
        ("clip_grad_norm", 0.0),
        ("schedule", "step"),
        ("schedule_warmup_steps", -1),
        ("precision", "int8"),
        ("patience", 0),
        ("min_epochs", -1),
        ("min_steps", -1),
        ("seed", -1),
    ],
    SASRecConfig: TRANSFORMER,
    S3RecConfig: [
        *TRANSFORMER,
        ("pretrain_epochs", -1),
        ("pretrain_learning_rate", 0.0),
        ("mask_ratio", 0.0),
        ("mask_ratio", 1.0),
    ],
    FEARecConfig: [
        *TRANSFORMER,
        ("band_share", 0.0),
        ("band_share", 1.1),
        ("time_share", -0.1),
        ("time_share", 1.1),
        ("delay_factor", 0.0),
        ("contrast_weight", -0.1),
    ],
    GRU4RecConfig: [
        ("embedding_dim", 0),
        ("hidden_dim", 0),
        ("num_layers", 0),
        ("dropout", 1.0),
        *NOISE,
    ],
    DINConfig: [*POINTWISE, ("attention_dims", (0,))],
    WideDeepConfig: [*POINTWISE, ("cross_buckets", -1)],
    DCNConfig: [*POINTWISE, ("num_cross_layers", 0), ("cross_version", 3)],
    DataConfig: [
        ("format", "xml"),
        ("k_core", -1),
        ("min_length", -1),
        ("latest", -1),
        ("latest", 2),
    ],
}
# What can't be out of range: switches and names (valid_metric is checked against the metrics
# that an evaluation returns).
FREE = (
    {"gradient_through_weights", "corrupt_target", "compile", "valid_metric", "see_users"}
    | {"item_file", "item_columns"}
    | {f"{kind}_column" for kind in ("user", "item", "time", "rating", "weight")}
)


@pytest.mark.parametrize(
    ("part", "name", "value"),
    [(part, *case) for part, cases in OUT_OF_RANGE.items() for case in cases],
)
def test_values_out_of_range_are_refused_by_name(part: type, name: str, value: Any) -> None:
    shown = value[-1] if isinstance(value, tuple) else value
    with pytest.raises(ValueError, match=rf"^{name} must be .*, got '?{shown}'?$"):
        part(**{name: value})


def test_num_replacements_below_one_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^num_replacements must be at least 1, got 0$"):
        JointTrainerConfig(num_replacements=0, replace_ratio=None)


def test_every_option_is_range_checked() -> None:
    checked = {(part, name) for part, cases in OUT_OF_RANGE.items() for name, _ in cases}
    checked.add((JointTrainerConfig, "num_replacements"))
    unchecked = {
        field.name
        for part in OUT_OF_RANGE
        for field in fields(part)
        if (part, field.name) not in checked
    }
    assert unchecked == FREE


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("num_folds", 2),
        ("noise_loss_weight", 0.0),
        ("warmup_epochs", 0),
        ("gate_auc", 0.0),
        ("gate_auc", 1.0),
        ("replace_ratio", 1.0),
        ("num_negatives", 1),
        ("weight_decay", 0.0),
        ("patience", None),
        ("patience", 1),
        ("clip_grad_norm", None),
        ("min_epochs", 0),
        ("min_steps", 0),
        ("seed", 0),
    ],
)
def test_values_at_the_edge_are_taken(name: str, value: Any) -> None:
    assert getattr(JointTrainerConfig(**{name: value}), name) == value


@pytest.mark.parametrize("part", OUT_OF_RANGE)
def test_every_choice_that_is_offered_is_taken(part: type) -> None:
    choices = {
        name: hint.__args__
        for name, hint in get_type_hints(part).items()
        if get_origin(hint) is Literal
    }
    for name, values in choices.items():
        for value in values:
            needed = {"patience": None} if value == "sequential" else {}
            assert getattr(part(**{name: value}, **needed), name) == value


def test_one_amount_of_replacement_must_be_given() -> None:
    wanted = "exactly one of num_replacements, replace_ratio, replace_probability must be given"
    with pytest.raises(ValueError, match=f"{wanted}, got num_replacements=1, replace_ratio=0.3"):
        JointTrainerConfig(num_replacements=1)
    with pytest.raises(ValueError, match=wanted):
        JointTrainerConfig(replace_ratio=None)
    with pytest.raises(ValueError, match=f"{wanted}, .*replace_probability=0.2"):
        JointTrainerConfig(replace_probability=0.2)


def test_sequential_cross_fitting_has_a_phase_per_fold() -> None:
    assert JointTrainerConfig(epochs=4, num_folds=3).total_epochs == 4
    sequential = JointTrainerConfig(
        epochs=4, num_folds=3, cross_fitting="sequential", patience=None
    )
    assert sequential.total_epochs == 12


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
    assert (trainer.cross_fitting, trainer.num_folds) == ("sequential", 2)
    assert (trainer.noise_loss_weight, trainer.gradient_through_weights) == (100.0, True)
    assert (trainer.num_replacements, trainer.replace_ratio) == (1, None)
    assert (trainer.sequence_fraction, trainer.corrupt_target) == (0.5, False)
    assert (trainer.loss, trainer.num_negatives) == ("binary_cross_entropy", 1)
    assert (trainer.max_length, trainer.batch_size) == (19, 256)
    assert (trainer.epochs, trainer.total_epochs) == (4, 8)
    assert (trainer.optimizer, trainer.weight_decay) == ("adagrad", 5e-4)
    assert (trainer.learning_rate, trainer.noise_learning_rate) == (8e-4, 0.024)
    assert (trainer.warmup_epochs, trainer.patience) == (0, None)
    assert (run.model.embedding_dim, run.model.noise_embedding_dim) == (8, 8)
    assert run.model.noise_hidden_dims == (256, 64)


def test_the_other_recipes_differ_from_the_defaults_in_their_weights_only() -> None:
    assert RunConfig.from_recipe() == RunConfig()
    assert JointTrainerConfig.from_recipe() == JointTrainerConfig()
    assert JointTrainerConfig.from_recipe("equal_weights") == JointTrainerConfig(weighting="equal")


@pytest.mark.parametrize("recipe", RECIPES)
def test_changes_reach_the_part_they_belong_to(recipe: str) -> None:
    run = RunConfig.from_recipe(recipe, epochs=7, embedding_dim=24, num_heads=3, k_core=5)
    assert (run.trainer.epochs, run.model.embedding_dim, run.data.k_core) == (7, 24, 5)
    assert run.trainer.weighting == RunConfig.from_recipe(recipe).trainer.weighting
    assert JointTrainerConfig.from_recipe(recipe, epochs=7) == JointTrainerConfig.from_recipe(
        recipe, epochs=7, k_core=3
    )


def test_naming_one_amount_takes_the_others_back() -> None:
    count = JointTrainerConfig.from_recipe(num_replacements=2)
    assert (count.num_replacements, count.replace_ratio) == (2, None)
    share = JointTrainerConfig.from_recipe("paper", replace_ratio=0.2)
    assert (share.num_replacements, share.replace_ratio) == (None, 0.2)
    chance = JointTrainerConfig.from_recipe("paper", replace_probability=0.2)
    assert (chance.num_replacements, chance.replace_probability) == (None, 0.2)
    count = JointTrainerConfig.from_recipe("joint_positions", num_replacements=2)
    assert (count.num_replacements, count.replace_probability) == (2, None)
    with pytest.raises(ValueError, match="exactly one of"):
        JointTrainerConfig.from_recipe(num_replacements=2, replace_ratio=0.2)


def test_changing_a_recipe_leaves_it_as_it_was() -> None:
    before = {name: dict(values) for name, values in RECIPES.items()}
    RunConfig.from_recipe("paper", replace_ratio=0.2, epochs=9)
    assert before == RECIPES


def test_unknown_recipe_lists_the_known_ones() -> None:
    with pytest.raises(
        ValueError,
        match="recipe must be one of default, joint, joint_positions, equal_weights, paper, "
        "got 'papers'",
    ):
        RunConfig.from_recipe("papers")


def test_unknown_option_is_named() -> None:
    with pytest.raises(TypeError, match="no such option: epoch, heads"):
        RunConfig.from_recipe(epoch=3, heads=2, epochs=4)


@pytest.mark.parametrize("recipe", RECIPES)
def test_configs_survive_a_round_trip_through_json(recipe: str) -> None:
    run = RunConfig.from_recipe(
        recipe, noise_hidden_dims=(32,), user_column="who", k_core=3, clip_grad_norm=1.0
    )
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
    run = RunConfig.from_recipe(
        recipe, model=model, item_columns=("class",), noise_hidden_dims=(8,)
    )
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
        sizes = RunConfig.from_recipe("paper", model=model).model.own_options()
        assert sizes["embedding_dim"] == 8


def test_an_option_of_another_model_is_named() -> None:
    with pytest.raises(TypeError, match="no such option: num_heads"):
        RunConfig.from_recipe(model="din", num_heads=2)


def test_an_unknown_model_lists_the_known_ones() -> None:
    message = "model must be one of sasrec, gru4rec, .*, dcn, got 'bert4rec'"
    with pytest.raises(ValueError, match=message):
        RunConfig.from_recipe(model="bert4rec")
    values = RunConfig().as_dict()
    values["model"]["name"] = "bert4rec"
    with pytest.raises(ValueError, match=message):
        RunConfig.from_dict(values)


def test_a_config_from_before_there_were_models_is_sasrecs() -> None:
    values = RunConfig().as_dict()
    del values["model"]["name"], values["trainer"]["window_stride"]
    assert RunConfig.from_dict(values) == RunConfig()


def test_a_config_from_before_an_option_did_what_its_default_does() -> None:
    values = RunConfig(trainer=JointTrainerConfig(epochs=3)).as_dict()
    for name in ("schedule", "schedule_warmup_steps", "precision", "compile"):
        del values["trainer"][name]
    trainer = RunConfig.from_dict(values).trainer
    assert (trainer.schedule, trainer.schedule_warmup_steps) == ("constant", 0)
    assert (trainer.precision, trainer.compile, trainer.epochs) == ("float32", False, 3)
