"""JSON lines without a published layout: keys, values and refusals; lines of Python literals."""

from __future__ import annotations

import ast
import gzip
import re
import time
import warnings
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from atjt_ext.data import DataError, read_interactions, read_items, read_json_lines
from atjt_ext.data.readers.json_lines import (
    _HALF,
    _LONG_NUMBER,
    _lines,
    _literal,
    _num_objects,
)
from atjt_ext.data.readers.streams import Chunk
from helpers import layouts
from helpers.layouts import json_lines
from helpers.reading import column, refusal, write

CLICKS = """{"visitor_id": 7, "sku": "x", "event_time": "2026-11-01T10:00:00", "page": "home"}
{"visitor_id": "7", "sku": "y", "event_time": "2026-11-01T09:00:00"}

{"sku": "é\\u00e9", "event_time": "2026-11-02T10:00:00", "visitor_id": 8, "page": null, "ip": 4}
"""


@pytest.mark.parametrize("name", ["clicks.jsonl", "clicks.ndjson", "clicks.json", "clicks"])
@pytest.mark.parametrize("packed", [False, True], ids=["plain", "gzip"])
def test_clicks_are_read_by_the_names_of_shops(tmp_path: Path, name: str, packed: bool) -> None:
    content = gzip.compress(CLICKS.encode()) if packed else CLICKS
    got = read_interactions(write(tmp_path, f"{name}.gz" if packed else name, content))
    assert got.frame.columns == ["user", "item", "time", "page", "ip"]
    assert column(got, "user") == ["7", "7", "8"]
    assert column(got, "item") == ["x", "y", "éé"]
    assert column(got, "page") == ["home", None, None]
    assert column(got, "ip") == [None, None, "4"]
    hour = 3600
    assert column(got, "time")[0] == column(got, "time")[1] + hour  # type: ignore[operator]
    assert got.columns == {"user": "visitor_id", "item": "sku", "time": "event_time"}


def test_columns_are_named_with_and_without_the_format(tmp_path: Path) -> None:
    line = '{"who": 1, "what": "x", "when": 2.5, "how": 3}\n'
    names = {"user_column": "who", "item_column": "what", "time_column": "when"}
    for name, format in (("a.jsonl", "auto"), ("a.json", "jsonl")):
        path = write(tmp_path, name, line)
        got = read_interactions(path, format=format, rating_column="how", **names)  # type: ignore[arg-type]
        assert got.frame.rows() == [("1", "x", 2.5, 3.0)]


def test_columns_of_published_json_lines_can_be_named(tmp_path: Path) -> None:
    review = '{"reviewerID": "A1", "asin": "B1", "overall": 5.0, "unixReviewTime": 9, "brand": "z"}'
    path = write(tmp_path, "a.json", review + "\n")
    assert column(read_interactions(path), "item") == ["B1"]
    assert column(read_interactions(path, item_column="brand"), "item") == ["z"]


def test_numbers_truths_and_lists_become_features_and_objects_do_not(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        "a.jsonl",
        '{"user": 1, "item": 9007199254740993,"tags": ["a", 2], "at": {"x": 1}, "is_noise": true}\n'
        '{"user": 1, "item": 1.5, "tags": null, "at": {"x": 2}, "is_noise": false}\n',
    )
    with pytest.warns(UserWarning, match="no column of times"):
        got = read_json_lines(path)
    assert column(got, "item") == ["9007199254740993", "1.5"]
    assert column(got, "tags") == [["a", "2"], None]
    assert "at" not in got.frame.columns
    assert column(got, "is_noise") == [True, False]


@pytest.mark.parametrize(
    "content", ['[{"user": 1, "item": 2}]', '[\n  {"user": 1, "item": 2}\n]\n']
)
def test_one_array_is_told_from_lines(tmp_path: Path, content: str) -> None:
    path = write(tmp_path, "a.json", content)
    assert "holds one JSON array, wanted one object per line" in refusal(read_interactions, path)


def test_numbers_are_ids_alike_whether_a_chunk_is_sound_or_not(tmp_path: Path) -> None:
    numbers = ["7.0", "1e16", "1e-5", "1.50", "123456789012", "2.5e3"]
    line = '{"user": N, "item": N, "time": 1, "tags": ["a", null]}\n'
    lines = "".join(line.replace("N", number) for number in numbers)
    sound = read_json_lines(write(tmp_path, "sound.jsonl", lines))
    # Only Python reads NaN, so that the chunk is read line by line.
    lines = lines.replace('"time": 1', '"time": 1, "p": NaN')
    odd = read_json_lines(write(tmp_path, "odd.jsonl", lines))
    wanted = ["7", "10000000000000000", "0.00001", "1.5", "123456789012", "2500"]
    assert column(sound, "user") == wanted
    assert odd.frame.drop("p").equals(sound.frame)


def test_keys_that_come_later_are_columns_too(tmp_path: Path) -> None:
    lines = [
        '{"user": 1, "item": 2, "tags": null}',
        '{"user": 1, "item": 3, "tags": ["a"], "w": 1}',
    ]
    path = write(tmp_path, "a.jsonl", "\n".join(lines))
    with pytest.warns(UserWarning, match="no column of times"):
        assert column(read_json_lines(path), "tags") == [None, ["a"]]
    message = refusal(read_json_lines, path, weight_column="w", time_column="")
    assert message.startswith(f"{path}:1: column 'w' must be a number in [0, 1], got ''")


def test_keys_may_be_anything(tmp_path: Path) -> None:
    line = '{"user": 1, "item": 2, "time": 3, "tags[]": ["a"], "a(b": ["c"]}\n'
    got = read_interactions(write(tmp_path, "a.jsonl", line))
    assert got.frame.columns == ["user", "item", "time", "tags[]", "a(b"]
    assert got.frame.row(0)[3:] == (["a"], ["c"])


def test_events_that_look_like_published_items_are_events(tmp_path: Path) -> None:
    path = write(tmp_path, "a.json", '{"customer_id": "c1", "asin": "B1", "timestamp": 4}\n')
    assert column(read_interactions(path), "item") == ["B1"]
    path = write(tmp_path, "b.json", '{"who": "c1", "asin": "B1", "timestamp": 4}\n')
    assert "; or name its columns" in refusal(read_interactions, path)
    assert column(read_interactions(path, user_column="who"), "user") == ["c1"]


# ---- folders ----------------------------------------------------------------------------------

NO_EVENTS = {
    "items.jsonl": '{"sku": "x", "brand": "b"}\n',
    "history.jsonl": '{"epoch": 1, "loss": 2.0}\n',
    "products.json": '{"sku": "x", "reviews": [{"user_id": 3}]}\n',
    "config.json": '{"columns": {"user": "a", "item": "b"}}\n',
    "list.json": '[{"user": 1, "item": 2}]\n',
}


def test_other_json_in_a_folder_is_passed_over(tmp_path: Path) -> None:
    for name, content in NO_EVENTS.items():
        write(tmp_path, name, content)
    write(tmp_path, "clicks.csv", "user,item,time\n1,x,1\n1,y,2\n")
    assert len(read_interactions(tmp_path)) == 2
    (tmp_path / "clicks.csv").unlink()
    write(tmp_path, "clicks.jsonl", CLICKS)
    assert len(read_interactions(tmp_path)) == 3
    write(tmp_path, "more.json", CLICKS)
    with pytest.raises(DataError, match="2 files of interactions"):
        read_interactions(tmp_path)


def test_tips_are_no_reviews(tmp_path: Path) -> None:
    tip = {"user_id": "u", "business_id": "b", "text": "", "date": "2013-05-18 20:59:31"}
    write(tmp_path, "tip.json", json_lines([tip]))
    write(tmp_path, "business.json", json_lines(layouts.YELP_BUSINESS))
    with pytest.raises(DataError, match="no file of interactions"):
        read_interactions(tmp_path)
    assert len(read_interactions(tmp_path / "tip.json")) == 1


def test_attributes_of_items_are_still_read_whatever_they_are_called(tmp_path: Path) -> None:
    path = write(tmp_path, "attributes.jsonl", '{"user": ["1", "2"], "sku": ["3"]}\n')
    assert read_items(path)["item"].to_list() == ["user", "sku"]


# ---- lines that are Python literals --------------------------------------------------------------

# Pieces that make lines nearly valid, and escapes of every kind.
_PIECES = r"""{ } [ ] : , ' " + # é \ \' \" \n \x41 \x4 \u00e9 \ud83d \ude00 \U0001f600 \N{BULLET}
\/ \0 \a 'a' "b" u'c' b'd' True None true NaN 1 -1 01 1. 1e5 1_0 0x1"""
PIECES = st.sampled_from([*_PIECES.split(), " ", "\t", "\x0c"])


@given(pieces=st.lists(PIECES, max_size=12))
@example(pieces=["{", "'a'", ":", "1", ",", "}"])
@example(pieces=["'", "\\", "'"])
def test_broken_and_odd_lines_are_read_or_refused_as_by_python(pieces: list[str]) -> None:
    line = "".join(pieces).lstrip()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            expected = ast.literal_eval(line)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        with pytest.raises(ValueError):  # noqa: PT011 (Python's own words)
            _literal(line)
    else:
        assert repr(_literal(line)) == repr(expected)  # types and the sign of zero too


def test_nothing_is_evaluated() -> None:
    for line in ("__import__('os').getcwd()", "{'a': open('x')}", "[1 for _ in 'a']", "1 + 1"):
        with pytest.raises(ValueError, match=r"malformed node|invalid"):
            _literal(line)


def test_deep_nesting_is_refused_not_crashed() -> None:
    with pytest.raises(ValueError):  # noqa: PT011
        _literal("[" * 100_000)


# ---- what polars would misread -------------------------------------------------------------------

# The same searches in their plain form, which is slow.
PLAIN_LONG_NUMBER = re.compile(
    rb"[0-9]{10}\.[0-9]{8}|[0-9]{16}\.[0-9]|[0-9]\.[0-9]{16,}[eE]\+?[1-9][0-9]"
)
PLAIN_HALF = re.compile(
    rb"\\u[dD][89abAB][0-9a-fA-F]{2}(?!\\u[dD][c-fC-F])"
    rb"|(?<!\\u[dD][89abAB][0-9a-fA-F]{2})\\u[dD][c-fC-F]"
)
HIGH, LOW = rb"\ud83d", rb"\uDE00"
NUMBERS = st.lists(
    st.sampled_from([b"1" * n for n in (1, 2, 5, 6, 8, 9, 15)] + [b".", b"e", b"E", b"+", b"0"]),
    max_size=8,
)
ESCAPES = st.lists(st.sampled_from([HIGH, LOW, rb"\u00e9", b"\\", b"u", b"d8", b"F"]), max_size=6)


@given(number=NUMBERS.map(b"".join), escapes=ESCAPES.map(b"".join), noise=st.binary(max_size=3))
@example(number=b"1" * 10 + b"." + b"1" * 8, escapes=HIGH + HIGH + LOW, noise=b"")
@example(number=b"1" * 16 + b".1", escapes=HIGH + LOW + LOW, noise=b"")
@example(number=b"1." + b"1" * 16 + b"e+10", escapes=HIGH + LOW, noise=b"")
def test_the_fast_searches_find_what_the_plain_ones_find(
    number: bytes, escapes: bytes, noise: bytes
) -> None:
    for text in (number, noise + number, escapes, noise + escapes + noise):
        assert bool(_LONG_NUMBER.search(text)) == bool(PLAIN_LONG_NUMBER.search(text))
        assert bool(_HALF.search(text)) == bool(PLAIN_HALF.search(text))


@given(pieces=st.lists(st.sampled_from(["{}", "\n", "\r\n", " ", "\t\x0b\x0c"]), max_size=7))
@example(pieces=["{}", "\n", "\t\x0b\x0c"])
@example(pieces=["\r\n", "{}", "\n"])
def test_objects_are_counted_as_lines_that_are_not_blank(pieces: list[str]) -> None:
    chunk = Chunk(1, ("{}" + "".join(pieces)).encode())
    assert _num_objects(chunk) == len(list(_lines(chunk)))
    chunk = Chunk(1, ("".join(pieces) + "{}").encode())
    assert _num_objects(chunk) == len(list(_lines(chunk)))


def test_the_fast_searches_are_fast() -> None:
    text = rb'{"reviewText": "A caf\u00e9. 10 dollars", "overall": 5.0, "at": 1252800000}' * 10_000
    for fast, plain in ((_LONG_NUMBER, PLAIN_LONG_NUMBER), (_HALF, PLAIN_HALF)):
        assert _seconds(fast, text) < _seconds(plain, text) / 3


def _seconds(pattern: re.Pattern[bytes], text: bytes) -> float:
    def once() -> float:
        start = time.process_time()
        assert pattern.search(text) is None
        return time.process_time() - start

    return min(once() for _ in range(5))
