"""The exception for unusable data, checks of ranges, and the wording that messages share."""

from __future__ import annotations

import re
from collections.abc import Iterable

# Characters that command a terminal, turn the direction of text, are invisible or end a line.
# U+200C and U+200D are missing: Persian words and emoji need them.
_UNPRINTABLE = re.compile(
    "[\x00-\x1f\x7f-\x9f\xad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e"
    "\u2060-\u206f\ud800-\udfff\ufeff\ufff9-\ufffb]"
)


class DataError(ValueError):
    """Unusable data; the message is one line with the place, what was wanted and what came.

    The place is ``file:line`` if there is a line; lines count from 1 and include the header.
    """


def shown(value: object) -> str:
    """``value`` quoted for a message: one short line."""
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:50]}... ({len(text) - 2} characters)"


def printable(text: str, *, keep: str = "") -> str:
    """``text`` for a terminal or a page: control characters, marks of direction, invisible
    characters, line ends and lone surrogates as escapes like ``\\x1b``.

    Letters of all scripts and emoji stay, and so do the characters in ``keep``.
    """

    def escape(found: re.Match[str]) -> str:
        character = found[0]
        return character if character in keep else repr(character)[1:-1]

    return _UNPRINTABLE.sub(escape, text)


def listed(names: Iterable[str], limit: int = 12) -> str:
    """The first ``limit`` names, quoted, and how many more there are."""
    names = list(names)
    text = ", ".join(shown(name) for name in names[:limit])
    return text if len(names) <= limit else f"{text} and {len(names) - limit} more"


def at(source: str | None) -> str:
    """The start of a message about data from ``source``: ``"ratings.csv: "``, or nothing."""
    return f"{source}: " if source else ""


def require_at_least(least: float, **values: float) -> None:
    """Raises ValueError for the first of ``values`` below ``least``, by its name."""
    for name, value in values.items():
        if not value >= least:  # so NaN is refused
            raise ValueError(f"{name} must be at least {least}, got {value}")


def is_out_of_memory(error: BaseException) -> bool:
    """Whether ``error`` says that memory was short, on the host or on a GPU."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    # Allocators raise RuntimeError: torch's on the CPU, those of C++ libraries, a thread's stack.
    # A library that can't be mapped into memory is an ImportError.
    text = str(error).lower()
    kinds = RuntimeError | ImportError | OSError
    return isinstance(error, kinds) and any(sign in text for sign in _OUT_OF_MEMORY)


_OUT_OF_MEMORY = (
    "can't allocate memory",
    "cannot allocate memory",
    "not enough memory",
    "out of memory",
    "std::bad_alloc",
    "can't start new thread",
)
