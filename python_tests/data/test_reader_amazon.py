"""Amazon reviews of 2014, 2018 and 2023, and their metadata."""

from __future__ import annotations

from pathlib import Path

import pytest

from atjt_ext.data import DataError, Interactions, read_amazon, read_interactions
from helpers import layouts
from helpers.layouts import json_lines, literal_lines, write
from helpers.reading import refusal

REVIEWS = {
    "2014 literal": (
        literal_lines(layouts.AMAZON_2014),
        [("A1", "B01", 1252800000, 5.0), ("A2", "B02", 1252800001, 2.0), ("A1", "B02", 7, 1.0)],
    ),
    "2014": (
        json_lines(layouts.AMAZON_2014),
        [("A1", "B01", 1252800000, 5.0), ("A2", "B02", 1252800001, 2.0), ("A1", "B02", 7, 1.0)],
    ),
    "2018": (
        json_lines(layouts.AMAZON_2018),
        [("A1", "B01", 1472688000, 5.0), ("A2", "B02", 1384387200, 3.0)],
    ),
    "2023": (
        json_lines(layouts.AMAZON_2023),
        [("AGKH", "B01", 1588687728923, 5.0), ("AGKI", "B02", 1588615855070, 4.0)],
    ),
    "2023 csv": (
        layouts.AMAZON_2023_CSV,
        [("AGKH", "B01", 1588687728923, 5.0), ("AGKI", "B02", 1588615855070, 4.0)],
    ),
}
ITEMS_2014 = [
    ("B01", 'Girls\' "Tutu"', "Coxlüres", ["Sports", "Other", "Dance", "Shoes"]),
    ("B02", None, None, ["Sports"]),
    ("B03", None, None, None),
]
METADATA = {
    "2014 literal": (literal_lines(layouts.AMAZON_2014_META), ITEMS_2014),
    "2014": (json_lines(layouts.AMAZON_2014_META), ITEMS_2014),
    "2018": (
        json_lines(layouts.AMAZON_2018_META),
        [
            ("B01", "Radio", "", "All Electronics", ["Electronics", "Audio"]),
            ("B02", "Thing", "Acme", None, []),
        ],
    ),
    "2023": (
        json_lines(layouts.AMAZON_2023_META),
        [
            ("B01", "Spray", "Howard", "All Beauty", ["Beauty", "Hair"]),
            ("B02", "Other", None, None, []),
        ],
    ),
}


def _rows(interactions: Interactions) -> list[tuple[object, ...]]:
    assert interactions.frame.columns == ["user", "item", "time", "rating"]
    return interactions.frame.rows()


@pytest.mark.parametrize("end", ["\n", "\r\n", "\n\n"], ids=["unix", "windows", "blank lines"])
@pytest.mark.parametrize("name", ["reviews.json", "reviews.json.gz"])
@pytest.mark.parametrize("layout", REVIEWS)
def test_reviews_of_every_year(tmp_path: Path, layout: str, name: str, end: str) -> None:
    content, rows = REVIEWS[layout]
    path = write(tmp_path, name, content.replace("\n", end))
    assert _rows(read_interactions(path)) == rows
    assert _rows(read_amazon(path)) == rows


@pytest.mark.parametrize("layout", METADATA)
def test_metadata_of_every_year(tmp_path: Path, layout: str) -> None:
    content, rows = METADATA[layout]
    reviews = write(tmp_path, "reviews.json.gz", REVIEWS[layout][0])
    meta = write(tmp_path, "meta.json.gz", content)
    got = read_interactions(tmp_path)
    assert got.items is not None
    assert got.items.rows() == rows
    assert _rows(got) == REVIEWS[layout][1]
    named = read_amazon(reviews, metadata=meta)
    assert named.items is not None
    assert named.items.equals(got.items)


def test_what_polars_does_not_read_is_read_line_by_line(tmp_path: Path) -> None:
    reviews = write(tmp_path, "reviews.json", REVIEWS["2014"][0])
    lines = [
        # Flat categories, text alone, none, an escape JSON lacks, halves of a character.
        "{'asin': 'B01', 'categories': ['A', 'B'], 'title': '\\ud83d\\ude00 \\U0001f600'}",
        "{'asin': 7, 'categories': 'C', 'title': 1.5}",
        "{'asin': 'B03', 'categories': None, 'title': True, 'odd': (1, 0x10, b'x', {2: u'3'})}",
        "{'asin': 'B04', 'categories': [[], ['D', None, 'D']], 'brand': '\\ud83d'}",
    ]
    items = read_amazon(reviews, metadata=write(tmp_path, "m.json", "\n".join(lines))).items
    assert items is not None
    assert items.rows() == [
        ("B01", "😀 😀", None, ["A", "B"]),
        ("7", "1.5", None, ["C"]),
        ("B03", "true", None, None),
        ("B04", None, "\ufffd", ["D"]),
    ]


GOOD = json_lines(layouts.AMAZON_2014[:1])


def test_a_category_that_is_no_list_is_named(tmp_path: Path) -> None:
    reviews = write(tmp_path, "reviews.json", GOOD)
    meta = write(tmp_path, "m.json", '{"asin": "B", "category": []}\n{"asin": "C", "category": 3}')
    wanted = f"{meta}:2: field 'category' must be a list, got 3"
    assert refusal(read_amazon, reviews, metadata=meta) == wanted


def test_other_json_is_no_amazon_data(tmp_path: Path) -> None:
    other = write(tmp_path, "other.json", '{"a": 1}\n')
    for call in (lambda: read_amazon(other), lambda: read_interactions(other, format="amazon")):
        with pytest.raises(DataError, match=r":1: no Amazon reviews: wanted the keys .* got 'a'"):
            call()
    reviews = write(tmp_path, "reviews.json", GOOD)
    with pytest.raises(DataError, match=r":1: no Amazon metadata: wanted the key asin or par"):
        read_amazon(reviews, metadata=other)
    table = write(tmp_path, "a.csv", "user,item\n1,2\n")
    with pytest.raises(DataError, match="wanted JSON lines or a header with 'user_id'"):
        read_amazon(table)


def test_lists_of_lists_are_flattened_in_every_year(tmp_path: Path) -> None:
    reviews = write(tmp_path, "reviews.json", GOOD)
    meta = write(tmp_path, "m.json", '{"asin": "B", "category": [["A", "C"], ["D"]]}\n')
    items = read_amazon(reviews, metadata=meta).items
    assert items is not None
    assert items["categories"].to_list() == [["A", "C", "D"]]
