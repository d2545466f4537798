"""Runs a command: a module of this folder with ``add_options`` and ``execute``.

A new command is a file here and a line in ``COMMANDS``; its docstring is the text of its help. The
modules of the commands import heavy libraries inside ``execute``, so that help and mistyped options
are answered at once.
"""

from __future__ import annotations

import difflib
import os
import sys
import warnings
from collections.abc import Sequence
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jsonargparse import Namespace

__all__ = ["COMMANDS", "main", "parse"]

COMMANDS = {
    "demo": "train on simulated data with planted noise",
    "train": "train on a file of interactions",
    "experiment": "compare recipes and controls over data, noise and seeds",
    "evaluate": "measure a trained run again",
    "recommend": "write the best items for users of a run",
    "export": "export the model of a run for other programs",
    "audit": "rank users and interactions by P(noise), with reasons",
    "report": "write one page about a run, for the browser",
    "info": "print what was built and what is usable here",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command; returns the exit status (0 done, 1 failed, 2 wrong call)."""
    # Large tensors come and go every step; huge pages save most of their page faults.
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    if not arguments or arguments[0] in ("-h", "--help"):
        print(_help())
        return 0 if arguments else 2
    if arguments[0] == "--version":
        from .. import __version__

        print(f"atjt_ext {__version__}")
        return 0
    try:
        command, options = parse(arguments)
    except ImportError as error:
        print(f"error: {error}; pip install atjt_ext installs it", file=sys.stderr)
        return 1
    try:
        with warnings.catch_warnings():
            warnings.showwarning = _show_warning
            return int(command.execute(options, _console()))
    except _failures() as error:
        from .parser import WrongCallError

        print(f"error: {error}", file=sys.stderr)
        return 2 if isinstance(error, WrongCallError) else 1
    except KeyboardInterrupt:
        print(f"interrupted{getattr(command, 'TO_GO_ON', '')}", file=sys.stderr)
        return 130


def parse(arguments: Sequence[str]) -> tuple[ModuleType, Namespace]:
    """The module of the command that ``arguments`` start with, and its options.

    Raises:
        SystemExit: help was printed (status 0), or there is no such command or option (2).
    """
    name, *rest = arguments
    if name not in COMMANDS:
        close = difflib.get_close_matches(name, COMMANDS, n=1)
        meant = f"did you mean {close[0]}?" if close else f"commands are {', '.join(COMMANDS)}"
        print(f"error: there is no command {name}; {meant}", file=sys.stderr)
        raise SystemExit(2)
    from .parser import CommandParser, PlainHelp

    command = import_module(f".{name}", __package__)
    parser = CommandParser(
        prog=f"atjt {name}",
        usage=getattr(command, "USAGE", "%(prog)s [options]"),
        description=command.__doc__,
        allow_abbrev=False,
        formatter_class=PlainHelp,
    )
    command.add_options(parser, rest)
    parser.require_known(rest)
    return command, parser.parse_args(rest)


def _help() -> str:
    width = max(map(len, COMMANDS))
    lines = [f"  {name:<{width}}  {text}" for name, text in COMMANDS.items()]
    commands = "\n".join(lines)
    return f"""usage: atjt COMMAND [options]

Train recommenders on noisy sequences, with a weight for every interaction.

commands:
{commands}

atjt COMMAND --help lists the options of a command; atjt --version prints the version"""


def _failures() -> tuple[type[Exception], ...]:
    """Errors that a user can act on; all others keep their traceback."""
    from ..training.checkpoint import CheckpointError
    from ..training.trouble import TrainingDivergedError

    return ValueError, ImportError, OSError, CheckpointError, TrainingDivergedError


def _console() -> Any:
    """A console that prints ids and paths unchanged: no markup in brackets, no ``:emoji:``."""
    from rich.console import Console

    return Console(soft_wrap=True, markup=False, emoji=False, highlight=False)


def _show_warning(message: Warning | str, *_: Any, **__: Any) -> None:
    """The warning without its source line, which is for programmers."""
    print(f"warning: {message}", file=sys.stderr)
