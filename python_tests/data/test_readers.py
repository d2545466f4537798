"""Readers: every layout by hand, gzip, automatic detection, and each refusal with its place."""

from __future__ import annotations

import gzip
import os
from datetime import datetime
from pathlib import Path

import polars as pl
import pytest

from atjt_ext.data import (
    interactions_from_frame,
    read_csv,
    read_interactions,
    read_movielens,
    read_parquet,
    to_sequences,
)
from atjt_ext.runs.config import RunConfig
from atjt_ext.runs.data import load_sequences
from helpers.layouts import ML_RATINGS, RATINGS_DAT, RECBOLE, U_DATA
from helpers.reading import refusal, write

SEQUENCES = "1 1 2 3 4 5\n2 6 7 8 9 10 4 11\n3 4 12 13\n"
TSV = "user\titem\ttime\ncarl\tx\t5\nada\ty\t2\n"

LAYOUTS = {
    "ratings.inter": (RECBOLE, "recbole", 4),
    "u.data": (U_DATA, "movielens", 3),
    "ratings.dat": (RATINGS_DAT, "movielens", 3),
    "ratings.csv": (ML_RATINGS, "csv", 3),
    "log.tsv": (TSV, "csv", 2),
    "Beauty.txt": (SEQUENCES, "sequences", 15),
}


def _real_data(name: str) -> Path:
    default = Path(__file__).resolve().parents[3] / "shared" / "data"
    path = Path(os.environ.get("ATJT_DATA", default)) / name
    if not path.exists():
        pytest.skip(f"{name} is not there (ATJT_DATA names its folder)")
    return path


# Values


CASES = {
    "RecBole": ("a.inter", RECBOLE, "user item time rating", [
        ("196", "242", 881250949, 3.0), ("186", "302", 891717742, 3.0),
        ("22", "377", 878887116, 1.0), ("196", "51", 881250000, 2.0),
    ]),
    "tabs without header": ("u.data", U_DATA, "user item rating time", [
        ("196", "242", 3.0, 881250949), ("186", "302", 3.0, 891717742),
        ("22", "377", 1.0, 878887116),
    ]),
    "colons without header": ("ratings.dat", RATINGS_DAT, "user item rating time", [
        ("1", "1193", 5.0, 978300760), ("1", "661", 3.0, 978302109), ("2", "1357", 5.0, 978298709),
    ]),
    "half stars": ("ratings.csv", ML_RATINGS, "user item time rating", [
        ("1", "10", 1112486027, 3.5), ("1", "11", 1112484676, 5.0), ("2", "10", 1094785740, 0.5),
    ]),
    "sequences take the position as time": (
        "s.txt", "u7 a b a\n\nu2\tc  d \r\n", "user item time",
        [("u7", "a", 0), ("u7", "b", 1), ("u7", "a", 2), ("u2", "c", 0), ("u2", "d", 1)],
    ),
    "sequences on several lines": (
        "s.txt", "1 10\n2 20\n1 11\n1 12\n", "user item time",
        [("1", "10", 0), ("2", "20", 0), ("1", "11", 1), ("1", "12", 2)],
    ),
    "other columns become features": (
        "a.csv", "uid,item,city,time,user\n1,x,,5,old\n2,y,Rome,6,\n",
        "user item time city user_as_read",
        [("1", "x", 5, None, "old"), ("2", "y", 6, "Rome", None)],
    ),
    "quoted separators and line breaks": (
        "a.csv", 'user,item,time\n"a,b",x,1\n"two\nlines",y,2\n', "user item time",
        [("a,b", "x", 1), ("two\nlines", "y", 2)],
    ),
    "ids as written": (
        "a.csv", "user,item\n007,1e3\nNaN,null\n", "user item", [("007", "1e3"), ("NaN", "null")],
    ),
    "truth": (
        "a.csv", "user,item,is_noise\n1,x,true\n1,y,0\n2,x,False\n2,z,1\n", "user item is_noise",
        [("1", "x", True), ("1", "y", False), ("2", "x", False), ("2", "z", True)],
    ),
    "blank lines": (
        "a.csv", "\nuser,item,time\n\n1,x,5\n\n2,y,6\n\n", "user item time",
        [("1", "x", 5), ("2", "y", 6)],
    ),
    "line ends of Windows": (
        "a.csv", "\r\nuser,item,time\r\n\r\n1,x,5\r\n\r\n2,y,6\r\n\r\n", "user item time",
        [("1", "x", 5), ("2", "y", 6)],
    ),
    "byte order mark": ("a.csv", "\ufeffuser,item\n1,x\n", "user item", [("1", "x")]),
}  # fmt: skip


@pytest.mark.parametrize(("name", "content", "columns", "rows"), CASES.values(), ids=CASES)
def test_columns_and_rows(
    tmp_path: Path, name: str, content: str, columns: str, rows: list[tuple[object, ...]]
) -> None:
    format = "sequences" if name == "s.txt" else "auto"
    named = {"user_column": "uid"} if "uid" in content else {}
    got = read_interactions(write(tmp_path, name, content), format=format, **named)
    assert got.frame.columns == columns.split()
    assert got.frame.rows() == rows


def test_csv_columns_can_be_named(tmp_path: Path) -> None:
    path = write(tmp_path, "a.csv", "who;what;when;how\nann;x;3;-1\nann;y;1.5;2\n")
    got = read_csv(
        path, user_column="who", item_column="what", time_column="when", rating_column="how"
    )
    assert got.frame.rows() == [("ann", "x", 3.0, -1.0), ("ann", "y", 1.5, 2.0)]


def test_repeated_items_are_kept_and_equal_times_keep_file_order(tmp_path: Path) -> None:
    path = write(tmp_path, "a.csv", "user,item,time\n1,b,5\n1,a,5\n1,b,5\n1,c,1\n")
    sequences = to_sequences(read_csv(path))
    assert sequences.decode_items(sequences.items) == ["c", "b", "a", "b"]


def test_blank_lines_between_unquoted_rows_count_as_lines_and_nothing_else(
    tmp_path: Path,
) -> None:
    content = U_DATA.replace("\n", "\n\n")
    assert len(read_movielens(write(tmp_path, "u.data", content))) == 3
    path = write(tmp_path, "u.data", content + "5\t6\t1\tlate\n")
    assert refusal(read_movielens, path).startswith(f"{path}:7: column 'time'")


def test_parquet_takes_integer_ids_and_datetimes(tmp_path: Path) -> None:
    times = [datetime(1970, 1, 1, 0, 0, 2), datetime(1970, 1, 1, 0, 0, 1, 500_000)]
    frame = pl.DataFrame({"user_id": [7, 7], "item_id": [1, 2], "timestamp": times})
    frame.write_parquet(tmp_path / "a.parquet")
    got = read_interactions(tmp_path / "a.parquet")
    assert got.frame.rows() == [("7", "1", 2.0), ("7", "2", 1.5)]


def test_a_frame_in_memory_reads_like_a_file() -> None:
    got = interactions_from_frame(pl.DataFrame({"user": ["a"], "asin": ["B00"]}))
    assert got.frame.rows() == [("a", "B00")]
    with pytest.raises(TypeError, match="__arrow_c_stream__"):
        interactions_from_frame([("a", "B00")])


# Formats and gzip


@pytest.mark.parametrize("packed", [False, True], ids=["plain", "gzip"])
@pytest.mark.parametrize("name", LAYOUTS)
def test_auto_knows_every_layout_by_its_name(tmp_path: Path, name: str, packed: bool) -> None:
    content, format, rows = LAYOUTS[name]
    plain = read_interactions(write(tmp_path, name, content), format=format)
    if packed:
        name, data = f"{name}.gz", gzip.compress(content.encode())
    else:
        data = content.encode()
    got = read_interactions(write(tmp_path, name, data))
    assert len(got) == rows
    assert got.frame.equals(plain.frame)


@pytest.mark.parametrize("name", LAYOUTS)
def test_auto_knows_every_layout_by_its_first_line(tmp_path: Path, name: str) -> None:
    content, format, _ = LAYOUTS[name]
    plain = read_interactions(write(tmp_path, name, content), format=format)
    assert read_interactions(write(tmp_path, "data.txt", content)).frame.equals(plain.frame)


def test_auto_knows_parquet_by_its_first_bytes(tmp_path: Path) -> None:
    pl.DataFrame({"user": ["a"], "item": ["x"]}).write_parquet(tmp_path / "export")
    assert len(read_interactions(tmp_path / "export")) == 1


def test_auto_says_what_it_tried(tmp_path: Path) -> None:
    path = write(tmp_path, "notes.txt", "once upon a time\n")
    message = refusal(read_interactions, path)
    for part in (str(path), "once upon a time", ".inter", "movielens", "user item item", "format"):
        assert part in message


def test_unknown_formats_and_columns_where_there_are_none_are_refused(tmp_path: Path) -> None:
    path = write(tmp_path, "s.txt", SEQUENCES)
    with pytest.raises(ValueError, match=r"format must be one of auto, .*got 'excel'"):
        read_interactions(path, format="excel")
    with pytest.raises(ValueError, match="sequences files have no named columns"):
        read_interactions(path, user_column="user")


# Refusals


def test_a_bad_line_says_how_many_are_like_it(tmp_path: Path) -> None:
    path = write(tmp_path, "a.csv", "user,item,time\n1,x,5\n,y,5\n2,y,5\n,x,6\n,z,7\n")
    message = refusal(read_interactions, path)
    assert message.startswith(f"{path}:3: column 'user'")
    assert message.endswith("got '', and at least 2 more like it below")


def test_a_bad_line_far_down_a_gzip_is_named(tmp_path: Path) -> None:
    lines = ["user,item,time"] + [f"{row},x,{row}" for row in range(5000)]
    lines[4321] = "7,x,noon"
    path = write(tmp_path, "a.csv.gz", gzip.compress("\n".join(lines).encode()))
    assert f"{path}:4322: column 'time'" in refusal(read_interactions, path)


@pytest.mark.parametrize("content", ["user,item\n", "user,item", "user,item\n\n\n"])
def test_a_header_alone_is_refused(tmp_path: Path, content: str) -> None:
    path = write(tmp_path, "a.csv", content)
    assert refusal(read_interactions, path) == f"{path}: a header and no interactions"


@pytest.mark.parametrize("name", ["a.csv", "a.inter", "u.data", "s.txt", "a.parquet", "a"])
@pytest.mark.parametrize("content", ["", " \n\n", "\ufeff"])
def test_an_empty_file_is_refused(tmp_path: Path, name: str, content: str) -> None:
    path = write(tmp_path, name, content)
    assert refusal(read_interactions, path) == f"{path}: the file is empty"


def test_missing_files_and_directories_are_refused(tmp_path: Path) -> None:
    assert refusal(read_interactions, tmp_path / "no.csv") == f"{tmp_path}/no.csv: no such file"
    assert "is a directory" in refusal(read_interactions, tmp_path)


def test_broken_gzip_is_refused(tmp_path: Path) -> None:
    packed = gzip.compress((ML_RATINGS * 50).encode())
    for content in (packed[:-20], packed[:20] + b"\0\0\0\0" + packed[24:], b"user,item\n1,x\n"):
        path = write(tmp_path, "a.csv.gz", content)
        assert f"{path}: truncated or corrupt gzip" in refusal(read_interactions, path)


def test_broken_parquet_is_refused_and_bad_rows_are_named(tmp_path: Path) -> None:
    path = write(tmp_path, "a.parquet", b"PAR1 and then nothing of the kind")
    assert "not a readable Parquet file" in refusal(read_parquet, path)
    pl.DataFrame({"user": ["a", None], "item": ["x", "y"]}).write_parquet(path)
    assert f"{path}: row 2: column 'user' must be an id" in refusal(read_parquet, path)
    pl.DataFrame({"user": [1.0], "item": ["x"]}).write_parquet(path)
    assert "column 'user' holds Float64, ids must be" in refusal(read_parquet, path)


def test_a_missing_named_column_lists_those_found(tmp_path: Path) -> None:
    path = write(tmp_path, "a.csv", "user,item\n1,x\n")
    message = refusal(read_csv, path, time_column="when")
    assert "no column 'when' (time_column); the columns are 'user', 'item'" in message


def test_long_values_are_cut_in_messages(tmp_path: Path) -> None:
    path = write(tmp_path, "a.csv", f"user,item,time\n1,x,{'9x' * 5000}\n")
    message = refusal(read_csv, path)
    assert len(message) < len(str(path)) + 200
    assert "(10000 characters)" in message


# Real data


@pytest.mark.parametrize(
    ("name", "users", "items", "count"),
    [
        ("ml-100k.inter", 943, 1682, 100_000),
        ("Beauty.txt", 22_363, 12_101, 198_502),
        ("ml-1m-prefix.txt.gz", 6_040, 3_416, 987_019),
    ],
)
def test_real_files_have_their_published_sizes(
    name: str, users: int, items: int, count: int
) -> None:
    got = read_interactions(_real_data(name))
    assert (got.num_users, got.num_items, len(got)) == (users, items, count)
    sequences = to_sequences(got)
    assert (sequences.num_users, sequences.num_items) == (users, items)
    assert sequences.num_interactions == count


def test_training_takes_the_latest_interactions_after_the_k_core(tmp_path: Path) -> None:
    # Item e is rare: the 2-core drops it, and the latest three are counted among what is left.
    path = tmp_path / "log.txt"
    path.write_text("u a b a c e\nv a b a c\nw a c\n")
    config = RunConfig.from_recipe(format="sequences", k_core=2, latest=3)
    sequences = load_sequences(path, config)
    assert sequences.item_ids == ["a", "b", "c"]
    assert [sequences.decode_items(sequences.items_of(user)) for user in range(3)] == [
        ["b", "a", "c"],
        ["b", "a", "c"],
        ["a", "c"],
    ]
