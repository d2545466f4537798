"""Times as readers take them, and columns that are found by what shops call them."""

from __future__ import annotations

from datetime import datetime, time, timedelta, timezone
from decimal import Decimal
from itertools import product
from pathlib import Path

import polars as pl
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from atjt_ext.data import interactions_from_frame, read_csv, read_interactions, to_sequences
from atjt_ext.data.readers.times import EXACT, in_one_type, seconds_since_1970
from helpers.fuzzed_files import outcome
from helpers.layouts import ML_RATINGS, U_DATA
from helpers.reading import column, refusal, write


@pytest.mark.parametrize(
    ("written", "seconds"),
    [
        ("1970-01-02", 86_400),
        (" 2020-02-29T12:30:05 ", 1_582_979_405),
        ("2020-02-29 12:30", 1_582_979_400),
        ("2020-02-29T12:30:05Z", 1_582_979_405),
        ("2020-02-29 12:30:05 UTC", 1_582_979_405),
        ("2020-02-29T14:30:05+02:00", 1_582_979_405),
        ("2020-02-29T07:00:05-0530", 1_582_979_405),
        ("1969-12-31T23:59:59.250", -0.75),
        ("2020-02-29T12:30:05.000", 1_582_979_405),
    ],
)
def test_dates_are_read_as_unix_times(tmp_path: Path, written: str, seconds: float) -> None:
    path = write(tmp_path, "a.csv", f"user,item,time\n1,x,{written}\n")
    (time,) = column(read_csv(path), "time")
    assert time == seconds
    assert isinstance(time, float) == (seconds % 1 != 0)


def test_dates_agree_with_the_calendar(tmp_path: Path) -> None:
    days = [datetime(1999, 12, 28, tzinfo=timezone.utc) + timedelta(days=d) for d in range(900)]
    rows = "\n".join(f"1,x,{day:%Y-%m-%d}" for day in days)
    got = read_csv(write(tmp_path, "a.csv", f"user,item,time\n{rows}\n"))
    assert column(got, "time") == [int(day.timestamp()) for day in days]


def test_an_empty_first_time_is_the_one_that_is_blamed(tmp_path: Path) -> None:
    path = write(tmp_path, "a.csv", "user,item,time\n1,x,\n1,y,2020-01-01\n1,z,2020-01-02\n")
    assert refusal(read_csv, path).endswith("got ''")


@pytest.mark.parametrize("second", ["1582979405000", "2020", "2020-01-01T10:00"])
def test_dates_and_unix_times_do_not_share_a_column(tmp_path: Path, second: str) -> None:
    # Seconds, milliseconds, years? Their order would be anybody's guess.
    first = "5" if "-" in second else "2020-01-01"
    path = write(tmp_path, "a.csv", f"user,item,time\n1,x,{first}\n1,y,{second}\n")
    assert f"got {second!r}" in refusal(read_csv, path)


@pytest.mark.parametrize(
    "written",
    [
        "2020-02-30",
        "2020-2-3",
        "03/04/2020",
        "2020-01-01T24:00",
        "2020-01-01T10:61",
        "2020-01-01T00:00:60",
        "2020-01-01T00:00+24:00",
        "2020-01-01T1\u0662:00",
        "inf",
        "12:30",
    ],
)
def test_what_is_no_date_is_refused(tmp_path: Path, written: str) -> None:
    path = write(tmp_path, "a.csv", f"user,item,time\n1,x,2020-01-01\n2,y,{written}\n")
    told = refusal(read_csv, path)
    assert told.startswith(f"{path}:3: column 'time' must be a number (Unix time) or a date")
    assert repr(written) in told


def test_a_column_of_dates_is_found_unless_there_are_times(tmp_path: Path) -> None:
    path = write(tmp_path, "a.csv", "user,item,date\n1,x,1970-01-02\n")
    assert column(read_csv(path), "time") == [86_400]
    path = write(tmp_path, "c.csv", "user,item,date,datetime\n1,x,1970-01-02,1970-01-02 00:01\n")
    assert "'date', 'datetime' could all be the time column" in refusal(read_csv, path)
    assert column(read_csv(path, time_column="datetime"), "time") == [86_460]
    path = write(tmp_path, "b.csv", "user,item,date,timestamp\n1,x,someday,7\n")
    got = read_csv(path)
    assert (column(got, "time"), column(got, "date")) == ([7], ["someday"])


def test_what_shops_export_is_found_where_nothing_else_is(tmp_path: Path) -> None:
    path = write(tmp_path, "a.csv", "customer_id,sku,event_time\nc,s,1970-01-02\n")
    assert read_csv(path).frame.rows() == [("c", "s", 86_400)]
    path = write(tmp_path, "b.csv", "sku,customer_id,user,item\ns,c,u,i\n")
    with pytest.warns(UserWarning, match="no column of times .* is it one of 'sku', 'customer_id'"):
        read_csv(path)
    assert read_csv(path, time_column="").frame.rows() == [("u", "i", "s", "c")]
    path = write(tmp_path, "d.csv", "customer,customer_id,sku\nAnn,7,s\n")
    assert "could all be the user column; name one with user_column" in refusal(read_csv, path)
    path = write(tmp_path, "c.csv", "who,sku\nw,s\n")
    assert "tried user, user_id" in (told := refusal(read_csv, path))
    assert "customer_id" in told


def test_a_column_that_holds_no_times_can_be_passed_over(tmp_path: Path) -> None:
    path = write(tmp_path, "a.csv", "user,item,date\n1,x,03/04/2020\n1,y,\n")
    assert "an empty time_column skips it" in refusal(read_csv, path)
    got = read_interactions(path, time_column="")
    assert got.frame.columns == ["user", "item", "date"]
    assert "no column ''" in refusal(read_csv, path, user_column="")
    path = write(tmp_path, "ratings.csv", ML_RATINGS)
    assert "time" not in read_interactions(path, time_column="").frame.columns
    assert "time" in read_interactions(path).frame.columns
    path = write(tmp_path, "u.data", U_DATA)
    with pytest.raises(ValueError, match="no named columns, but a column was named"):
        read_interactions(path, time_column="")


def test_times_of_other_types_are_read_or_refused_by_name() -> None:
    ids = {"user": ["a", "a"], "item": ["x", "y"]}
    dates = pl.Series(["1970-01-02", "1970-01-03"])
    for values in (dates.cast(pl.Categorical), dates.str.to_date()):
        got = interactions_from_frame(pl.DataFrame({**ids, "time": values}))
        assert column(got, "time") == [86_400, 172_800]
    for values in (
        pl.Series([timedelta(1), timedelta(2)]),
        pl.Series([[1], [2]]),
        pl.Series([b"1", b"2"]),
        pl.Series([time(1), time(2)]),
    ):
        message = refusal(interactions_from_frame, pl.DataFrame({**ids, "time": values}))
        assert "column 'time' holds" in message
        assert "times must be numbers, dates, datetimes or strings" in message


# Order


def order(path: Path) -> list[str]:
    """The items of the first user in the order of time."""
    sequences = to_sequences(read_interactions(path))
    return sequences.decode_items(sequences.items_of(0))


@pytest.mark.parametrize("size", [1 << 25, 20])
@pytest.mark.parametrize(
    "times",
    [
        # Times of one user, in their order; a float64 would make neighbours equal.
        ["1700000000123456700.0", "1700000000123456710", "1700000000123456790"],
        ["1700000000.123456700", "1700000000.123456701", "1700000000.12345671", "1700000001"],
        ["1.7000000001234567e18", "1700000000123456701", "1700000000123456702.000"],
        ["-1700000000123456702", "-1700000000123456701.0", "0", "9223372036854775807"],
        ["2023-11-14T22:13:20", "2023-11-14T22:13:20.123456700", "2023-11-14T22:13:20.123456701"],
        ["0001-01-01T00:00:00.1", "1969-12-31T23:59:59.9", "1970-01-01", "9999-12-31T23:59:59.5"],
        ["-0.5", "8.81250950e+08", "881250951.0", "8.81250952e+08"],
    ],
)
def test_times_keep_their_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, times: list[str], size: int
) -> None:
    monkeypatch.setattr("atjt_ext.data.readers.streams.CHUNK_BYTES", size)
    shuffled = [(name, times[name]) for name in sorted(range(len(times)), key=lambda n: -n * 7 % 5)]
    wanted = [str(name) for name in range(len(times))]
    rows = "".join(f"u,{name},{time}\n" for name, time in shuffled)
    assert order(write(tmp_path, "a.csv", "user,item,time\n" + rows)) == wanted
    rows = "".join(f"u\t{name}\t{time}\n" for name, time in shuffled)
    path = write(tmp_path, "a.inter", "user_id:token\titem_id:token\ttimestamp:float\n" + rows)
    assert order(path) == wanted
    quotes = '"' if "-01" in times[0] or "T" in times[0] else ""
    lines = (
        f'{{"user": "u", "item": {name}, "time": {quotes}{time}{quotes}}}\n'
        for name, time in shuffled
    )
    assert order(write(tmp_path, "a.jsonl", "".join(lines))) == wanted


def test_nanoseconds_of_frames_keep_their_order() -> None:
    ticks = [1_700_000_000_123_456_702, 1_700_000_000_123_456_701, 1_700_000_000_123_456_700]
    for times in (
        pl.Series(ticks),
        pl.Series(ticks, dtype=pl.Datetime("ns")),
        pl.Series(ticks, dtype=pl.Datetime("ns", "Asia/Tokyo")),
        pl.Series([f"{tick // 10**9}.{tick % 10**9:09}" for tick in ticks]).cast(pl.Decimal(38, 9)),
    ):
        got = interactions_from_frame(
            pl.DataFrame({"user": ["a"] * 3, "item": ["z", "y", "x"], "time": times})
        )
        sequences = to_sequences(got)
        assert sequences.decode_items(sequences.items) == ["x", "y", "z"]


def test_times_that_64_bits_cannot_tell_apart_are_refused(tmp_path: Path) -> None:
    for pair in (
        ("1700000000123456789.1", "1700000000123456789.2"),
        ("1700000000.12345678901", "1700000000.12345678902"),
        ("17000000000000000001", "17000000000000000002"),  # beyond Int64
        ("9223372036854775808", "9223372036854775809"),
    ):
        rows = "".join(f"u,{time},{time}\n" for time in (*pair, "1700000000.5"))
        path = write(tmp_path, "a.csv", f"user,item,time\n{rows}")
        assert refusal(read_csv, path).startswith(
            f"{path}: the times have more digits than 64 bits"
        )
        assert len(read_csv(path, time_column="")) == 3
    path = write(tmp_path, "a.csv", "user,item,time\nu,i,1\nu,i,1e20\n")
    assert refusal(read_csv, path).startswith(f"{path}:3: column 'time' must be a number")


def test_ordinary_times_stay_seconds(tmp_path: Path) -> None:
    for times, wanted in (
        (["1", "2.5"], [1.0, 2.5]),
        (["1700000000.123456", "1700000000.123457"], [1700000000.123456, 1700000000.123457]),
        (["1700000000.0", "1.7e9"], [1_700_000_000, 1_700_000_000]),
    ):
        rows = "".join(f"u,{n},{time}\n" for n, time in enumerate(times))
        got = column(read_csv(write(tmp_path, "a.csv", f"user,item,time\n{rows}")), "time")
        assert got == wanted
        assert [type(value) for value in got] == [type(value) for value in wanted]


def test_only_times_that_need_it_are_kept_as_decimals() -> None:
    for times, wanted in (
        (["1393545600.123", "0.5"], pl.Float64),
        (["5", " 2147483647.999999 "], pl.Float64),
        (["-0.000001", "+1.0"], pl.Float64),
        (["1.0", "7.000000"], pl.Int64),
        (["2147483648.5"], EXACT),
        (["0.5", "1393545600.1234567"], EXACT),
        (["0.5", "123456789012345678.1e-9"], EXACT),
    ):
        found = seconds_since_1970(pl.Series(times))
        assert found is not None
        assert found.dtype == wanted


def test_decimals_come_back_from_floats() -> None:
    texts = [f"{n * 7919 % 2**31}.{n * 104729 % 10**6:06}" for n in range(20_000)]
    texts += [f"-{n}.{n:06}" for n in range(50)] + ["2147483647.999999", "0.000001", "0.5"]
    exact = pl.Series(texts).cast(EXACT)
    floats, _ = in_one_type([pl.Series(texts).cast(pl.Float64), exact])
    assert floats.equals(exact)


SECONDS = [0, 1, 1393545600, 2**31 - 1, 2**31, 1700000000123, 2**53, 2**53 + 1]
FRACTIONS = ["", ".0", ".5", ".123456", ".123457", ".1234560", ".123456701", ".1234567012"]
TIMES = st.builds(
    "{}{}{}".format,
    st.sampled_from(["", "-"]),
    st.sampled_from(SECONDS),
    st.sampled_from(FRACTIONS),
)


@given(times=st.lists(TIMES, min_size=1, max_size=3))
@example(times=["0.5", "9007199254740992", "9007199254740993"])
@example(times=["0.123456", "0.1234567012", "0.123456"])
def test_parts_of_a_file_change_no_times(
    tmp_path_factory: pytest.TempPathFactory, times: list[str]
) -> None:
    path = tmp_path_factory.getbasetemp() / "times.csv"
    rows = "".join(f"user{n},item,{time}\n" for n, time in enumerate(times))
    content = f"user,item,time\n{rows}".encode()
    found, _ = outcome(path, content)
    assert outcome(path, content, 12)[0] == found
    if isinstance(found, str):
        assert "more digits than 64 bits" in found
        return
    read = [(Decimal(text), row[2]) for text, row in zip(times, found, strict=True)]
    for (exact, seconds), (other_exact, other_seconds) in product(read, read):
        assert (exact < other_exact) == (seconds < other_seconds)
