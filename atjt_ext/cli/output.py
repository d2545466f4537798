"""What a command prints: on terminals that lack characters, and into pipes that nobody reads."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import TextIOWrapper
from typing import TextIO

from ..data.errors import printable

__all__ = ["drop_unwritten", "printable_output", "say"]


@contextmanager
def printable_output() -> Iterator[None]:
    """Within, characters that the terminal's encoding lacks are printed as ``?``."""
    streams: list[object] = [sys.stdout, sys.stderr]
    changed = [one for one in streams if isinstance(one, TextIOWrapper) and one.errors == "strict"]
    for stream in changed:
        stream.reconfigure(errors="replace")
    try:
        yield
    finally:
        for stream in changed:
            with suppress(OSError, ValueError):  # it flushes: the reader may be gone, or it closed
                stream.reconfigure(errors="strict")


def say(line: str) -> None:
    """Prints ``line`` to stderr, if there is one; characters that act on a terminal as escapes."""
    with suppress(OSError, ValueError):
        print(printable(line), file=sys.stderr, flush=True)


def drop_unwritten() -> None:
    """Drops output that can't be written, so that the interpreter does not try again at its end."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            _to_nowhere(stream)
        except (AttributeError, ValueError):  # no such stream, or closed
            continue


def _to_nowhere(stream: TextIO) -> None:
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)
    stream.flush()
