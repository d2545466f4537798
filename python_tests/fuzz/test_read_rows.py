"""Random rows for every reader: each comes back exactly, or one line says why not."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from atjt_ext.data import Sequences, interactions_from_frame
from atjt_ext.runs.recommendations import users_named
from helpers.fuzzed_files import SIZES, Row, outcome

# Characters that some reader, writer or terminal takes for more than themselves.
SIGNS = "ab17,;\t:'\"\\|#~=+@[]{}-. /\r\u00e9\u2028\u2029\x85\x0b\x1c\xa0\ufeff\u65e5\U0001f600"


def ids(without: str = "") -> st.SearchStrategy[str]:
    signs = "".join(sign for sign in SIGNS if sign not in without)
    return st.text(signs, min_size=1, max_size=4).filter(str.strip)


def tables(without: str = "") -> st.SearchStrategy[list[Row]]:
    times = st.integers(-(2**63), 2**63 - 1) | st.integers(0, 9)
    return st.lists(st.tuples(ids(without), ids(without), times), min_size=1, max_size=4)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fuzz")


@given(
    rows=tables(without="\r"),
    separator=st.sampled_from(",;\t"),
    end=st.sampled_from(["\n", "\r\n"]),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC]),
    breaks=st.lists(st.integers(0, 7), max_size=2),
    mark=st.booleans(),
    size=SIZES,
)
def test_csv(
    folder: Path,
    rows: list[Row],
    separator: str,
    end: str,
    quoting: Any,
    breaks: list[int],
    mark: bool,
    size: int,
) -> None:
    for place in breaks:  # line breaks in some of the ids
        user, item, time = rows[place % len(rows)]
        rows[place % len(rows)] = (f"{user}\n{item}", f"{item}\n" if place % 2 else item, time)
    stream = io.StringIO(newline="")
    writer = csv.writer(stream, delimiter=separator, lineterminator=end, quoting=quoting)
    writer.writerows([("user", "item", "time"), *rows])
    content = stream.getvalue().encode("utf-8-sig" if mark else "utf-8")
    assert outcome(folder / "a.csv", content, size, quoting="csv") == (rows, [])
    found, told = outcome(folder / "a.csv", content, size)
    assert found == rows or told or "quoting=csv or quoting=none" in found


@given(rows=tables(without="\t\r"), end=st.sampled_from(["\n", "\r\n"]), size=SIZES)
def test_tsv_without_quoting(folder: Path, rows: list[Row], end: str, size: int) -> None:
    lines = ["user\ttime\titem", *(f"{user}\t{time}\t{item}" for user, item, time in rows)]
    content = (end.join(lines) + end).encode()
    assert outcome(folder / "a.tsv", content, size, quoting="none")[0] == rows
    # Without a word, quotes may only be dropped where they stand around a field.
    found, told = outcome(folder / "a.tsv", content, size)
    assert told or isinstance(found, str) or len(found) == len(rows)


@given(rows=tables(without="\t\r"), end=st.sampled_from(["\n", "\r\n"]), size=SIZES)
def test_recbole(folder: Path, rows: list[Row], end: str, size: int) -> None:
    lines = ["user_id:token\titem_id:token\ttimestamp:float"]
    lines += [f"{user}\t{item}\t{time}" for user, item, time in rows]
    assert outcome(folder / "a.inter", end.join(lines).encode(), size) == (rows, [])


@given(rows=tables(without=":\t\r"), separator=st.sampled_from(["::", "\t"]), size=SIZES)
def test_movielens(folder: Path, rows: list[Row], separator: str, size: int) -> None:
    text = "".join(separator.join([user, item, "3", f"{time}\n"]) for user, item, time in rows)
    content = text.encode("utf-8-sig")
    assert outcome(folder / "u.data", content, size, format="movielens") == (rows, [])


@given(rows=tables(), ascii=st.booleans(), odd=st.booleans(), size=SIZES)
def test_json_lines(folder: Path, rows: list[Row], ascii: bool, odd: bool, size: int) -> None:
    objects = [{"user": user, "item": item, "time": time} for user, item, time in rows]
    if odd:
        objects[-1]["p"] = float("nan")  # type: ignore[assignment]  # only Python reads it
    text = "".join(json.dumps(one, ensure_ascii=ascii) + "\n" for one in objects)
    assert outcome(folder / "a.jsonl", text.encode(), size) == (rows, [])


@given(rows=tables(), size=SIZES)
def test_python_literals(folder: Path, rows: list[Row], size: int) -> None:
    text = "".join(
        f"{ {'reviewerID': user, 'asin': item, 'overall': 1.0, 'unixReviewTime': time} }\n"
        for user, item, time in rows
    )
    assert outcome(folder / "a.json", text.encode(), size) == (rows, [])


@given(
    lines=st.lists(st.lists(ids(" \t\r"), min_size=2, max_size=4), min_size=1, max_size=4),
    size=SIZES,
)
def test_sequences(folder: Path, lines: list[list[str]], size: int) -> None:
    text = "".join(" ".join(words) + "\n" for words in lines)
    wanted: list[Row] = []
    lengths: dict[str, int] = {}
    for user, *items in lines:
        for item in items:
            wanted.append((user, item, lengths.get(user, 0)))
            lengths[user] = lengths.get(user, 0) + 1
    content = text.encode("utf-8-sig")
    assert outcome(folder / "a.txt", content, size, format="sequences") == (wanted, [])


@given(rows=tables(), kind=st.sampled_from([pl.String, pl.Categorical]))
def test_frames(folder: Path, rows: list[Row], kind: Any) -> None:
    frame = pl.DataFrame(rows, schema={"user": kind, "item": kind, "time": pl.Int64}, orient="row")
    assert interactions_from_frame(frame).frame.rows() == rows
    stream = io.BytesIO()
    frame.write_parquet(stream)
    assert outcome(folder / "a", stream.getvalue()) == (rows, [])


@given(names=st.lists(ids("\r"), min_size=1, max_size=6), end=st.sampled_from(["\n", "\r\n"]))
def test_users_in_a_file(folder: Path, names: list[str], end: str) -> None:
    known = list(dict.fromkeys(names))
    codes = torch.arange(len(known) + 1)
    sequences = Sequences(codes, torch.ones_like(codes[1:]), known[::-1], ["x"])
    (folder / "users.txt").write_bytes(("\ufeff" + end.join(names) + end).encode())
    assert users_named(sequences, folder / "users.txt").tolist() == codes[:-1].flip(0).tolist()
