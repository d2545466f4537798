"""Files in chunks: the same rows and line numbers whatever their size, and bounded memory."""

from __future__ import annotations

import gzip
import itertools
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atjt_ext.data import read_interactions
from atjt_ext.data.readers import streams
from atjt_ext.data.readers.quoting import QuotedRecordEnd
from atjt_ext.data.readers.streams import chunks
from helpers import layouts
from helpers.layouts import json_lines, literal_lines, write
from helpers.reading import refusal

FILES = {
    "ratings.csv": layouts.ML_RATINGS,
    "quoted.csv": 'user,item,time,note\n"a,\nb",x,1,"say ""x"",\n\n"\n\nc,y,2,5" disk\nd,"z",3,\n',
    "u.data": "1\t10\t3\t7\n\n\n2\t11\t4\t8\n3\t10\t5\t9.5\n",
    "ratings.dat": "1::10::3::7\n2::11::4::8\n",
    "a.inter": "user_id:token\titem_id:token\n1\t2\n3\t4\n",
    "2014.json": literal_lines(layouts.AMAZON_2014),
    "2018.json": "\n" + json_lines(layouts.AMAZON_2018),
    "yelp.json": json_lines(layouts.YELP_REVIEW),
    "clicks.jsonl": '{"user": 1, "item": "x", "ts": 3, "tags": ["a"], "at": {"x": 1}}\n\n'
    '{"item": "\u00e9", "user": 2, "ts": 4.5, "at": 2, "more": []}\n',
}


@pytest.mark.parametrize("size", [1, 7, 40])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("name", FILES)
def test_the_size_of_chunks_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, end: str, size: int
) -> None:
    content = "\ufeff" + FILES[name].replace("\n", end)
    path = write(tmp_path, f"{name}.gz", content)
    whole = read_interactions(path).frame
    monkeypatch.setattr(streams, "CHUNK_BYTES", size)
    assert read_interactions(path).frame.equals(whole)


@pytest.mark.parametrize(
    ("name", "bad", "place"),
    [
        ("ratings.csv", "3,10,4.0,soon\n", "5: column 'timestamp'"),
        ("ratings.csv", "3,10\n", "5: 2 fields"),
        ("quoted.csv", 'd,z,"never,\nclosed\n', "9: broken quoting"),
        ("quoted.csv", "d,z,late,\n", "9: column 'time'"),
        ("u.data", "4\t\t1\t2\n", "6: column 'item'"),
        ("2014.json", "{'reviewerID': \n", "4: no Python literal"),
        ("2018.json", '{"reviewerID": 3}}\n', "4: no JSON"),
        ("2018.json", b'{"reviewerID": "\xff"}\n', "4: not UTF-8 text"),
        ("ratings.csv", b"\xff,1,2,3\n", "5: not UTF-8 text"),
    ],
)
def test_lines_are_counted_over_the_whole_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, bad: str | bytes, place: str
) -> None:
    content = FILES[name].encode() + (bad.encode() if isinstance(bad, str) else bad)
    path = write(tmp_path, name, content)
    for size in (9, 1 << 20):
        monkeypatch.setattr(streams, "CHUNK_BYTES", size)
        assert refusal(read_interactions, path).startswith(f"{path}:{place}")


FIELD = st.sampled_from(["a", "", '"q"', '"a,b"', '"a\nb"', '"a""\n""b"', '5" x', '"\n"', '""""'])


@given(rows=st.lists(st.lists(FIELD, min_size=2, max_size=2), min_size=1), data=st.data())
def test_a_cut_is_never_inside_of_a_quoted_field(
    rows: list[list[str]], data: st.DataObject
) -> None:
    records = [(",".join(row) + "\n").encode() for row in rows]
    ends = {0, *itertools.accumulate(map(len, records))}
    content = b"".join(records)
    read = data.draw(st.integers(0, len(content)))
    end = QuotedRecordEnd(",")(content[:read])
    assert end in ends
    assert end == max(place for place in ends if place <= read)


def test_blank_chunks_count_as_lines(tmp_path: Path) -> None:
    path = write(tmp_path, "a", "\n\n\nx\n \n\ny")
    got = {
        line: number
        for chunk in chunks(path, size=1)
        for number, line in enumerate(chunk.data.split(b"\n"), start=chunk.line)
    }
    assert (got[b"x"], got[b"y"]) == (4, 7)


def test_a_gzip_that_breaks_far_down_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "CHUNK_BYTES", 1000)
    rows = "".join(f"{row},{row * 7919 % 1000},3,{row}\n" for row in range(20_000))
    packed = gzip.compress(b"userId,movieId,rating,timestamp\n" + rows.encode())
    path = write(tmp_path, "ratings.csv", packed[:-50])
    assert "truncated or corrupt gzip" in refusal(read_interactions, path)


@pytest.mark.parametrize("lines", [json_lines, literal_lines], ids=["json", "literal"])
def test_memory_is_that_of_a_chunk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lines: Callable[[list[object]], str]
) -> None:
    monkeypatch.setattr(streams, "CHUNK_BYTES", 1 << 16)
    review = {**layouts.AMAZON_2014[0], "reviewText": "words " * 200}
    content = lines([review]) * 8000
    path = write(tmp_path, "reviews.json.gz", content)
    del content
    sizes = [len(chunk.data) for chunk in chunks(path)]
    assert sum(sizes) > 8 << 20
    assert max(sizes) < 1 << 17
    read_interactions(path)  # imports and caches
    tracemalloc.start()  # Python's part: text, lines, objects
    try:
        assert len(read_interactions(path)) == 8000
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    # What is looked at first to tell the format is 1 MiB and its text.
    assert peak < 6 << 20
