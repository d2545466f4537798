"""A file of options."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped]

__all__ = ["as_yaml", "options_in"]

_MOST_BYTES = 2**20


def options_in(path: str) -> dict[str, Any]:
    """The options of a YAML or JSON file by name, with their values as YAML or JSON read them.

    Raises:
        ValueError: the file cannot be read, or is no mapping of options. The message is one line
            with the file, and with the line where YAML knows it.
    """
    try:
        with Path(path).open("rb") as file:
            content = file.read(_MOST_BYTES + 1)
        if len(content) > _MOST_BYTES:
            raise ValueError("larger than 1 MiB")
        return _options(content.decode("utf-8-sig"))
    except OSError as error:
        raise ValueError(f"{path}: {error.strerror}") from error
    except RecursionError as error:
        raise ValueError(f"{path}: nested too deeply") from error
    except ValueError as error:
        raise ValueError(f"{path}: {' '.join(str(error).split())}") from error


def as_yaml(options: Mapping[str, Any]) -> str:
    """``options`` as the text of such a file."""
    values = {name: [*v] if isinstance(v, tuple) else v for name, v in options.items()}
    text: str = yaml.safe_dump(values, sort_keys=False).rstrip()
    return text


def _options(text: str) -> dict[str, Any]:
    if text.lstrip().startswith("{"):
        # Few JSON files mean something else in YAML, which folds U+2028 and knows no \ud83d\ude00.
        with suppress(json.JSONDecodeError):
            return _each_once(json.loads(text, object_pairs_hook=list))
    try:
        root, options = yaml.compose(text), yaml.safe_load(text)
    except yaml.MarkedYAMLError as error:
        line = f"line {error.problem_mark.line + 1}: " if error.problem_mark else ""
        raise ValueError(f"{line}not YAML: {error.problem}") from error
    except yaml.YAMLError as error:
        raise ValueError(f"not YAML: {error}") from error
    if root is None:
        return {}
    if not isinstance(root, yaml.MappingNode):
        raise ValueError("wanted a line `name: value` for each option")
    _each_once((key.value, None) for key, _ in root.value)
    return {str(name): value for name, value in options.items()}


def _each_once(options: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in options:
        if name in found:  # YAML and JSON would take the last one
            raise ValueError(f"{name} is given twice")
        found[name] = value
    return found
