"""Columns of a table to ``Interactions``: which column is which, and values checked one by one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import polars as pl

from ..errors import DataError, listed, shown
from ..interactions import Interactions

# The names tried, in lower case, when a column is not named by the caller.
GUESSES: dict[str, tuple[str, ...]] = {
    "user": ("user", "user_id", "userid", "uid", "reviewer_id", "reviewerid"),
    "item": ("item", "item_id", "itemid", "iid", "movie_id", "movieid", "product_id", "asin",
             "parent_asin", "business_id"),
    "time": ("time", "timestamp", "unixreviewtime"),
    "rating": ("rating", "stars", "overall"),
    "is_noise": ("is_noise",),
}  # fmt: skip
_REQUIRED = ("user", "item")


@dataclass(frozen=True, slots=True)
class Roles:
    """The columns named by the caller; ``None`` is guessed (time and rating may then be absent)."""

    user: str | None = None
    item: str | None = None
    time: str | None = None
    rating: str | None = None

    def any_named(self) -> bool:
        return any((self.user, self.item, self.time, self.rating))

    def find(self, columns: Sequence[str], place: str) -> dict[str, str]:
        """Which of ``columns`` plays which role: ``{"user": "userId", ...}``.

        Raises:
            DataError: if a named column is missing, a required one cannot be guessed, or more than
                one column fits; the message names the columns found and the names tried.
        """
        found: dict[str, str] = {}
        for role, guesses in GUESSES.items():
            named = getattr(self, role, None)
            if named is not None:
                matches = [column for column in columns if column == named]
                if not matches:
                    raise DataError(
                        f"{place}: no column {shown(named)} ({role}_column); "
                        f"the columns are {listed(columns)}"
                    )
            else:
                taken = set(found.values())
                matches = [c for c in columns if c.lower() in guesses and c not in taken]
                if not matches and role in _REQUIRED:
                    numbers = all(c.strip().replace(".", "", 1).isdigit() for c in columns)
                    raise DataError(
                        f"{place}: no {role} column: tried {', '.join(guesses)} (any case), "
                        f"the columns are {listed(columns)}; "
                        + ("a header is missing" if numbers else f"name it with {role}_column")
                    )
            if len(matches) > 1:
                raise DataError(
                    f"{place}: {listed(matches)} could all be the {role} column; "
                    f"name one with {role}_column"
                    if len(set(matches)) > 1
                    else f"{place}: the column {shown(matches[0])} occurs {len(matches)} times"
                )
            if matches:
                found[role] = matches[0]
        return found


def to_interactions(
    frame: pl.DataFrame,
    roles: dict[str, str],
    source: str,
    place_of: Callable[[int], str],
) -> Interactions:
    """Gives the columns of ``frame`` their names and types; all others come along as features.

    A feature whose name is one of ours (``user``, ``time``, ...) gets ``_as_read`` appended.

    Args:
        frame: As read; columns may be strings or typed.
        roles: From ``Roles.find``.
        source: For messages.
        place_of: ``"file:line"`` of a row number, called only to report an error.

    Raises:
        DataError: on the first value that does not fit, naming its place and column.
    """
    columns: list[pl.Series] = []
    for role, column in roles.items():
        columns.append(_CONVERTERS[role](frame[column], place_of).alias(role))
    for column in frame.columns:
        if column not in roles.values():
            feature = f"{column}_as_read" if column in GUESSES else column
            columns.append(frame[column].alias(feature))
    return Interactions(pl.DataFrame(columns), source=source)


def _ids(values: pl.Series, place_of: Callable[[int], str]) -> pl.Series:
    if not (values.dtype.is_integer() or values.dtype in (pl.String, pl.Categorical, pl.Enum)):
        raise DataError(
            f"{place_of(0)}: column {shown(values.name)} holds {values.dtype}, "
            "ids must be strings or integers"
        )
    ids: pl.Series = values.cast(pl.String)
    empty = ids.is_null() | (ids.str.strip_chars() == "")
    _refuse(values, empty, "an id that is not empty", place_of)
    return ids


def _times(values: pl.Series, place_of: Callable[[int], str]) -> pl.Series:
    if values.dtype.is_temporal():
        # Seconds, as Unix times are; 53 bits hold microseconds for 285 years around 1970.
        values = values.cast(pl.Datetime("us")).to_physical() / 1e6
    text = values.str.strip_chars() if values.dtype == pl.String else values
    if values.dtype == pl.String or values.dtype.is_integer():
        whole: pl.Series = text.cast(pl.Int64, strict=False)
        if not whole.null_count():
            return whole
    numbers: pl.Series = text.cast(pl.Float64, strict=False)
    _refuse(values, _not_finite(numbers), "a number (a Unix time)", place_of)
    return numbers


def _ratings(values: pl.Series, place_of: Callable[[int], str]) -> pl.Series:
    text = values.str.strip_chars() if values.dtype == pl.String else values
    numbers: pl.Series = text.cast(pl.Float64, strict=False)
    _refuse(values, _not_finite(numbers), "a number", place_of)
    return numbers


def _truths(values: pl.Series, place_of: Callable[[int], str]) -> pl.Series:
    text = values.cast(pl.String).str.strip_chars().str.to_lowercase()
    is_true: pl.Series = text.is_in(["true", "1", "1.0"]).fill_null(False)
    is_false = text.is_in(["false", "0", "0.0"]).fill_null(False)
    _refuse(values, ~(is_true | is_false), "true or false (or 1 or 0)", place_of)
    return is_true


_CONVERTERS: dict[str, Callable[[pl.Series, Callable[[int], str]], pl.Series]] = {
    "user": _ids,
    "item": _ids,
    "time": _times,
    "rating": _ratings,
    "is_noise": _truths,
}


def _not_finite(numbers: pl.Series) -> pl.Series:
    bad: pl.Series = ~numbers.is_finite().fill_null(False)
    return bad


def _refuse(values: pl.Series, bad: pl.Series, wanted: str, place_of: Callable[[int], str]) -> None:
    row = bad.arg_max()
    if row is None or not bad[row]:
        return
    value = values[row]
    raise DataError(
        f"{place_of(row)}: column {shown(values.name)} must be {wanted}, "
        f"got {shown('' if value is None else value)}"
    )
