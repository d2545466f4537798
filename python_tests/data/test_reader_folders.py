"""Folders: which files belong together, and refusals where that is unclear."""

from __future__ import annotations

from pathlib import Path

from atjt_ext.data import read_interactions
from atjt_ext.runs.config import RunConfig
from atjt_ext.runs.data import load_sequences
from helpers import layouts
from helpers.layouts import json_lines, write
from helpers.reading import refusal

REVIEWS = json_lines(layouts.AMAZON_2018)


def test_a_folder_without_interactions_says_what_it_has(tmp_path: Path) -> None:
    write(tmp_path, "notes.txt", "once upon a time\n")
    empty = "is a directory with no file of interactions; no file in it was recognised"
    assert refusal(read_interactions, tmp_path) == f"{tmp_path}: {empty}"
    write(tmp_path, "movies.csv", layouts.ML_MOVIES)
    assert "recognised 'movies.csv (movielens items)'; name one file" in refusal(
        read_interactions, tmp_path
    )


def test_a_folder_with_several_says_which(tmp_path: Path) -> None:
    write(tmp_path, "Books.json.gz", REVIEWS)
    write(tmp_path, "ratings.csv", layouts.ML_RATINGS)
    assert refusal(read_interactions, tmp_path) == (
        f"{tmp_path}: is a directory with 2 files of interactions; recognised 'Books.json.gz "
        "(amazon interactions)', 'ratings.csv (movielens interactions)'; name one file"
    )
    assert len(read_interactions(tmp_path, format="amazon")) == 2
    assert len(read_interactions(tmp_path, format="movielens")) == 3


def test_two_tables_of_items_are_refused(tmp_path: Path) -> None:
    write(tmp_path, "Books.json", REVIEWS)
    for name in ("meta_a.json", "meta_b.json"):
        write(tmp_path, name, json_lines(layouts.AMAZON_2018_META))
    assert f"{tmp_path}: 2 tables of items; recognised 'Books.json (amazon" in refusal(
        read_interactions, tmp_path
    )


def test_a_table_of_items_is_no_interactions(tmp_path: Path) -> None:
    path = write(tmp_path, "movies.csv", layouts.ML_MOVIES)
    assert refusal(read_interactions, path) == (
        f"{path}: holds movielens's table of items, no interactions; "
        "pass the file of interactions, or the folder with both; or name its columns"
    )


def test_a_lone_table_in_a_folder_is_read(tmp_path: Path) -> None:
    write(tmp_path, "log.tsv", "user\titem\n1\tx\n")
    write(tmp_path, "empty.csv", "")
    assert len(read_interactions(tmp_path)) == 1
    assert len(read_interactions(tmp_path, user_column="item", item_column="user")) == 1


def test_a_lone_file_of_sequences_in_a_folder_is_read(tmp_path: Path) -> None:
    write(tmp_path, "log.dat", "1 10 11\n2 10\n")
    for format in ("auto", "sequences"):
        assert len(read_interactions(tmp_path, format=format)) == 3


def test_published_files_go_before_other_tables(tmp_path: Path) -> None:
    write(tmp_path, "Books.json", REVIEWS)
    write(tmp_path, "mine.csv", "user,item\n1,x\n")
    assert len(read_interactions(tmp_path)) == 2


def test_columns_of_published_csv_can_still_be_named(tmp_path: Path) -> None:
    path = write(tmp_path, "a.csv", layouts.ML_RATINGS)
    got = read_interactions(path, time_column="rating", rating_column="timestamp")
    assert got.frame["time"].to_list() == [3.5, 5.0, 0.5]


def test_other_json_lines_are_shown(tmp_path: Path) -> None:
    path = write(tmp_path, "a.json", '{"who": 1, "what": 2}\n')
    message = refusal(read_interactions, path)
    assert "amazon (reviews of 2014, 2018 and 2023), yelp (reviews)" in message
    assert '{"who": 1' in message


def test_training_takes_a_folder(tmp_path: Path) -> None:
    write(tmp_path, "ratings.csv", layouts.ML_RATINGS)
    write(tmp_path, "movies.csv", layouts.ML_MOVIES)
    sequences = load_sequences(tmp_path, RunConfig())
    assert sequences.num_users == 2
    assert sequences.item_features["genres"].values == ["Comedy", "Drama"]
