"""Options: their ranges, and when they have an effect."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import fields
from typing import Any, Literal, get_origin, get_type_hints

import pytest

from atjt_ext.models.dcn import DCNConfig
from atjt_ext.models.din import DINConfig
from atjt_ext.models.fearec import FEARecConfig
from atjt_ext.models.gru4rec import GRU4RecConfig
from atjt_ext.models.s3rec import S3RecConfig
from atjt_ext.models.sasrec import SASRecConfig
from atjt_ext.models.wide_deep import WideDeepConfig
from atjt_ext.recognition.noise_models.bidirectional import BidirectionalConfig
from atjt_ext.recognition.noise_models.target_attention import TargetAttentionConfig
from atjt_ext.runs.config import DataConfig, RunConfig
from atjt_ext.training.config import JointTrainerConfig

NAN = float("nan")


def each(names: str, *values: Any) -> list[tuple[str, Any]]:
    return [(name, value) for name in names.split() for value in values]


TRANSFORMER = [*each("embedding_dim num_blocks num_heads", 0), *each("dropout", -0.1, 1.0)]
POINTWISE = [
    *each("embedding_dim", 0),
    ("hidden_dims", (8, 0)),
    ("activation", "elu"),
    ("dropout", 1.0),
]
OUT_OF_RANGE: dict[type, list[tuple[str, Any]]] = {
    JointTrainerConfig: [
        *each("weighting weights_act_on cross_fitting adaptive_denoising", "other"),
        *each("loss softmax optimizer schedule precision", "other"),
        *each("num_negatives max_length window_stride batch_size epochs patience", 0),
        *each("warmup_epochs truncation_epochs schedule_warmup_steps", -1),
        *each("min_epochs min_steps seed", -1),
        *each("noise_loss_weight", -0.1, NAN),
        *each("reweighting_power weight_decay", -1e-9),
        *each("learning_rate", 0.0, NAN),
        *each("noise_learning_rate clip_grad_norm", 0.0),
        *each("gate_auc drop_below", -0.1, 1.1),
        *each("sequence_fraction", 0.0, 1.0),
        *each("replace_probability replace_ratio", 0.0, 1.1),
        ("num_folds", 1),
        ("window_stride", 51),
        ("truncated_share", 1.0),
    ],
    SASRecConfig: TRANSFORMER,
    S3RecConfig: [
        *TRANSFORMER,
        ("pretrain_epochs", -1),
        *each("pretrain_learning_rate", 0.0),
        *each("mask_ratio", 0.0, 1.0),
    ],
    FEARecConfig: [
        *TRANSFORMER,
        *each("band_share", 0.0, 1.1),
        *each("time_share", -0.1, 1.1),
        ("delay_factor", 0.0),
        ("contrast_weight", -0.1),
    ],
    GRU4RecConfig: [*each("embedding_dim hidden_dim num_layers", 0), ("dropout", 1.0)],
    DINConfig: [*POINTWISE, ("attention_dims", (0,))],
    WideDeepConfig: [*POINTWISE, ("cross_buckets", -1)],
    DCNConfig: [*POINTWISE, ("num_cross_layers", 0), ("cross_version", 3)],
    TargetAttentionConfig: [("noise_embedding_dim", 0), ("noise_hidden_dims", (64, 0))],
    BidirectionalConfig: [
        *each("noise_embedding_dim noise_num_blocks noise_num_heads", 0),
        ("noise_num_heads", 3),
    ],
    DataConfig: [
        ("format", "xml"),
        ("quoting", "all"),
        *each("k_core min_length", -1),
        *each("latest", -1, 2),
    ],
}
# Switches and names have no range (valid_metric is checked against the metrics of an evaluation).
FREE = (
    {"gradient_through_weights", "corrupt_target", "compile", "valid_metric", "see_users"}
    | {"item_file", "item_columns", "scale_embedding"}
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
        JointTrainerConfig(weighting="calibrated", num_replacements=0, replace_ratio=None)


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
    ("recipe", "edges"),
    [
        ("joint", [*each("noise_loss_weight warmup_epochs gate_auc", 0), ("num_folds", 2)]),
        ("joint", each("replace_ratio", 1.0)),
        ("paper", each("num_negatives", 1)),
        ("default", each("weight_decay min_epochs min_steps seed", 0) + each("gate_auc", 1.0)),
        ("default", each("patience", None, 1) + each("clip_grad_norm", None)),
    ],
)
def test_values_at_the_edge_are_taken(recipe: str, edges: list[tuple[str, Any]]) -> None:
    for name, value in edges:
        assert getattr(JointTrainerConfig.from_recipe(recipe, **{name: value}), name) == value


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
    for given, shown in (
        ({"num_replacements": 1}, "num_replacements=1, replace_ratio=0.3"),
        ({"replace_ratio": None}, "num_replacements=None, replace_ratio=None"),
        ({"replace_probability": 0.2}, ".*replace_probability=0.2"),
    ):
        with pytest.raises(ValueError, match=f"{wanted}, got {shown}"):
            JointTrainerConfig(weighting="calibrated", **given)


# ---- options without effect ---------------------------------------------------------------------

WITHOUT_EFFECT = [
    ({"weighting": "equal"}, "weights_act_on", "drop"),
    ({"weights_act_on": "both"}, "drop_below", 0.5),
    ({"weighting": "given"}, "drop_below", 0.5),
    ({"weighting": "equal"}, "gate_auc", 0.7),
    ({"weighting": "clean_probability"}, "gate_auc", 0.7),
    ({"weighting": "given"}, "num_folds", 3),
    *(
        ({"weighting": weighting}, name, value)
        for weighting in ("equal", "given", "co_occurrence")
        for name, value in (
            *each("sequence_fraction replace_ratio replace_probability noise_learning_rate", 0.4),
            *each("noise_loss_weight warmup_epochs num_replacements", 3),
            ("gradient_through_weights", True),
            ("corrupt_target", False),
        )
    ),
    ({}, "truncated_share", 0.3),
    ({"adaptive_denoising": "reweighted"}, "truncation_epochs", 3),
    ({"adaptive_denoising": "truncated"}, "reweighting_power", 0.3),
    ({}, "num_negatives", 2),
    ({"loss": "binary_cross_entropy"}, "softmax", "linear"),
    ({"patience": None}, "min_epochs", 3),
    ({"patience": None}, "min_steps", 3),
]


@pytest.mark.parametrize(("beside", "name", "value"), WITHOUT_EFFECT)
def test_an_option_without_effect_is_refused_by_name(
    beside: dict[str, Any], name: str, value: Any
) -> None:
    with pytest.raises(ValueError, match=f"^{name}={value} has an effect only under .+, got .+"):
        JointTrainerConfig(**beside, **{name: value})
    for make in (JointTrainerConfig.from_recipe, RunConfig.from_recipe):
        with pytest.raises(ValueError, match=f"^{name}={value} has an effect only under "):
            make(**beside, **{name: value})


def test_every_condition_is_tried() -> None:
    conditional = {one.name for one in fields(JointTrainerConfig) if one.metadata.get("only")}
    assert conditional == {name for _, name, _ in WITHOUT_EFFECT}


def test_the_message_names_what_the_option_needs() -> None:
    wanted = "gate_auc=0.7 has an effect only under weighting=calibrated or co_occurrence"
    with pytest.raises(ValueError, match=f"{wanted}, got weighting=equal"):
        JointTrainerConfig(weighting="equal", gate_auc=0.7)


def test_options_of_a_model_without_effect_are_refused() -> None:
    wanted = "mask_ratio=0.3 has an effect only under pretrain_epochs above 0, got pretrain_epochs"
    with pytest.raises(ValueError, match=wanted):
        S3RecConfig(pretrain_epochs=0, mask_ratio=0.3)
    for recipe, changes, wanted in (
        ("default", {"noise_embedding_dim": 8}, "under weighting=clean_probability or calibrated"),
        ("default", {"noise_model": "bidirectional"}, "weighting=.*, got weighting=co_occurrence"),
        ("joint", {"noise_num_heads": 3}, "noise_model=bidirectional, got .*target_attention"),
        ("joint_positions", {"noise_hidden_dims": (8,)}, "noise_model=target_attention, got"),
    ):
        with pytest.raises(ValueError, match=wanted):
            RunConfig.from_recipe(recipe, **changes)
    with pytest.raises(ValueError, match="noise_model=bidirectional has an effect only under"):
        RunConfig(noise_model=BidirectionalConfig())


def test_defaults_are_never_refused() -> None:
    usual = {one.name: one.default for one in fields(JointTrainerConfig)}
    usual |= {"noise_model": "target_attention", "noise_num_heads": 2, "noise_embedding_dim": 32}
    assert RunConfig.from_recipe("equal_weights", **{**usual, "weighting": "equal"}).trainer == (
        JointTrainerConfig(weighting="equal")
    )


def test_under_leaves_out_what_has_no_effect_any_more() -> None:
    joint = RunConfig.from_recipe("joint_positions", gate_auc=0.7, noise_num_blocks=3)
    given = joint.under(weighting="given", weights_act_on="drop", drop_below=0.5)
    assert given.noise_model is None
    assert given.trainer == JointTrainerConfig(
        weighting="given", weights_act_on="drop", drop_below=0.5
    )
    assert given.under(weighting="equal").trainer == JointTrainerConfig(weighting="equal")
    assert joint.under(seed=3).noise_model == joint.noise_model
    with pytest.raises(ValueError, match=r"gate_auc=0.8 has an effect only under"):
        joint.under(weighting="equal", gate_auc=0.8)
    with pytest.raises(TypeError, match="no such option: epoch"):
        joint.under(epoch=3)


def test_shared_options_apply_where_they_have_an_effect() -> None:
    shared = {"noise_embedding_dim": 8, "num_heads": 4, "epochs": 7, "noise_learning_rate": 0.1}
    joint = RunConfig.from_recipe("joint", shared=shared)
    assert (joint.noise_model, joint.trainer.epochs) == (
        TargetAttentionConfig(noise_embedding_dim=8),
        7,
    )
    assert RunConfig.from_recipe(model="din", shared=shared) == (
        RunConfig.from_recipe(model="din", epochs=7)
    )
    assert RunConfig.from_recipe("joint", shared=shared, epochs=9).trainer.epochs == 9


def test_folds_and_gate_serve_both_kinds_of_recognition() -> None:
    for weighting in ("co_occurrence", "calibrated"):
        config = JointTrainerConfig(weighting=weighting, num_folds=3, gate_auc=0.0)
        assert (config.num_folds, config.gate_auc) == (config.fold_count, config.gate) == (3, 0.0)
    assert (JointTrainerConfig().num_folds, JointTrainerConfig().gate_auc) == (None, None)
    assert (JointTrainerConfig().fold_count, JointTrainerConfig().gate) == (2, 0.55)
    asked = JointTrainerConfig(weighting="calibrated", num_folds=2, gate_auc=0.55)
    assert asked.resolved() == JointTrainerConfig(weighting="calibrated").resolved()


def test_drop_below_without_effect_warns_once_it_is_known() -> None:
    config = JointTrainerConfig(drop_below=0.5)
    assert config.decided(takes_input_weight=False).drop_below == 0.5
    with pytest.warns(UserWarning, match=r"drop_below=0.5 has an effect only under weights_act_on"):
        assert config.decided(takes_input_weight=True) == JointTrainerConfig(weights_act_on="both")


def test_importing_options_needs_no_torch() -> None:
    code = (
        "import sys\n"
        "from atjt_ext.models.registry import MODELS\n"
        "from atjt_ext.recognition.noise_models.registry import NOISE_MODELS\n"
        "from atjt_ext.runs.config import DataConfig, JointTrainerConfig, RunConfig\n"
        "for table in (MODELS, NOISE_MODELS):\n"
        "    assert [table.option_names(name) for name in table]\n"
        "assert JointTrainerConfig.from_recipe() and DataConfig()\n"
        "print({'torch', 'polars', 'numpy'} & sys.modules.keys())\n"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "set()"
