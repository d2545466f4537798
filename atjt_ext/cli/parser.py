"""Parsers of commands that say what is wrong in one line, and take lists as people write them."""

from __future__ import annotations

import argparse
import difflib
import re
import sys
from collections.abc import Collection, Sequence, Set
from dataclasses import fields
from typing import Any, NoReturn, get_args, get_origin, get_type_hints

from jsonargparse import ArgumentParser

from ..models.registry import MODELS

__all__ = ["CommandParser", "list_options", "with_lists"]

_TYPE_NAMES = {"NoneType": "null", "int": "an integer", "float": "a number", "tuple": "[a,b,...]"}


class CommandParser(ArgumentParser):
    """Ends a wrong call with one line instead of the usage, naming options as they are written.

    ``lists`` are options whose values may lack their brackets.
    """

    lists: Set[str] = frozenset()

    def parse_args(  # type: ignore[override]  # as jsonargparse has it
        self, args: Sequence[str] | None = None, *more: Any, **options: Any
    ) -> Any:
        arguments = list(sys.argv[1:] if args is None else args)
        return super().parse_args(with_lists(arguments, self.lists), *more, **options)

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        """Prints the line and exits with status 2."""
        if not self.exit_on_error:
            super().error(message, ex)
        text, parser = self._explained(message)
        prog = parser.prog.replace(" [options]", "")
        print(f"error: {text} ({prog} --help lists all options)", file=sys.stderr)
        self.exit(2)

    def _explained(self, message: str) -> tuple[str, argparse.ArgumentParser]:
        if found := re.fullmatch(r"the following arguments are required: (.*)", message):
            parser: argparse.ArgumentParser = self
            names = []
            for name in found[1].split(", "):
                command, _, short = name.rpartition(".")
                parser = self._commands().get(command, self)
                option = f"--{short}"
                names.append(option if option in parser._option_string_actions else short.upper())
            return f"{parser.prog.split()[-1]} needs {', '.join(names)}", parser
        if found := re.match(r"unrecognized arguments: (--[^\s=]+)", message):
            return f"there is no option {found[1]}{self._instead_of(found[1])}", self
        if found := re.match(r'Parser key "([^"]+)":', message):
            name = found[1].rpartition(".")[2]
            wanted = re.findall(r"Expected a (?:<class '(\w+)'>|typing\.Literal\[(.*?)\])", message)
            value = re.search(r"(?:Got|Given) value: (.*)", message, re.DOTALL)
            if wanted and value:
                kinds = [_TYPE_NAMES.get(kind, kind) or f"one of {rest}" for kind, rest in wanted]
                return f"--{name} must be {' or '.join(kinds)}, got {value[1]}", self
        return " ".join(message.split()), self

    def _commands(self) -> dict[str, argparse.ArgumentParser]:
        for action in self._actions:
            if isinstance(action, argparse._SubParsersAction):
                return dict(action.choices)
        return {}

    def _instead_of(self, option: str) -> str:
        """What may have been meant by an option that there is not."""
        name = option.removeprefix("--").replace("-", "_")
        options = [one for one in self._option_string_actions if one.startswith("--")]
        owners = [
            model
            for model, config in MODELS.items()
            if name in {one.name for one in fields(config)}
        ]
        if owners and f"--{name}" not in options:
            return f" of this model, it is one of {', '.join(owners)}"
        close = difflib.get_close_matches(f"--{name}", options, n=1, cutoff=0.7)
        return f"; did you mean {close[0]}?" if close else ""


def list_options(*configs: type) -> set[str]:
    """``--name`` of the fields of dataclasses that hold tuples."""
    return {
        f"--{one.name}"
        for config in configs
        for hints in [get_type_hints(config)]
        for one in fields(config)
        if _is_list(hints[one.name])
    }


def _is_list(hint: Any) -> bool:
    return get_origin(hint) is tuple or any(_is_list(part) for part in get_args(hint))


def with_lists(arguments: Sequence[str], options: Collection[str]) -> list[str]:
    """``arguments`` with the values of ``options`` in brackets: ``a,b`` is ``[a,b]``."""
    result: list[str] = []
    for before, argument in zip(["", *arguments], arguments, strict=False):
        name, equals, value = argument.partition("=")
        if equals and name in options:
            result.append(f"{name}={_in_brackets(value)}")
        else:
            result.append(_in_brackets(argument) if before in options else argument)
    return result


def _in_brackets(value: str) -> str:
    return value if value.startswith(("[", "(", "--")) or value == "null" else f"[{value}]"
