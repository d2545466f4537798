"""The one exception of the data package, and how it shows what it found."""

from __future__ import annotations

from collections.abc import Iterable


class DataError(ValueError):
    """Data that cannot be used as asked: one line naming the place, what was wanted and what came.

    The place is ``file:line`` (lines counted from 1, the header included) where there is one.
    """


def shown(value: object) -> str:
    """``value`` quoted for a message: one line, and short whatever it holds."""
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:50]}... ({len(text) - 2} characters)"


def listed(names: Iterable[str], limit: int = 12) -> str:
    """Names for a message, quoted, the tail counted when there are many."""
    names = list(names)
    text = ", ".join(shown(name) for name in names[:limit])
    return text if len(names) <= limit else f"{text} and {len(names) - limit} more"
