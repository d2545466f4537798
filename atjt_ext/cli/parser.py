"""Parser of a command: text stays text, errors of one line, help without markup."""

from __future__ import annotations

import argparse
import difflib
import re
import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence, Set
from contextlib import contextmanager
from dataclasses import fields
from itertools import pairwise
from typing import Any, NoReturn

from jsonargparse import ActionYesNo, ArgumentParser, DefaultHelpFormatter, Namespace

from ..data.errors import printable
from .config_file import options_in
from .option_values import (
    kind_of,
    list_of,
    says_what_it_is,
    text_or_texts,
    value_in_file,
    wanted,
)

__all__ = [
    "CommandParser",
    "PlainHelp",
    "WrongCallError",
    "checking_options",
    "device_of",
    "escapes_formulas",
    "field_names",
    "values_of",
]

_TEXT = "text"
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

    jsonargparse reads values as YAML, in which ``#sku``, ``~`` and ``null`` are nothing. So it gets
    a placeholder for every text, and ``parse_args`` puts the text in its place afterwards.

    Attributes:
        elsewhere: names the owners of an unknown option, as the end of a sentence; empty without
            owners.
    """

    elsewhere: Callable[[str], str] = staticmethod(lambda name: "")

    def add_config_file(self) -> None:
        """Adds ``--config``, a file of options that later options override, and
        ``--print_config``."""
        text = "YAML or JSON with any of the options"
        self.add_argument("--config", type=str | None, default=None, help=text)
        text = "print all options as YAML for --config, and stop"
        self.add_argument("--print_config", action="store_true", help=text)

    def _print_message(self, message: str, file: Any = None) -> None:
        """Prints help; the method of argparse passes over a full disk and a closed pipe."""
        (file or sys.stderr).write(message)

    def add_run(self) -> None:
        """Adds ``--run``, which must be given."""
        self.add_argument("--run", type=str, required=True, help="folder of a run")

    def add_device(self) -> None:
        """Adds ``--device``; see :func:`device_of` for its default."""
        text = "cpu, cuda or cuda:1; by default cuda if torch finds a GPU, else cpu"
        self.add_argument("--device", type=str | None, default=None, help=text)

    def add_formulas(self) -> None:
        """Adds ``--formulas``; see :func:`escapes_formulas`."""
        text = (
            "CSV: put ' before ids that a spreadsheet would run (escape), or write them as they are"
        )
        self.add_argument("--formulas", choices=["escape", "keep"], default="escape", help=text)

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
        self._given: dict[str, str] = {}
        self._texts: dict[str, str | tuple[str, ...] | bool | None] = {}
        found = super().parse_args(self._without_texts(arguments), *more, **options)
        for name, value in self._texts.items():
            found[name] = value
        return found

    def _without_texts(self, arguments: Sequence[str]) -> list[str]:
        """``arguments`` with a placeholder for every text, and options as ``--name=value``."""
        found: list[str] = []
        options, rest = self._option_string_actions, iter(arguments)
        files = [action for action in self._actions if not action.option_strings]
        for argument in rest:
            name, equals, value = argument.partition("=")
            action = options.get(name)
            if argument == "--":
                options = {}
            elif argument == "--print_config":  # jsonargparse has another use for this name
                self._texts["print_config"] = True
                continue
            elif action is None:
                is_file = not options or not argument.startswith("-") or " " in argument
                if not files or not is_file:
                    self.error(f"unexpected argument {argument}")
                argument = self._read(files.pop(), argument)
            elif action.nargs != 0:
                value = value if equals else self._following(name, rest)
                if action.dest == "config":
                    found += self._in_file(value)
                    continue
                argument = f"{name}={self._read(action, value)}"
            found.append(argument)
        return found

    def _following(self, name: str, rest: Iterator[str]) -> str:
        """The value that follows the option ``name``."""
        value = next(rest, None)
        if value is None:
            self.error(f"{name} needs a value")
        if value.startswith("--") or value in self._option_string_actions:
            self.error(
                f"{name} needs a value, got {value}; is that the value? Write {name}={value}"
            )
        return value

    def _read(self, action: argparse.Action, value: str) -> str:
        """``value`` for jsonargparse; an option's text goes to ``_texts``."""
        name, hint = action.dest, _type_of(action)
        kind = kind_of(hint)
        if kind in ("text", "texts"):
            try:
                self._texts[name] = text_or_texts(value, hint)
            except ValueError as error:
                self.error(f"--{name} {error}")
            return _TEXT if kind == "text" else f"[{_TEXT}]"
        self._given[name] = value
        if hint is not None and not says_what_it_is(value):
            self.error(self._refused(name))
        return list_of(value) if kind == "list" else value

    def _in_file(self, path: str) -> list[str]:
        """The options of a file as arguments."""
        try:
            options = options_in(path)
        except (OSError, ValueError) as error:
            self.error(str(error))
        found: list[str] = []
        for name, value in options.items():
            action = self._option_string_actions.get(f"--{name}")
            if action is None or name in ("config", "help"):
                known = self._option_string_actions
                self.error(f"{path}: there is no option {name}{self._instead_of(name, known)}")
            if action.nargs == 0:
                if not isinstance(value, bool):
                    self.error(f"{path}: {name} must be true or false")
                # The last of the strings turns a switch off; other flags are off unless given.
                strings = action.option_strings
                found += [strings[0]] if value else strings[1:]
                continue
            hint = _type_of(action)
            try:
                given = value_in_file(value, hint)
            except ValueError as error:
                self.error(f"{path}: {name} {error}")
            if kind_of(hint) in ("text", "texts"):
                found.append(f"--{name}={self._read(action, _TEXT)}")
                self._texts[name] = given
            else:
                found.append(f"--{name}={self._read(action, given)}")
        return found

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        """Prints one line and exits with status 2."""
        if not self.exit_on_error:
            super().error(message, ex)
        text = f"error: {self._explained(message)} ({self.prog} --help lists all options)"
        print(printable(text), file=sys.stderr)
        self.exit(2)

    def _explained(self, message: str) -> str:
        if found := re.fullmatch(r"the following arguments are required: (.*)", message):
            options = self._option_string_actions
            names = [
                f"--{name}" if f"--{name}" in options else name.upper()
                for name in found[1].split(", ")
            ]
            return f"{self.prog.split()[-1]} needs {', '.join(names)}"
        if (found := re.search(r'[Kk]ey "(\w+)"', message)) and found[1] in self._given:
            return self._refused(found[1])
        return " ".join(message.split())

    def _refused(self, name: str) -> str:
        """That the value of ``name`` is of another type."""
        hint = _type_of(self._option_string_actions[f"--{name}"])
        return f"--{name} must be {wanted(hint)}, got {self._given[name]}"

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
        text = _plain(super()._expand_help(action))
        if action.default is None and kind_of(_type_of(action)) == "text":
            # `null` would be a text, not the default.
            text = re.sub(r"\(type: str \| (?:null|None), default: (?:null|None)\)", "", text)
        return re.sub(r"\bNone\b", "null", text).rstrip()


def _type_of(action: argparse.Action) -> Any:
    """The type of an option, None where ``choices`` or a flag stand for it."""
    return None if action.choices or action.nargs == 0 else action._typehint  # type: ignore[attr-defined]


def _plain(text: str) -> str:
    return _ROLE.sub(r"\1", text).replace("``", "")


def field_names(config: Any) -> list[str]:
    """The names of a dataclass's fields."""
    return [one.name for one in fields(config)]


def values_of(options: Namespace, config: Any) -> dict[str, Any]:
    """The values that ``options`` hold for the fields of a dataclass."""
    return {name: options[name] for name in field_names(config)}


def escapes_formulas(options: Namespace, *, is_csv: bool) -> bool:
    """Whether ``--formulas`` escapes ids.

    Raises:
        WrongCallError: ``keep`` where no CSV is written, so that it has no effect.
    """
    if options.formulas == "keep" and not is_csv:
        raise WrongCallError("formulas=keep has an effect only on CSV files")
    return bool(options.formulas == "escape")


def device_of(options: Namespace) -> str:
    """The device of ``--device``, by default a GPU if torch finds one."""
    if options.device is not None:
        return str(options.device)
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"
