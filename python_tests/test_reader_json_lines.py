"""JSON lines of anybody's own: which keys are read, what becomes of values, and refusals."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from atjt_ext.data import DataError, read_interactions, read_json_lines
from reading import column, refusal, write

CLICKS = """{"visitor_id": 7, "sku": "x", "event_time": "2026-11-01T10:00:00", "page": "home"}
{"visitor_id": "7", "sku": "y", "event_time": "2026-11-01T09:00:00"}

{"sku": "é\\u00e9", "event_time": "2026-11-02T10:00:00", "visitor_id": 8, "page": null, "ip": 4}
"""


@pytest.mark.parametrize("name", ["clicks.jsonl", "clicks.ndjson", "clicks.json", "clicks"])
@pytest.mark.parametrize("packed", [False, True], ids=["plain", "gzip"])
def test_clicks_are_read_by_the_names_of_shops(tmp_path: Path, name: str, packed: bool) -> None:
    content = gzip.compress(CLICKS.encode()) if packed else CLICKS
    got = read_interactions(write(tmp_path, f"{name}.gz" if packed else name, content))
    assert got.frame.columns == ["user", "item", "time", "page"]
    assert column(got, "user") == ["7", "7", "8"]
    assert column(got, "item") == ["x", "y", "éé"]
    assert column(got, "page") == ["home", None, None]
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


def test_numbers_truths_lists_and_objects_become_features(tmp_path: Path) -> None:
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
    assert column(got, "at") == ['{"x": 1}', '{"x": 2}']
    assert column(got, "is_noise") == [True, False]


BAD = [
    ('{"user": 1, "item": 2}\n{"user": 1}\n', "2: column 'item' must be an id", "''"),
    ('{"user": 1, "item": 2}\n{"user": "", "item": 1}\n', "2: column 'user' must be an id", "''"),
    ('\n{"user": 1, "item": 2}\n\n{"user": 1, "item": 2\n', "4: no JSON", "one object per line"),
    ('{"user": 1, "item": 2}\n[1, 2]\n', "2: wanted one object per line", "[1, 2]"),
    ('{"user": 1, "item": 2, "time": 1}\n{"user": 1, "item": 2, "time": "x"}\n',
     "2: column 'time' must be a number", "'x'"),
    ('{"user": 1, "price": 2}\n', "1: no item column", "'user', 'price'"),
    ('{"user": 1, "item": 2, "ts": 1, "tags": []}\n{"user": 1, "tags": 3}\n',
     "2: field 'tags' must be a list", "3"),
]  # fmt: skip


@pytest.mark.parametrize(("content", "place", "rest"), BAD)
def test_a_bad_line_is_named(tmp_path: Path, content: str, place: str, rest: str) -> None:
    path = write(tmp_path, "a.jsonl", content)
    message = refusal(read_interactions, path)
    assert message.startswith(f"{path}:{place}")
    assert rest in message


@pytest.mark.parametrize(
    "content", ['[{"user": 1, "item": 2}]', '[\n  {"user": 1, "item": 2}\n]\n']
)
def test_one_array_is_told_from_lines(tmp_path: Path, content: str) -> None:
    path = write(tmp_path, "a.json", content)
    assert "holds one JSON array, wanted one object per line" in refusal(read_interactions, path)


def test_a_folder_of_lines_and_other_json_is_read(tmp_path: Path) -> None:
    write(tmp_path, "clicks.jsonl", CLICKS)
    write(tmp_path, "package.json", '{"name": "shop", "version": 1}\n')
    assert len(read_interactions(tmp_path)) == 3
    write(tmp_path, "more.json", CLICKS)
    with pytest.raises(DataError, match="2 files of interactions"):
        read_interactions(tmp_path)
