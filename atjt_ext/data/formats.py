"""The names of the file formats: the one list, which imports neither torch nor polars."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

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

if TYPE_CHECKING:
    Format = str  # type checkers cannot compute a Literal
else:
    _CHOICES = ("auto", *FORMATS)
    Format = Literal[_CHOICES]  # gives an option of this type its choices
