"""The names of the file formats and of quoting: the one list; imports neither torch nor polars."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, get_args

# Name -> module of ``readers/`` whose ``FORMAT`` reads it. ``format="auto"`` asks them in this
# order, so formats of published data stand before tables with columns of any name.
FORMATS = {
    "recbole": "recbole",
    "movielens": "movielens",
    "amazon": "amazon",
    "yelp": "yelp",
    "csv": "csv_files",
    "jsonl": "json_lines",
    "parquet": "frames",
    "sequences": "sequence_files",
}

# What quotes mean in CSV and TSV: they quote fields, or are ordinary characters.
Quoting = Literal["auto", "csv", "none"]
QUOTINGS = get_args(Quoting)

if TYPE_CHECKING:
    Format = str  # type checkers cannot compute a Literal
else:
    _CHOICES = ("auto", *FORMATS)
    Format = Literal[_CHOICES]  # gives an option of this type its choices


def require_quoting(quoting: str) -> None:
    """Raises ValueError if there is no such ``quoting``."""
    if quoting not in QUOTINGS:
        raise ValueError(f"quoting must be one of {', '.join(QUOTINGS)}, got {quoting!r}")
