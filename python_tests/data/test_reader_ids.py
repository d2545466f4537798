"""One rule for ids on every path: they are what the file holds between separators, unchanged."""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl
import pytest

from atjt_ext.data import (
    interactions_from_frame,
    read_csv,
    read_interactions,
    read_items,
    read_recbole,
    to_sequences,
    weights_from_table,
    weights_table,
)
from helpers.reading import column, refusal, write

# All that str.splitlines cuts at, blanks of Unicode, and look-alikes that must stay apart.
IDS = [
    "a", " a", "a ", "A", "a\u2028b", "a\u2029b", "a\x85b", "a\x0bb", "a\x0cb", "a\x1cb", "a\x1db",
    "a\x1eb", "a\xa0", "\xa0a", "\u3000a", "é", "e\u0301", "\ufeffa", "007", "7", "7.0", "1e3",
    "-0", "null", "None", "nan", "NaN", "true", "~", "#a", "'a'", "a\\nb", "a\rb", "\u202ea",
    "\U0001f600",
]  # fmt: skip
ROWS = [(a, b) for a, b in zip(IDS, reversed(IDS), strict=True)]


def lines(separator: str, header: str) -> str:
    return header + "".join(f"{user}{separator}{item}\n" for user, item in ROWS)


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv", lines(",", "user_id,item_id\n")),
        ("a.tsv", lines("\t", "user_id\titem_id\n")),
        ("a.inter", lines("\t", "user_id:token\titem_id:token\n")),
        ("ratings.dat", "".join(f"{user}::{item}::3::7\n" for user, item in ROWS)),
        ("u.data", "".join(f"{user}\t{item}\t3\t7\n" for user, item in ROWS)),
        ("a.jsonl", "".join(json.dumps({"user": u, "item": i}) + "\n" for u, i in ROWS)),
        ("b.jsonl", "".join(json.dumps({"user": u, "item": i, "p": float("nan")}) + "\n"
                            for u, i in ROWS)),
        ("a.json", "".join(f"{{'reviewerID': {u!r}, 'asin': {i!r}, 'overall': 1, "
                           "'unixReviewTime': 3}\n" for u, i in ROWS)),
    ],
)  # fmt: skip
def test_ids_are_as_written(tmp_path: Path, name: str, content: str, end: str) -> None:
    path = write(tmp_path, name, content.replace("\n", end))
    named = {"time_column": ""} if name.endswith(("v", "l", "r")) else {}
    got = read_interactions(path, **named)
    assert got.frame.select("user", "item").rows() == ROWS
    sequences = to_sequences(got)
    assert [sequences.user_index(id) for id in IDS] == list(range(len(IDS)))
    table = weights_table(sequences, sequences.items.float())
    assert weights_from_table(sequences, table.sample(fraction=1, shuffle=True, seed=0)).equal(
        sequences.items.float()
    )


def test_ids_in_frames_and_tables_are_as_written(tmp_path: Path) -> None:
    frame = pl.DataFrame(ROWS, schema={"user": pl.String, "item": pl.String}, orient="row")
    assert interactions_from_frame(frame).frame.rows() == ROWS
    frame.write_parquet(tmp_path / "a.parquet")
    assert read_interactions(tmp_path / "a.parquet").frame.rows() == ROWS
    path = write(tmp_path, "a.json", json.dumps({id: [id] for id in IDS}))
    assert read_items(path)["item"].to_list() == IDS
    content = "item_id:token\tclass:token\n" + "".join(f"{id}\tx\n" for id in IDS)
    assert read_items(write(tmp_path, "a.item", content))["item"].to_list() == IDS


def test_words_of_sequences_end_at_blanks_and_tabs_only(tmp_path: Path) -> None:
    words = [id for id in IDS if " " not in id]
    path = write(tmp_path, "a.txt", "".join(f" {word}\t x {word} \r\n" for word in words))
    got = read_interactions(path, format="sequences")
    assert column(got, "user") == [word for word in words for _ in range(2)]
    assert column(got, "item") == [one for word in words for one in ("x", word)]


@pytest.mark.parametrize("size", [1 << 25, 7])
@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv", "user_id, item_id, timestamp\nu1, a, 3\nu1, b, 1\nu1 , c, 2\n"),
        ("b.csv", "user_id , item_id , timestamp\nu1 ,a, 3\n u1, b, 1 \nu1 , c\t, 2\n"),
        ("a.tsv", "user_id \titem_id\ttimestamp\nu1 \ta\t3\nu1\t b\t1\nu1\tc \t 2\n"),
        ("c.csv", 'user_id, "item_id", timestamp\nu1, "a", 3\nu1, "b", 1\nu1 , c, 2\n'),
    ],
)
def test_blanks_that_the_header_has_belong_to_no_field(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, content: str, size: int
) -> None:
    monkeypatch.setattr("atjt_ext.data.readers.streams.CHUNK_BYTES", size)
    for end in ("\n", "\r\n"):
        got = read_csv(write(tmp_path, name, content.replace("\n", end)))
        assert got.frame.rows() == [("u1", "a", 3), ("u1", "b", 1), ("u1", "c", 2)]


def test_quotes_after_blanks_hold_separators(tmp_path: Path) -> None:
    text = 'user, item, note\nu, "a, b", "one\ntwo"\nv, x,\n, y, z\n'
    path = write(tmp_path, "a.csv", text)
    assert f"{path}:5: column 'user' must be an id" in refusal(read_csv, path, time_column="")
    got = read_csv(write(tmp_path, "a.csv", text[:-8]), time_column="")
    assert got.frame.rows() == [("u", "a, b", "one\ntwo"), ("v", "x", None)]


def test_names_in_quotes_do_not_make_blanks_separators(tmp_path: Path) -> None:
    path = write(tmp_path, "a.csv", 'user,item,"last, first"\n a,b ,c\n')
    assert read_csv(path, time_column="").frame.rows() == [(" a", "b ", "c")]


def test_typed_names_with_blanks_are_refused(tmp_path: Path) -> None:
    path = write(tmp_path, "a.inter", "user_id:token \titem_id:token\nu\ti\n")
    assert "header field 'user_id:token ' must be name:type" in refusal(read_recbole, path)


def test_ids_of_blanks_alone_are_refused(tmp_path: Path) -> None:
    for blank in (" ", "\t ", "\u2028", "\xa0"):
        message = refusal(interactions_from_frame, pl.DataFrame({"user": ["a"], "item": [blank]}))
        assert "column 'item' must be an id that is not empty" in message
