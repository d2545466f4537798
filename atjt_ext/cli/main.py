"""Runs a command: a module of this folder with ``add_options`` and ``execute``.

A new command is a file here and a line in ``COMMANDS``; its docstring is the text of its help. The
modules of the commands import heavy libraries inside ``execute``, so that help and mistyped options
are answered at once.
"""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Sequence
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

from .failures import in_one_line
from .output import drop_unwritten, printable_output, say
from .signals import Signals

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
    """Runs one command.

    Args:
        arguments: the command and its options; None takes those of this process, which then ends
            with the command: a signal that arrives later does not show a traceback.

    Returns:
        The exit status: 0 done, 1 failed, 2 wrong call, 130 after SIGINT, 143 after SIGTERM, 141
        if the reader of the output is gone.
    """
    signals = Signals()
    words = sys.argv[1:] if arguments is None else list(arguments)
    try:
        with printable_output():
            try:
                signals.start_raising()
                status = _run(words, signals)
            except BaseException as error:
                status = _failed(error, words, signals)
    except KeyboardInterrupt as error:  # the signal came while another error was reported
        status = _failed(error, words, signals)
    finally:
        signals.raise_no_more()
        drop_unwritten()
        if arguments is not None:
            signals.leave()
        elif signals.received is not None:  # tearing torch down can take seconds
            os._exit(status)
    return status


def _run(arguments: list[str], signals: Signals) -> int:
    with warnings.catch_warnings():
        warnings.showwarning = _show_warning
        try:
            status = _command(arguments, signals)
        except SystemExit:  # after help; argparse passes over a full disk
            if sys.stdout is not None:
                sys.stdout.flush()
            raise
        if sys.stdout is not None:
            sys.stdout.flush()
    if signals.received is not None:  # a library swallowed the exception
        raise KeyboardInterrupt
    return status


def _command(arguments: list[str], signals: Signals) -> int:
    # Large tensors come and go every step; huge pages save most of their page faults.
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
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
        raise ImportError(f"{error}; pip install atjt_ext installs it") from error
    signals.to_go_on = getattr(command, "TO_GO_ON", signals.to_go_on)
    return int(command.execute(options, _console()))


def _failed(error: BaseException, arguments: list[str], signals: Signals) -> int:
    """Reports ``error`` in one line and returns the exit status; raises it again if it is a bug."""
    # A signal can surface as another error, e.g. as the failed import of a module.
    if signals.received is not None or isinstance(error, KeyboardInterrupt):
        signals.remove_leftovers()  # the exception may have come before a `finally`
        say(signals.line)
        return signals.status
    if isinstance(error, BrokenPipeError):  # e.g. `| head`
        return 141
    command = _loaded(arguments[0]) if arguments else None
    less_memory = getattr(command, "LESS_MEMORY", "a machine with more memory helps")
    if (line := in_one_line(error, less_memory)) is None:
        raise error
    say(f"error: {line}")
    parser = _loaded("parser")
    return 2 if parser is not None and isinstance(error, parser.WrongCallError) else 1


def _loaded(name: str) -> ModuleType | None:
    """A module of this folder, if it is loaded."""
    return sys.modules.get(f"{__package__}.{name}")


def parse(arguments: Sequence[str]) -> tuple[ModuleType, Namespace]:
    """The module of the command that ``arguments`` start with, and its options.

    Raises:
        SystemExit: help was printed (status 0), or there is no such command or option (2).
    """
    name, *rest = arguments
    if name not in COMMANDS:
        import difflib

        close = difflib.get_close_matches(name, COMMANDS, n=1)
        meant = f"did you mean {close[0]}?" if close else f"commands are {', '.join(COMMANDS)}"
        say(f"error: there is no command {name}; {meant}")
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


def _console() -> Any:
    """A console that prints ids and paths as they are, without markup in brackets or ``:emoji:``,
    except that characters that act on a terminal become escapes."""
    from rich.console import Console
    from rich.text import Text

    from ..data.errors import printable

    class PlainConsole(Console):
        def render_str(self, text: str, **options: Any) -> Text:
            """Every text that is printed, also each cell of a table, passes here."""
            return super().render_str(printable(text), **options)

        def on_broken_pipe(self) -> None:
            """Leaves the BrokenPipeError to ``main``; the class before exits with status 1."""
            raise

    return PlainConsole(soft_wrap=True, markup=False, emoji=False, highlight=False)


def _show_warning(message: Warning | str, *_: Any, **__: Any) -> None:
    """The warning without its source line, which is for programmers."""
    say(f"warning: {' '.join(str(message).splitlines())}")
