"""The recommenders by name. Importing this module imports no torch."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from dataclasses import fields
from importlib import import_module
from importlib.resources import files

from . import options
from .options import ModelConfig

__all__ = ["MODELS", "ConfigTable"]


class ConfigTable(Mapping[str, type[ModelConfig]]):
    """Config classes by the name of a model, each imported on first use.

    Args:
        package: the package of the models' modules, which have the models' names.
        classes: the name of each model's config class.
    """

    def __init__(self, package: str, classes: Mapping[str, str]) -> None:
        self._package = package
        self._classes = dict(classes)

    def __getitem__(self, name: str) -> type[ModelConfig]:
        named = self._classes[name]
        config: type[ModelConfig] = getattr(import_module(f"{self._package}.{name}"), named)
        return config

    def __contains__(self, name: object) -> bool:
        return name in self._classes

    def __iter__(self) -> Iterator[str]:
        return iter(self._classes)

    def __len__(self) -> int:
        return len(self._classes)

    def option_names(self, name: str) -> tuple[str, ...]:
        """Field names of the config of ``name``, read from its source without importing it."""
        source = files(self._package).joinpath(f"{name}.py").read_text(encoding="utf-8")
        (config,) = (
            node
            for node in ast.parse(source).body
            if isinstance(node, ast.ClassDef) and node.name == self._classes[name]
        )
        # All bases of configs stand in options.py, which imports no torch.
        bases = [getattr(options, base.id) for base in config.bases if isinstance(base, ast.Name)]
        inherited = [one.name for base in bases for one in fields(base)]
        own = [
            line.target.id
            for line in config.body
            if isinstance(line, ast.AnnAssign) and isinstance(line.target, ast.Name)
            if "ClassVar" not in ast.dump(line.annotation)
        ]
        return tuple(dict.fromkeys([*inherited, *own]))


MODELS = ConfigTable(
    __name__.rpartition(".")[0],
    {
        "sasrec": "SASRecConfig",
        "gru4rec": "GRU4RecConfig",
        "fearec": "FEARecConfig",
        "s3rec": "S3RecConfig",
        "din": "DINConfig",
        "wide_deep": "WideDeepConfig",
        "dcn": "DCNConfig",
    },
)
"""The config class of each recommender, by the name on the command line and in a run's config."""
