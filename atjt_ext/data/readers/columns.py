"""Tables as read to ``Interactions``: finds the role of each column and checks every value."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TypedDict, cast

import polars as pl

from ..errors import DataError, listed, shown
from ..interactions import Interactions
from .times import in_one_type, seconds_since_1970, settled

# The names, in lower case, for a role whose column the caller does not name.
GUESSES: dict[str, tuple[str, ...]] = {
    "user": ("user", "user_id", "userid", "uid", "reviewer_id", "reviewerid"),
    "item": ("item", "item_id", "itemid", "iid", "movie_id", "movieid", "product_id", "asin",
             "parent_asin", "business_id"),
    "time": ("time", "timestamp", "unixreviewtime"),
    "rating": ("rating", "stars", "overall"),
    "is_noise": ("is_noise",),
    "weight": (),  # never guessed: parcels have weights too
}  # fmt: skip
# Names in exports of shops, tried after the names above. Without a column of times, rows would keep
# the order of the file.
_SECOND_GUESSES: dict[str, tuple[str, ...]] = {
    "user": ("customer_id", "customer", "customerid", "visitor_id", "visitorid"),
    "item": ("sku", "product", "productid", "article_id", "articleid"),
    "time": ("datetime", "event_time", "created_at", "order_date", "date", "ts", "event_timestamp",
             "event_ts", "event_date", "click_time", "visit_time", "server_time", "occurred_at",
             "order_time", "purchase_date"),
}  # fmt: skip
_REQUIRED = ("user", "item")
BLANKS = " \t"  # that a file may have around its fields; no other white space

PlaceOf = Callable[[int], str]  # "file:line" of a row
Part = tuple[pl.DataFrame, PlaceOf]  # a part of a file as read


class ColumnNames(TypedDict, total=False):
    """The arguments of readers that name columns.

    An argument that is missing or None lets the reader guess. An empty name leaves times or ratings
    unread. Weights (P(clean), in [0, 1]) are never guessed.
    """

    user_column: str | None
    item_column: str | None
    time_column: str | None
    rating_column: str | None
    weight_column: str | None


def find_roles(columns: Sequence[str], place: str, named: ColumnNames) -> dict[str, str]:
    """The column of each role: ``{"user": "userId", ...}``; messages begin with ``place``.

    Warns if columns are left over and none holds times.

    Raises:
        DataError: if a named column is missing, a required column cannot be guessed, or more than
            one column fits; the message names the columns found and the names tried.
        TypeError: on an unknown argument.
    """
    names = cast("dict[str, str | None]", named)
    for argument in names:
        if argument not in ColumnNames.__annotations__:
            known = ", ".join(ColumnNames.__annotations__)
            raise TypeError(f"no argument {argument!r}; the arguments that name columns: {known}")
    free = [column for column in columns if column not in names.values()]
    found: dict[str, str] = {}
    for role in GUESSES:
        name = names.get(f"{role}_column")
        if name == "" and role not in _REQUIRED:
            continue
        if name is not None:
            matches = [column for column in columns if column == name]
            if not matches:
                raise DataError(
                    f"{place}: no column {shown(name)} ({role}_column); "
                    f"the columns are {listed(columns)}"
                )
        else:
            matches = guessed(role, [c for c in free if c not in found.values()])
            if not matches and role in _REQUIRED:
                tried = (*GUESSES[role], *_SECOND_GUESSES[role])
                # Columns are rarely called by numbers: this looks like the first row of data.
                numbers = any(c.strip().replace(".", "", 1).isdigit() for c in columns)
                raise DataError(
                    f"{place}: no {role} column: tried {', '.join(tried)} (any case), "
                    f"the columns are {listed(columns)}; "
                    + ("is a header missing? Or " if numbers else "")
                    + f"name it with {role}_column"
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
    unread = [column for column in columns if column not in found.values()]
    if "time" not in found and names.get("time_column") is None and unread:
        warnings.warn(
            f"{place}: no column of times was found, so rows keep the order of the file; "
            f"is it one of {listed(unread)}? Name it with time_column, or leave time_column empty "
            "if the order is right",
            stacklevel=2,
        )
    return found


def guessed(role: str, columns: Sequence[str]) -> list[str]:
    """The ``columns`` whose name is among the names of the role."""
    for names in (GUESSES[role], _SECOND_GUESSES.get(role, ())):
        if found := [column for column in columns if column.lower() in names]:
            return found
    return []


def convert(frame: pl.DataFrame, roles: dict[str, str], place_of: PlaceOf) -> pl.DataFrame:
    """Names and converts the columns of ``frame``; columns without a role become features.

    A feature with the name of a role (``user``, ``time``, ...) gets ``_as_read`` appended.

    Raises:
        DataError: for the first value that does not fit, with its place and column.
    """
    columns = [_CONVERTERS[role](frame[name], place_of).alias(role) for role, name in roles.items()]
    for name in frame.columns:
        if name not in roles.values():
            columns.append(frame[name].alias(f"{name}_as_read" if name in GUESSES else name))
    return pl.DataFrame(columns)


def interactions_of_parts(
    parts: Iterable[Part], roles: dict[str, str], source: str | Path
) -> Interactions:
    """One ``Interactions`` from the parts of the file ``source``, in order.

    Raises:
        DataError: as :func:`convert`, or if no part has a row.
    """
    frames = [convert(frame, roles, place_of) for frame, place_of in parts]
    frames = [frame for frame in frames if not frame.is_empty()]
    if not frames:
        raise DataError(f"{source}: a header and no interactions")
    if "time" in frames[0].columns:
        times = in_one_type([frame["time"] for frame in frames])
        frames = [frame.with_columns(part) for frame, part in zip(frames, times, strict=True)]
    # Not rechunked: that would hold everything twice.
    frame = pl.concat(frames, how="vertical_relaxed", rechunk=False)
    return Interactions(with_settled_times(frame, source), source=str(source))


def with_settled_times(frame: pl.DataFrame, source: str | Path) -> pl.DataFrame:
    """The converted columns of a whole file, with ``time`` as Int64 or Float64.

    Raises:
        DataError: if no such type keeps different times apart.
    """
    if "time" not in frame.columns:
        return frame
    times = settled(frame["time"])
    if times is None:
        raise DataError(
            f"{source}: the times have more digits than 64 bits can keep apart, wanted nanoseconds "
            "or coarser times; an empty time_column skips them"
        )
    return frame.with_columns(times.alias("time"))


def table_of_parts(parts: Iterable[Part], key: str, column: str, path: str | Path) -> pl.DataFrame:
    """One table of items or users from the parts of a file; the first row of each id counts.

    The column of ids ``column`` becomes the first column, ``key`` (``"item"`` or ``"user"``).

    Raises:
        DataError: on an empty id, with its place; or if there are no rows.
    """
    frames = [
        frame.select(ids(frame[column], place_of).alias(key), pl.exclude(column))
        for frame, place_of in parts
    ]
    if not any(frame.height for frame in frames):
        raise DataError(f"{path}: a table of {key}s without rows")
    return pl.concat(frames, how="vertical_relaxed").unique(key, keep="first", maintain_order=True)


def ids(values: pl.Series, place_of: PlaceOf) -> pl.Series:
    """Ids as strings, as they are written.

    Raises:
        DataError: on the first empty id, or if the column holds neither strings nor integers.
    """
    if not (values.dtype.is_integer() or values.dtype in (pl.String, pl.Categorical, pl.Enum)):
        raise _wrong_type(values, "ids must be strings or integers", place_of)
    text: pl.Series = values.cast(pl.String)
    empty = text.is_null() | (text.str.strip_chars() == "")
    refuse(values, empty, "an id that is not empty", place_of)
    return text


def optional_numbers(values: pl.Series, place_of: PlaceOf) -> pl.Series:
    """Text as Float64, empty text as null.

    Raises:
        DataError: on the first text that is no number.
    """
    numbers = _numbers(values)
    empty = values.is_null() | (values.str.strip_chars() == "")
    refuse(values, numbers.is_null() & ~empty, "a number, or empty", place_of)
    return numbers


def _times(values: pl.Series, place_of: PlaceOf) -> pl.Series:
    times = seconds_since_1970(values)
    if times is None:
        raise _wrong_type(values, "times must be numbers, dates, datetimes or strings", place_of)
    wanted = (
        "a number (Unix time) or a date (YYYY-MM-DD[THH:MM:SS]), unmixed; "
        "an empty time_column skips it"
    )
    refuse(values, times.is_null(), wanted, place_of)
    return times


def _numbers(values: pl.Series) -> pl.Series:
    """Float64; null where a value is no number."""
    text = values.str.strip_chars() if values.dtype == pl.String else values
    numbers: pl.Series = text.cast(pl.Float64, strict=False)
    return numbers


def _ratings(values: pl.Series, place_of: PlaceOf) -> pl.Series:
    numbers = _numbers(values)
    refuse(values, ~numbers.is_finite().fill_null(False), "a number", place_of)
    return numbers


def _weights(values: pl.Series, place_of: PlaceOf) -> pl.Series:
    if not (values.dtype.is_numeric() or values.dtype == pl.String):
        raise _wrong_type(values, "weights must be numbers in [0, 1]", place_of)
    numbers = _numbers(values)
    refuse(values, ~numbers.is_between(0.0, 1.0).fill_null(False), "a number in [0, 1]", place_of)
    return numbers


def _truths(values: pl.Series, place_of: PlaceOf) -> pl.Series:
    text = values.cast(pl.String).str.strip_chars().str.to_lowercase()
    is_true: pl.Series = text.is_in(["true", "1", "1.0"]).fill_null(False)
    is_false = text.is_in(["false", "0", "0.0"]).fill_null(False)
    refuse(values, ~(is_true | is_false), "true or false (or 1 or 0)", place_of)
    return is_true


_CONVERTERS: dict[str, Callable[[pl.Series, PlaceOf], pl.Series]] = {
    "user": ids,
    "item": ids,
    "time": _times,
    "rating": _ratings,
    "is_noise": _truths,
    "weight": _weights,
}


def _wrong_type(values: pl.Series, wanted: str, place_of: PlaceOf) -> DataError:
    column = f"column {shown(values.name)} holds {values.dtype}"
    return DataError(f"{place_of(0)}: {column}, {wanted}")


def refuse(values: pl.Series, bad: pl.Series, wanted: str, place_of: PlaceOf) -> None:
    """Raises DataError for the first value that is ``bad`` (``[rows]`` bool), if there is one."""
    row = bad.arg_max()
    if row is None or not bad[row]:
        return
    value, more = values[row], int(bad.sum()) - 1
    raise DataError(
        f"{place_of(row)}: column {shown(values.name)} must be {wanted}, "
        f"got {shown('' if value is None else value)}"
        # Large files are read in parts; the parts to come are not counted.
        + (f", and at least {more:,} more like it below" if more else "")
    )
