"""Which interactions a run reads."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from .options import at_least_zero, check_options, in_range

__all__ = ["DataConfig"]


@dataclass(frozen=True, slots=True, kw_only=True)
class DataConfig:
    """Which interactions to read.

    Attributes:
        format: auto decides by name and content.
        user_column: name of the user column where columns have names; None guesses.
        item_column: name of the item column; None guesses.
        time_column: name of the time column; None guesses, and an empty name keeps the order of the
            file.
        rating_column: name of the rating column; None guesses. Ratings are read, not used.
        weight_column: name of a column of weights in [0, 1], for ``weighting=given``: how clean you
            believe each interaction to be; None reads none.
        item_file: table of the items' features where it does not lie in the folder of the
            interactions: RecBole .item, MovieLens, Amazon, Yelp, or JSON {item: [value, ...]}.
        item_columns: features that are used, by models and as evidence of noise; none means all,
            of which models see those whose values items share, so no titles.
        k_core: drop users and items with fewer interactions, until none is left; 0 keeps all.
        min_length: drop users with fewer interactions, after ``k_core`` (which need not hold then).
        latest: of every user, use the latest so many interactions only (counted after ``k_core``);
            0 uses all.
    """

    format: Literal[
        "auto", "recbole", "movielens", "amazon", "yelp", "csv", "jsonl", "parquet", "sequences"
    ] = "auto"
    user_column: str | None = None
    item_column: str | None = None
    time_column: str | None = None
    rating_column: str | None = None
    weight_column: str | None = None
    item_file: str | None = None
    item_columns: tuple[str, ...] = ()
    k_core: int = at_least_zero(0)
    min_length: int = at_least_zero(0)
    # Leave-one-out needs three.
    latest: int = in_range(0, "0 or at least 3", lambda value: value == 0 or value >= 3)

    def __post_init__(self) -> None:
        check_options(self)
