"""Times as seconds since 1970: Unix times, dates in text (ISO 8601), and columns of datetimes."""

from __future__ import annotations

import polars as pl

_ISO_8601 = (
    r"^(?P<date>\d{4}-\d{2}-\d{2})"
    r"(?:[T ](?P<hours>[01]\d|2[0-3]):(?P<minutes>[0-5]\d)"
    r"(?::(?P<seconds>[0-5]\d|60)(?P<fraction>\.\d+)?)?"
    r" ?(?:Z|UTC|(?P<sign>[+-])(?P<zone_hours>\d{2}):?(?P<zone_minutes>\d{2})?)?)?$"
)


def seconds_since_1970(values: pl.Series) -> pl.Series:
    """``[rows]`` Int64 if all are whole, else Float64; null where a value is neither a finite
    number (taken for a Unix time), nor a date or a date and time in the form of ISO 8601.

    Times without a zone are taken for UTC. The parts of a day may follow a ``T`` or a blank.
    """
    if values.dtype.is_temporal():
        # 53 bits hold microseconds for 285 years around 1970.
        values = values.cast(pl.Datetime("us")).to_physical() / 1e6
    text = values.str.strip_chars() if values.dtype == pl.String else values
    if values.dtype == pl.String or values.dtype.is_integer():
        whole: pl.Series = text.cast(pl.Int64, strict=False)
        if not whole.null_count():
            return whole
    numbers: pl.Series = text.cast(pl.Float64, strict=False)
    if values.dtype == pl.String and numbers.null_count():
        dates = _from_iso_8601(text)
        if not dates.null_count() and (dates == dates.floor()).all():
            whole = dates.cast(pl.Int64)
            return whole
        numbers = numbers.zip_with(numbers.is_not_null(), dates)
    finite: pl.Series = numbers.set(~numbers.is_finite().fill_null(False), None)
    return finite


def _from_iso_8601(text: pl.Series) -> pl.Series:
    """``[rows]`` Float64, null where ``text`` has another form or names a day that is none."""
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
