"""Models and noise models by name: one table each, and configs beside the models."""

from __future__ import annotations

import inspect
import re
from dataclasses import fields
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

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
from helpers.zoo import class_of

TABLES = {models: MODELS, noise_models: NOISE_MODELS}
CLASSES = {name: class_of(table[name]) for table in TABLES.values() for name in table}
EVERY = pytest.mark.parametrize(
    ("table", "name"), [(table, name) for table in TABLES.values() for name in table]
)


def test_every_class_with_a_config_is_in_a_table() -> None:
    for package, table in TABLES.items():
        sources = list(Path(str(package.__file__)).parent.glob("*.py"))
        with_config = {
            source.stem
            for source in sources
            if re.search(r"^class \w+Config\(", source.read_text(encoding="utf-8"), re.M)
        }
        assert with_config - {"options"} == set(table)
        public = {cls for name in package.__all__ if _is_model(cls := getattr(package, name))}
        assert public <= {CLASSES[name] for name in table}


def _is_model(value: object) -> bool:
    return isinstance(value, type) and issubclass(value, nn.Module)


@EVERY
def test_option_names_are_the_fields_of_the_config(table: ConfigTable, name: str) -> None:
    assert table.option_names(name) == tuple(one.name for one in fields(table[name]))
    assert len(MODELS.option_names("sasrec")) == 5


@EVERY
def test_a_config_builds_the_model_of_its_name(table: ConfigTable, name: str) -> None:
    config: ModelConfig = table[name]()
    assert config.name == name
    cls = type(config.build(9, max_length=7, num_users=3))
    assert cls.__module__ == type(config).__module__
    assert cls.__name__.removesuffix("NoiseModel") + "Config" == type(config).__name__


def test_the_constructors_have_the_defaults_of_the_configs() -> None:
    compared = 0
    for table in TABLES.values():
        for name, config in table.items():
            accepted = inspect.signature(CLASSES[name]).parameters
            for option, value in config().options().items():
                parameter = accepted.get(option.removeprefix("noise_"))
                if parameter is not None:
                    assert parameter.default == value, (name, option)
                    compared += 1
    assert compared >= 40


@EVERY
def test_a_built_model_is_the_one_that_its_class_builds(table: ConfigTable, name: str) -> None:
    users = {"num_users": 3} if "see_users" in table.option_names(name) else {}
    torch.manual_seed(0)
    built = parameters(table[name]().build(9, max_length=50, num_users=3))
    torch.manual_seed(0)
    assert torch.equal(built, parameters(CLASSES[name](9, **users)))


def test_the_constructors_refuse_what_the_configs_refuse() -> None:
    assert sum(_refusals(name) for name in MODELS) >= 45


def _refusals(name: str) -> int:
    """The number of wrong arguments that the constructor refuses; fails if it takes one."""
    accepted = inspect.signature(CLASSES[name]).parameters
    wrong: list[tuple[str, Any, str]]
    wrong = [(size, 0, "at least 1") for size in ("num_items", "max_length", "num_users")]
    for option, hint in get_type_hints(MODELS[name]).items():
        if get_origin(hint) is Literal:
            known = get_args(hint)
            other = 99 if isinstance(known[0], int) else "other"
            wrong.append((option, other, f"one of {', '.join(map(str, known))}"))
    for one in fields(MODELS[name]):
        if "holds" in one.metadata:
            bad = next(value for value in (0, -1, 1.5) if not one.metadata["holds"](value))
            given = (8, bad) if isinstance(one.default, tuple) else bad
            wrong.append((one.name, given, one.metadata["wanted"]))
    checked = [case for case in wrong if case[0] in accepted]
    for option, given, wanted in checked:
        shown = given[-1] if isinstance(given, tuple) else given
        message = rf"^{option} must be {re.escape(wanted)}, got '?{shown}'?$"
        with pytest.raises(ValueError, match=message):
            CLASSES[name](**{"num_items": 5, option: given})
    if "num_heads" in accepted:
        with pytest.raises(ValueError, match="num_heads must divide embedding_dim, got num_"):
            CLASSES[name](5, num_heads=3)
    return len(checked)


def test_an_unknown_name_is_no_key() -> None:
    assert "bert4rec" not in MODELS
    with pytest.raises(KeyError):
        MODELS["bert4rec"]


def test_the_config_of_a_pretrained_model_has_the_arguments() -> None:
    pretrained = []
    for name in MODELS:
        config = MODELS[name]()
        built = config.build(9, max_length=7, num_users=3)
        assert isinstance(built, Pretrainable) is bool(config.pretraining())
        if isinstance(built, Pretrainable):
            accepted = inspect.signature(built.pretrain).parameters
            assert config.pretraining().keys() <= accepted.keys()
            pretrained.append(name)
    assert "s3rec" in pretrained
