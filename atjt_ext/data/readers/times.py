"""Times as seconds since 1970: Unix times, dates in text (ISO 8601), and columns of datetimes.

No two times may become equal that are not: their order is the order of a sequence. Whole numbers
stay integers, and Float64 holds microseconds. Finer fractions are kept exactly (``EXACT``) until
all parts of a file are known, because ``settled`` can give them one type only then.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import polars as pl

EXACT = pl.Decimal(38, 18)
# Float64 keeps numbers with six decimals apart below this limit, which Unix times reach in 2038.
_COARSE_BELOW = 2**31
_COARSE = r"^[+-]?[0-9]{1,10}(?:\.[0-9]{1,6})?$"
_TICKS = {"ms": 10**3, "us": 10**6, "ns": 10**9}  # of a datetime in a second
_YEAR = re.compile("[0-9]{4}-")
# Not \d, which accepts the digits of all scripts.
_ISO_8601 = (
    r"^(?P<date>[0-9]{4}-[0-9]{2}-[0-9]{2})"
    r"(?:[T ](?P<hours>[01][0-9]|2[0-3]):(?P<minutes>[0-5][0-9])"
    r"(?::(?P<seconds>[0-5][0-9])(?P<fraction>\.[0-9]{1,18})?)?"
    r" ?(?:Z|UTC|(?P<sign>[+-])(?P<zone_hours>[01][0-9]|2[0-3]):?(?P<zone_minutes>[0-5][0-9])?)?)?$"
)


def seconds_since_1970(values: pl.Series) -> pl.Series | None:
    """Times as numbers of seconds, for :func:`in_one_type` and :func:`settled`.

    Numbers are Unix times. Text holds numbers below 10^20 or dates in the form of ISO 8601, with or
    without a time of day after a ``T`` or a blank. All values must be of the sort of the first
    value (of each part, if a file is read in parts). Times without a zone are UTC.

    Returns:
        ``[rows]``: Int64 for whole numbers in columns of integers or text; Float64 for other
        numbers in text if all have at most six decimals and are below 2^31; ``EXACT`` for other
        decimal numbers; Float64 for columns of floats and datetimes, but Int64 nanoseconds for
        datetimes that Float64 would make equal. Null for values that are no times or not finite.
        ``None`` if the column has another type.
    """
    if isinstance(values.dtype, pl.Date):
        values = values.cast(pl.Datetime("us"))
    if isinstance(values.dtype, pl.Datetime):
        return _seconds_of(values)
    if isinstance(values.dtype, (pl.Categorical, pl.Enum)):
        values = values.cast(pl.String)
    if values.dtype == pl.String:
        if len(values) and "." in (values[0] or ""):  # spares other attempts
            numbers = _coarse(values)
            if numbers is not None:
                return _whole(numbers)
        text = values.str.strip_chars()
        first = (text.str.len_bytes() > 0).arg_max()
        if first is not None and _YEAR.match(text[first] or ""):
            return _from_iso_8601(text)
        # Most files hold whole numbers, which are parsed only once.
        whole: pl.Series = text.cast(pl.Int64, strict=False)
        if whole.null_count():
            numbers = _coarse(text)
            return _whole(_exact(text) if numbers is None else numbers)
        return whole
    if values.dtype.is_integer():
        integers: pl.Series = values.cast(pl.Int64, strict=False)
        return integers
    if values.dtype.is_decimal():
        exact: pl.Series = values.cast(EXACT, strict=False)
        return _whole(exact)
    if not values.dtype.is_numeric():
        return None
    numbers = values.cast(pl.Float64)
    finite: pl.Series = numbers.set(~numbers.is_finite().fill_null(False), None)
    return finite


def in_one_type(parts: Sequence[pl.Series]) -> list[pl.Series]:
    """The times of the parts of a text file, ``EXACT`` if Float64 could lose some of them."""
    types = {part.dtype for part in parts}
    # Times may be whole numbers in one part and not in another. Float64 holds integers to 2^53.
    long = types == {pl.Int64(), pl.Float64()} and any(
        part.dtype == pl.Int64 and not part.is_between(-(2**53), 2**53).all() for part in parts
    )
    if EXACT not in types and not long:
        return list(parts)
    return [
        # The text of these floats is the text that was read: six decimals.
        _exact(part.cast(pl.String)) if part.dtype == pl.Float64 else part.cast(EXACT)
        for part in parts
    ]


def settled(times: pl.Series) -> pl.Series | None:
    """The times of a whole file, without nulls, as Int64 or Float64.

    Returns:
        ``[rows]``: seconds; or nanoseconds (Int64) if Float64 would make different times equal.
        ``None`` if nanoseconds would do so too.
    """
    if times.dtype != EXACT:
        return times
    seconds: pl.Series = times.cast(pl.Float64)
    whole = times.cast(pl.Int64, strict=False)
    rest = (times - whole.cast(EXACT)).cast(pl.Float64)
    # Unix times of today in microseconds or coarser fit into Float64.
    coarse = ((rest * 1e6).round() / 1e6 == rest).all()
    if coarse and (whole.abs() < _COARSE_BELOW).fill_null(False).all():
        return seconds
    parts = {"whole": whole, "rest": rest}
    if whole.null_count():  # beyond Int64
        parts = {"text": times.cast(pl.String)}
    different = pl.DataFrame(parts).n_unique()
    if seconds.n_unique() == different:
        return seconds
    ticks = whole * 10**9 + (rest * 1e9).round().cast(pl.Int64)
    fits = (whole.abs() < 9 * 10**9).fill_null(False).all() and ticks.n_unique() == different
    return ticks if fits else None


def _seconds_of(values: pl.Series) -> pl.Series:
    """Datetimes as Float64 seconds, or as Int64 nanoseconds if these would become equal."""
    unit = values.dtype.time_unit  # type: ignore[attr-defined]
    ticks: pl.Series = values.to_physical()
    if unit == "ns" and (ticks % 1000 == 0).all():
        unit, ticks = "us", ticks // 1000
    seconds: pl.Series = ticks / _TICKS[unit]
    # Float64 holds microseconds exactly for 285 years around 1970.
    if unit == "ns" and seconds.n_unique() < ticks.n_unique():
        return ticks
    return seconds


def _coarse(text: pl.Series) -> pl.Series | None:
    """``[rows]`` Float64 if that keeps all numbers like these apart."""
    if not text.str.contains(_COARSE).all():
        return None
    numbers: pl.Series = text.cast(pl.Float64, strict=False)
    return numbers if (numbers.abs() < _COARSE_BELOW).all() else None


def _exact(text: pl.Series) -> pl.Series:
    """``[rows]`` EXACT; null where text is no number."""
    exact: pl.Series = text.cast(EXACT, strict=False)
    if exact.null_count() == text.null_count():
        return exact
    # Some versions of polars read no exponents here.
    numbers = text.cast(pl.Float64, strict=False)
    numbers = numbers.set(~(numbers.abs() < 1e20).fill_null(False), None)
    whole = numbers.cast(pl.Int64, strict=False)
    fallback = whole.cast(EXACT).zip_with(whole == numbers, numbers.cast(EXACT, strict=False))
    filled: pl.Series = exact.zip_with(exact.is_not_null(), fallback)
    return filled


def _whole(numbers: pl.Series) -> pl.Series:
    """``numbers`` as Int64 if that holds every value."""
    whole = numbers.cast(pl.Int64, strict=False)
    same = (whole.cast(numbers.dtype) == numbers).all()
    return whole if same and whole.null_count() == numbers.null_count() else numbers


def _from_iso_8601(text: pl.Series) -> pl.Series:
    """``[rows]`` Int64 or EXACT; null where ``text`` has another form or names no day."""
    fields = text.str.extract_groups(_ISO_8601).struct.unnest()

    def number(name: str) -> pl.Expr:
        return pl.col(name).cast(pl.Int64).fill_null(0)

    # Strict parsing would stop at the first 30 February.
    days = pl.col("date").str.to_date("%Y-%m-%d", strict=False).to_physical().cast(pl.Int64)
    of_day = number("hours") * 3600 + number("minutes") * 60 + number("seconds")
    ahead = number("zone_hours") * 3600 + number("zone_minutes") * 60
    ahead = pl.when(pl.col("sign") == "-").then(-ahead).otherwise(ahead)
    seconds: pl.Series = fields.select(days * 86_400 + of_day - ahead).to_series()
    fraction = fields["fraction"]
    if fraction.null_count() == len(fraction):
        return seconds
    return _whole(seconds.cast(EXACT) + fraction.fill_null("0").cast(EXACT))
