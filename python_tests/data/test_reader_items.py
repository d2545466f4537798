"""Tables of items in files of their own."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import polars as pl
import pytest

from atjt_ext.data import (
    DataError,
    Interactions,
    read_items,
    shared_features,
    to_sequences,
    with_items,
)
from helpers.reading import refusal, write

ITEM_FILE = (
    "item_id:token\tprice:float\tclass:token_seq\tbrand:token\ni1\t1.5\tdrama war\tA\ni2\t2\t\tB\n"
)


def test_a_recbole_file(tmp_path: Path) -> None:
    table = read_items(write(tmp_path, "a.item", ITEM_FILE))
    assert table.columns == ["item", "price", "class", "brand"]
    assert table.row(0) == ("i1", 1.5, ["drama", "war"], "A")
    packed = write(tmp_path, "b.item.gz", gzip.compress(ITEM_FILE.encode()))
    assert read_items(packed).equals(table)


@pytest.mark.parametrize(
    ("name", "content", "row"),
    [
        ("movies.dat", "1::Heat (1995)::Action|Crime\n", ("1", "Heat (1995)", ["Action", "Crime"])),
        ("m.csv", "movieId,title,genres\n1,Heat,Action\n", ("1", "Heat", ["Action"])),
        (
            "meta.json",
            '{"asin": "B1", "title": "Pen", "brand": "X", "category": ["Office"]}\n',
            ("B1", "Pen", "X", None, ["Office"]),
        ),
        (
            "business.json",
            '{"business_id": "b", "name": "Bar", "city": "Rome", "state": "IT", '
            '"categories": "Food, Tea"}\n',
            ("b", "Bar", "Rome", "IT", ["Food", "Tea"]),
        ),
    ],
)
def test_published_tables(name: str, content: str, row: tuple[object, ...], tmp_path: Path) -> None:
    assert read_items(write(tmp_path, name, content)).rows() == [row]


def test_a_json_object_of_lists(tmp_path: Path) -> None:
    table = read_items(
        write(tmp_path, "a.json", json.dumps({"i1": [7, 10], "i9": [], "i3": ["x"]}))
    )
    assert table.rows() == [("i1", ["7", "10"]), ("i9", []), ("i3", ["x"])]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.json", '{"i1": [1], ', "a.json: no JSON object {item: [value, ...]}"),
        ("a.json", '{"i1": 3}', "item 'i1' must have a list of values, got '3'"),
        ("a.json", '{"i1": [[3]]}', "item 'i1' must have a list of values"),
        ("a.inter", "user_id:token\titem_id:token\n1\t2\n", "holds recbole interactions, wanted a"),
        ("a.txt", "nothing of the kind\n", "cannot tell the format"),
        ("a.item", "item_id\tclass:token\ni1\tA\n", "a.item:1: header field 'item_id' must be"),
        ("a.item", "item_id:token\tc:token\ni1\n", "a.item:2: 1 field, wanted 2"),
    ],
)
def test_what_does_not_fit_is_named(name: str, content: str, message: str, tmp_path: Path) -> None:
    assert message in refusal(read_items, write(tmp_path, name, content))


def test_a_table_of_other_items_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path, "a.item", ITEM_FILE)
    known = Interactions(pl.DataFrame({"user": ["u", "u"], "item": ["x", "i2"]}))
    assert to_sequences(with_items(known, path)).item_features["brand"].one().tolist() == [0, 0, 1]
    other = Interactions(pl.DataFrame({"user": ["u"], "item": ["x"]}))
    wanted = f"{path}: has none of the items; it has 'i1', 'i2', the interactions 'x'"
    assert refusal(with_items, other, path) == wanted


def test_features_are_those_named_or_those_that_items_share() -> None:
    events = pl.DataFrame({"user": ["u"] * 4, "item": list("wxyz")})
    items = pl.DataFrame(
        {
            "item": list("wxyz"),
            "title": list("ABCD"),
            "brand": ["p", "p", "q", None],  # three items, two brands
            "city": ["r", "r", "r", "s"],
            "unknown": [""] * 4,
        }
    )
    sequences = to_sequences(Interactions(events, source="log.csv", items=items))
    assert list(shared_features(sequences)) == ["city"]
    assert list(shared_features(sequences, ["title", "city"])) == ["title", "city"]
    with pytest.raises(DataError, match=r"log\.csv: no item feature 'price'; there are 'title', "):
        shared_features(sequences, ["price"])
