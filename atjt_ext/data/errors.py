"""The exception for unusable data, checks of ranges, and the wording that messages share."""

from __future__ import annotations

from collections.abc import Iterable


class DataError(ValueError):
    """Unusable data; the message is one line with the place, what was wanted and what came.

    The place is ``file:line`` if there is a line; lines count from 1 and include the header.
    """


def shown(value: object) -> str:
    """``value`` quoted for a message: one short line."""
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:50]}... ({len(text) - 2} characters)"


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
