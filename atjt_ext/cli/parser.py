"""Parser of a command: errors of one line, lists without brackets, help without markup."""

from __future__ import annotations

import argparse
import difflib
import re
import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence, Set
from contextlib import contextmanager
from dataclasses import fields
from itertools import pairwise
from typing import Any, NoReturn, get_args, get_origin, get_type_hints

from jsonargparse import ActionYesNo, ArgumentParser, DefaultHelpFormatter, Namespace

__all__ = [
    "CommandParser",
    "PlainHelp",
    "WrongCallError",
    "checking_options",
    "device_of",
    "field_names",
    "list_options",
    "values_of",
    "with_lists",
]

_TYPE_NAMES = {"NoneType": "null", "int": "an integer", "float": "a number", "tuple": "[a,b,...]"}
_ROLE = re.compile(r":\w+:`~?(?:[\w.]+\.)?(\w+)`")


class WrongCallError(ValueError):
    """Options that are out of range or contradict each other; the exit status is 2."""


@contextmanager
def checking_options() -> Iterator[None]:
    """Turns the ValueError of a config into a WrongCallError."""
    try:
        yield
    except ValueError as error:
        raise WrongCallError(str(error)) from error


class CommandParser(ArgumentParser):
    """Reports a wrong call in one line instead of the usage, and names options as users type them.

    Attributes:
        lists: options whose values may lack their brackets.
        elsewhere: names the owners of an unknown option, as the end of a sentence; empty without
            owners.
    """

    lists: Set[str] = frozenset()
    elsewhere: Callable[[str], str] = staticmethod(lambda name: "")

    def add_run(self) -> None:
        """Adds ``--run``, which must be given."""
        self.add_argument("--run", type=str, required=True, help="folder of a run")

    def add_device(self) -> None:
        """Adds ``--device``; see :func:`device_of` for its default."""
        text = "cpu, cuda or cuda:1; null takes cuda if torch finds a GPU, else cpu"
        self.add_argument("--device", type=str | None, default=None, help=text)

    def add_resume(self) -> None:
        """Adds ``--resume``."""
        self.add_argument("--resume", action="store_true", help="continue the run in --out")

    def add_switch(self, name: str, text: str) -> None:
        """Adds an option that is on by default, and ``--no_...`` to turn it off."""
        self.add_argument(name, action=ActionYesNo(no_prefix="no_"), default=True, help=text)

    def add_config(
        self, config: type, *, skip: Set[str] = frozenset(), defaults: object | None = None
    ) -> None:
        """Adds an option for every field of a dataclass.

        Args:
            config: the dataclass.
            skip: fields without an option.
            defaults: an instance whose values become the defaults; None keeps the class's own.
        """
        self.lists = self.lists | list_options(config)
        self.add_class_arguments(config, skip=set(skip))
        if defaults is not None:
            self.set_defaults({name: getattr(defaults, name) for name in field_names(config)})

    def require_known(self, arguments: Sequence[str], more: Iterable[str] = ()) -> None:
        """Ends a call with an unknown option or choice, before other options import slow modules.

        Args:
            arguments: the command line after the name of the command.
            more: names of options that are added later.
        """
        known = {*self._option_string_actions, *(f"--{name}" for name in more)}
        for argument, following in pairwise([*arguments, ""]):
            name, equals, value = argument.partition("=")
            if argument == "--":
                return
            if name.startswith("--") and " " not in name and name not in known:
                self.error(f"there is no option {name}{self._instead_of(name, known)}")
            choices = getattr(self._option_string_actions.get(name), "choices", None)
            value = value if equals else following
            if choices and value not in choices:
                self.error(f"{name} must be one of {', '.join(choices)}, got {value}")

    def parse_args(  # type: ignore[override]  # as jsonargparse has it
        self, args: Sequence[str] | None = None, *more: Any, **options: Any
    ) -> Any:
        arguments = list(sys.argv[1:] if args is None else args)
        return super().parse_args(with_lists(arguments, self.lists), *more, **options)

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        """Prints one line and exits with status 2."""
        if not self.exit_on_error:
            super().error(message, ex)
        text = f"error: {self._explained(message)} ({self.prog} --help lists all options)"
        print(text, file=sys.stderr)
        self.exit(2)

    def _explained(self, message: str) -> str:
        if found := re.fullmatch(r"the following arguments are required: (.*)", message):
            options = self._option_string_actions
            names = [
                f"--{name}" if f"--{name}" in options else name.upper()
                for name in found[1].split(", ")
            ]
            return f"{self.prog.split()[-1]} needs {', '.join(names)}"
        if found := re.match(r'Parser key "([^"]+)":', message):
            wanted = re.findall(r"Expected a (?:<class '(\w+)'>|typing\.Literal\[(.*?)\])", message)
            value = re.search(r"(?:Got|Given) value: (.*)", message, re.DOTALL)
            if wanted and value:
                kinds = [_TYPE_NAMES.get(kind, kind) or f"one of {rest}" for kind, rest in wanted]
                return f"--{found[1]} must be {' or '.join(kinds)}, got {value[1]}"
        return " ".join(message.split())

    def _instead_of(self, option: str, known: Collection[str]) -> str:
        """What a user may have meant by an unknown option, as the end of a sentence."""
        name = option.removeprefix("--").replace("-", "_")
        if owners := self.elsewhere(name):
            return owners
        close = difflib.get_close_matches(f"--{name}", known, n=1, cutoff=0.7)
        return f"; did you mean {close[0]}?" if close else ""


class PlainHelp(DefaultHelpFormatter):
    """Shows ```name``` and ``:func:`module.name``` of docstrings as ``name``, and None as null."""

    def start_section(self, heading: str | None) -> None:
        super().start_section(None if heading is None else _plain(heading))

    def add_text(self, text: str | None) -> None:
        super().add_text(None if text is None else _plain(text))

    def _expand_help(self, action: argparse.Action) -> str:
        return re.sub(r"\bNone\b", "null", _plain(super()._expand_help(action)))


def _plain(text: str) -> str:
    return _ROLE.sub(r"\1", text).replace("``", "")


def field_names(config: Any) -> list[str]:
    """The names of a dataclass's fields."""
    return [one.name for one in fields(config)]


def values_of(options: Namespace, config: Any) -> dict[str, Any]:
    """The values that ``options`` hold for the fields of a dataclass."""
    return {name: options[name] for name in field_names(config)}


def device_of(options: Namespace) -> str:
    """The device of ``--device``, by default a GPU if torch finds one."""
    if options.device is not None:
        return str(options.device)
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def list_options(*configs: type) -> set[str]:
    """``--name`` of the fields of dataclasses that hold tuples."""
    hints = {name: hint for one in configs for name, hint in get_type_hints(one).items()}
    return {f"--{name}" for one in configs for name in field_names(one) if _is_list(hints[name])}


def _is_list(hint: Any) -> bool:
    return get_origin(hint) is tuple or any(_is_list(part) for part in get_args(hint))


def with_lists(arguments: Sequence[str], options: Collection[str]) -> list[str]:
    """``arguments`` with the values of ``options`` in brackets: ``a,b`` becomes ``[a,b]``."""
    result: list[str] = []
    for before, argument in pairwise(["", *arguments]):
        name, equals, value = argument.partition("=")
        if equals and name in options:
            result.append(f"{name}={_in_brackets(value)}")
        else:
            result.append(_in_brackets(argument) if before in options else argument)
    return result


def _in_brackets(value: str) -> str:
    return value if value.startswith(("[", "(", "--")) or value == "null" else f"[{value}]"
