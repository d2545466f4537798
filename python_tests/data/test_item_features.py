"""Features of items: from tables of items to lookup tables for models."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest
import torch

from atjt_ext.data import (
    DataError,
    Interactions,
    ItemFeature,
    Sequences,
    item_feature_table,
    k_core,
    leave_one_out,
    read_interactions,
    to_sequences,
)
from helpers.layouts import write

ITEMS = pl.DataFrame(
    {
        "item": ["x", "unseen", "z", "y"],
        "city": ["Rome", "Oslo", " ", "Bonn"],
        "genres": [["b", "a"], ["q"], [], ["a", None, "c"]],
        "price": [1.0, 2.0, 3.0, 4.0],
    }
)


@pytest.fixture
def sequences() -> Sequences:
    events = pl.DataFrame({"user": ["u"] * 4, "item": ["z", "y", "x", "w"]})
    return to_sequences(Interactions(events, source="log.csv", items=ITEMS))


def test_features_follow_the_catalogue(sequences: Sequences) -> None:
    assert sequences.item_ids == ["z", "y", "x", "w"]
    assert list(sequences.item_features) == ["city", "genres"]
    genres = sequences.item_features["genres"]
    assert genres.values == ["a", "c", "b"]  # by first appearance over the catalogue
    assert genres.offsets.tolist() == [0, 0, 0, 2, 4, 4]
    assert genres.codes.tolist() == [1, 2, 3, 1]
    assert genres.one().tolist() == [0, 0, 1, 3, 0]
    assert genres.one("last").tolist() == [0, 0, 2, 1, 0]
    assert genres.multi_hot().int().tolist() == [
        [0, 0, 0, 0], [0, 0, 0, 0], [0, 1, 1, 0], [0, 1, 0, 1], [0, 0, 0, 0],
    ]  # fmt: skip
    assert sequences.item_features["city"].values == ["Bonn", "Rome"]


def test_the_lookup_table_has_a_column_per_name(sequences: Sequences) -> None:
    table = item_feature_table(sequences, ["genres", "city"], pick="last")
    assert table.dtype == torch.int64
    assert table.tolist() == [[0, 0], [0, 0], [2, 1], [1, 2], [0, 0]]
    with pytest.raises(DataError, match=r"log\.csv: no item feature 'price'; there are 'city', 'g"):
        item_feature_table(sequences, ["price"])
    with pytest.raises(ValueError, match="at least one feature"):
        item_feature_table(sequences, [])
    with pytest.raises(ValueError, match="pick must be first or last, got 'best'"):
        item_feature_table(sequences, ["city"], pick="best")  # type: ignore[arg-type]


def test_features_stay_through_filters_and_splits(sequences: Sequences) -> None:
    train = leave_one_out(sequences).train
    assert train.item_features is sequences.item_features
    moved = sequences.to("cpu").item_features["genres"]
    assert moved.codes.equal(sequences.item_features["genres"].codes)
    events = pl.DataFrame({"user": ["u", "u", "v", "v"], "item": ["z", "y", "y", "z"]})
    kept = k_core(Interactions(pl.concat([events, events[:1]]), items=ITEMS), 2)
    assert to_sequences(kept).item_features["genres"].values == ["a", "c"]


def test_without_features_the_way_to_them_is_named() -> None:
    bare = to_sequences(Interactions(pl.DataFrame({"user": ["u"], "item": ["x"]})))
    assert bare.item_features == {}
    with pytest.raises(DataError, match="there are none: read a folder with a table of items"):
        item_feature_table(bare, ["genres"])


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"item": [1]}, "items need a String column 'item', found 'item'"),
        ({"id": ["x"]}, "items need a String column 'item', found 'id'"),
        ({"item": ["x", "x"]}, "items must have a row per id"),
        ({"item": ["x", None]}, "items must have a row per id"),
    ],
)
def test_tables_without_a_row_per_item_are_refused(
    table: dict[str, list[object]], message: str
) -> None:
    events = pl.DataFrame({"user": ["u"], "item": ["x"]})
    with pytest.raises(DataError, match=message):
        Interactions(events, items=pl.DataFrame(table))


@pytest.mark.parametrize(
    ("offsets", "codes", "message"),
    [
        ([0, 1, 1], [1], r"offsets must be 0, 0, \.\.\., 1"),
        ([0, 0, 2], [1], r"offsets must be 0, 0, \.\.\., 1"),
        ([0, 0, 2, 1], [1], "offsets must never fall"),
        ([0, 0, 1], [2], r"codes must be in 1\.\.1, got 2\.\.2"),
        ([0, 0, 1], [0], r"codes must be in 1\.\.1, got 0\.\.0"),
        ([0, 0, 1], [1.0], r"codes must be 1-D torch\.int64, got \[1\] torch\.float32"),
    ],
)
def test_parts_that_do_not_fit_are_refused(
    offsets: list[int], codes: list[float], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        ItemFeature(["a"], torch.tensor(offsets), torch.tensor(codes))


def test_a_feature_of_another_catalogue_is_refused(sequences: Sequences) -> None:
    with pytest.raises(ValueError, match=r"item_features\['city'\] must have 1 items, got 4"):
        Sequences(
            torch.tensor([0, 1]),
            torch.tensor([1]),
            ["u"],
            ["x"],
            item_features={"city": sequences.item_features["city"]},
        )


def test_recbole_tables_lie_beside_the_interactions(tmp_path: Path) -> None:
    write(tmp_path, "ml.inter", "user_id:token\titem_id:token\n1\t2\n1\t3\n")
    write(
        tmp_path,
        "ml.item",
        "item_id:token\trelease_year:token\tclass:token_seq\tprice:float\n"
        "2\t1995\tAnimation Children's\t1.5\n3\t\t\t\n",
    )
    write(tmp_path, "ml.user", "user_id:token\tage:float\n1\t24\n")
    got = read_interactions(tmp_path)
    assert got.items is not None
    assert got.items.rows() == [
        ("2", "1995", ["Animation", "Children's"], 1.5),
        ("3", None, None, None),
    ]
    assert got.users is not None
    assert got.users.rows() == [("1", 24.0)]
    features = to_sequences(got).item_features
    assert features["class"].values == ["Animation", "Children's"]
    path = write(tmp_path, "ml.item", "item_id:token\tprice:float\n2\tdear\n")
    with pytest.raises(DataError, match=r"ml\.item:2: column 'price' must be a number, or empty"):
        read_interactions(tmp_path)
    write(tmp_path, "ml.item", "id:token\tprice:float\n2\t1\n")
    with pytest.raises(DataError, match=f"{path}:1: wanted one column of item ids"):
        read_interactions(tmp_path)
