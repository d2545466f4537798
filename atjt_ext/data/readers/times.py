"""Times as seconds since 1970: Unix times, dates in text (ISO 8601), and columns of datetimes."""

from __future__ import annotations

import re

import polars as pl

_YEAR = re.compile("[0-9]{4}-")
# Not \d, which accepts the digits of all scripts.
_ISO_8601 = (
    r"^(?P<date>[0-9]{4}-[0-9]{2}-[0-9]{2})"
    r"(?:[T ](?P<hours>[01][0-9]|2[0-3]):(?P<minutes>[0-5][0-9])"
    r"(?::(?P<seconds>[0-5][0-9])(?P<fraction>\.[0-9]+)?)?"
    r" ?(?:Z|UTC|(?P<sign>[+-])(?P<zone_hours>[01][0-9]|2[0-3]):?(?P<zone_minutes>[0-5][0-9])?)?)?$"
)


def seconds_since_1970(values: pl.Series) -> pl.Series | None:
    """Times as numbers of seconds.

    Numbers are Unix times. Text holds numbers or dates in the form of ISO 8601, with or without a
    time of day after a ``T`` or a blank. All values must be of the sort of the first value (of each
    part, if a file is read in parts). Times without a zone are UTC.

    Returns:
        ``[rows]``: Int64 for integers and for text of whole numbers, else Float64; null for values
        that are no times or not finite. ``None`` if the column has another type.
    """
    if isinstance(values.dtype, (pl.Date, pl.Datetime)):
        # Float64 holds microseconds exactly for 285 years around 1970.
        seconds: pl.Series = values.cast(pl.Datetime("us")).to_physical() / 1e6
        return seconds
    if isinstance(values.dtype, (pl.Categorical, pl.Enum)):
        values = values.cast(pl.String)
    if values.dtype == pl.String:
        text = values.str.strip_chars()
        first = (text.str.len_bytes() > 0).arg_max()
        dated = first is not None and _YEAR.match(text[first] or "") is not None
        # Most files hold whole numbers, which are parsed only once.
        numbers = _from_iso_8601(text) if dated else text
        whole: pl.Series = numbers.cast(pl.Int64, strict=False)
        if not whole.null_count() and (not dated or (whole == numbers).all()):
            return whole
        numbers = numbers.cast(pl.Float64, strict=False)
    elif values.dtype.is_integer():
        integers: pl.Series = values.cast(pl.Int64, strict=False)
        return integers
    elif values.dtype.is_numeric():
        numbers = values.cast(pl.Float64)
    else:
        return None
    finite: pl.Series = numbers.set(~numbers.is_finite().fill_null(False), None)
    return finite


def _from_iso_8601(text: pl.Series) -> pl.Series:
    """``[rows]`` Float64; null where ``text`` has another form or names no day of the calendar."""
    fields = text.str.extract_groups(_ISO_8601).struct.unnest()

    def number(name: str) -> pl.Expr:
        return pl.col(name).cast(pl.Float64).fill_null(0.0)

    # Strict parsing would stop at the first 30 February.
    days = pl.col("date").str.to_date("%Y-%m-%d", strict=False).to_physical().cast(pl.Float64)
    of_day = number("hours") * 3600 + number("minutes") * 60 + number("seconds")
    ahead = number("zone_hours") * 3600 + number("zone_minutes") * 60
    ahead = pl.when(pl.col("sign") == "-").then(-ahead).otherwise(ahead)
    found = fields.select(days * 86_400 + of_day + number("fraction") - ahead)
    return found.to_series()
