"""Models and noise models by name: one table each, and configs beside the models."""

from __future__ import annotations

import inspect
import re
from dataclasses import fields

import pytest
import torch
from torch import nn

from atjt_ext import models
from atjt_ext.models.options import ModelConfig
from atjt_ext.models.protocols import Pretrainable
from atjt_ext.models.registry import MODELS, ConfigTable
from atjt_ext.recognition import noise_models
from atjt_ext.recognition.noise_models.registry import NOISE_MODELS
from helpers.joint import parameters

CLASSES: dict[str, type[nn.Module]] = {
    "sasrec": models.SASRec,
    "gru4rec": models.GRU4Rec,
    "fearec": models.FEARec,
    "s3rec": models.S3Rec,
    "din": models.DIN,
    "wide_deep": models.WideDeep,
    "dcn": models.DCN,
    "target_attention": noise_models.TargetAttentionNoiseModel,
    "bidirectional": noise_models.BidirectionalNoiseModel,
}
EVERY = pytest.mark.parametrize(
    ("table", "name"), [(table, name) for table in (MODELS, NOISE_MODELS) for name in table]
)


def test_every_class_is_in_a_table() -> None:
    assert [*MODELS, *NOISE_MODELS] == list(CLASSES)


@EVERY
def test_option_names_are_the_fields_of_the_config(table: ConfigTable, name: str) -> None:
    assert table.option_names(name) == tuple(one.name for one in fields(table[name]))
    assert len(MODELS.option_names("sasrec")) == 4


@EVERY
def test_a_config_builds_the_model_of_its_name(table: ConfigTable, name: str) -> None:
    config: ModelConfig = table[name]()
    assert config.name == name
    assert type(config.build(9, max_length=7, num_users=3)) is CLASSES[name]


@EVERY
def test_the_constructor_has_the_defaults_of_the_config(table: ConfigTable, name: str) -> None:
    accepted = inspect.signature(CLASSES[name]).parameters
    compared = 0
    for option, value in table[name]().options().items():
        parameter = accepted.get(option.removeprefix("noise_"))
        if parameter is not None:
            assert parameter.default == value
            compared += 1
    assert compared >= 2


@EVERY
def test_a_built_model_is_the_one_that_its_class_builds(table: ConfigTable, name: str) -> None:
    users = {"num_users": 3} if "see_users" in table.option_names(name) else {}
    torch.manual_seed(0)
    built = parameters(table[name]().build(9, max_length=50, num_users=3))
    torch.manual_seed(0)
    assert torch.equal(built, parameters(CLASSES[name](9, **users)))


@pytest.mark.parametrize("name", MODELS)
def test_the_constructor_refuses_what_the_config_refuses(name: str) -> None:
    accepted = inspect.signature(CLASSES[name]).parameters
    wrong = [(size, 0, "at least 1") for size in ("num_items", "max_length", "num_users")]
    wrong += [
        ("activation", "elu", "one of relu, prelu, dice"),
        ("cross_version", 3, "one of 1, 2"),
    ]
    for one in fields(MODELS[name]):
        if "holds" in one.metadata:
            bad = next(value for value in (0, -1, 1.5) if not one.metadata["holds"](value))
            given = (8, bad) if isinstance(one.default, tuple) else bad
            wrong.append((one.name, given, one.metadata["wanted"]))
    checked = [case for case in wrong if case[0] in accepted]
    assert len(checked) >= 5
    for option, given, wanted in checked:
        shown = given[-1] if isinstance(given, tuple) else given
        message = rf"^{option} must be {re.escape(wanted)}, got '?{shown}'?$"
        with pytest.raises(ValueError, match=message):
            CLASSES[name](**{"num_items": 5, option: given})
    if "num_heads" in accepted:
        with pytest.raises(ValueError, match="num_heads must divide embedding_dim, got num_"):
            CLASSES[name](5, num_heads=3)


def test_an_unknown_name_is_no_key() -> None:
    assert "bert4rec" not in MODELS
    with pytest.raises(KeyError):
        MODELS["bert4rec"]


def test_only_s3rec_is_pretrained_and_its_config_has_the_arguments() -> None:
    for name in MODELS:
        config = MODELS[name]()
        built = config.build(9, max_length=7, num_users=3)
        assert isinstance(built, Pretrainable) is (name == "s3rec") is bool(config.pretraining())
    accepted = inspect.signature(models.S3Rec.pretrain).parameters
    assert MODELS["s3rec"]().pretraining().keys() <= accepted.keys()
