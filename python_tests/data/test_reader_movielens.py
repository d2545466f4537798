"""MovieLens in its published files: ratings with movies beside them, in a folder or alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from atjt_ext.data import read_interactions, read_movielens
from helpers.layouts import ML_MOVIES, ML_RATINGS, write
from helpers.reading import refusal

TITLE = 'Été, The ("L\'Été") (1995)'
MOVIES = [
    ("10", TITLE, ["Comedy", "Drama"]),
    ("12", "Unwatched (2001)", ["Horror"]),
    ("11", "Nothing Known (1999)", []),
]


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("packed", ["", ".gz"], ids=["plain", "gzip"])
def test_a_folder_gives_ratings_and_movies(tmp_path: Path, packed: str, end: str) -> None:
    write(tmp_path, f"ratings.csv{packed}", ML_RATINGS.replace("\n", end))
    write(tmp_path, f"movies.csv{packed}", ML_MOVIES.replace("\n", end))
    write(tmp_path, "tags.csv", "userId,movieId,tag,timestamp\n1,10,dark,1\n")
    write(tmp_path, "links.csv", "movieId,imdbId,tmdbId\n10,1,2\n")
    write(tmp_path, "README.txt", "Summary\n=======\n")
    got = read_interactions(tmp_path)
    assert got.frame.rows() == [
        ("1", "10", 1112486027, 3.5),
        ("1", "11", 1112484676, 5.0),
        ("2", "10", 1094785740, 0.5),
    ]
    assert got.items is not None
    assert got.items.columns == ["item", "title", "genres"]
    assert got.items.rows() == MOVIES
    assert got.source == str(tmp_path / f"ratings.csv{packed}")
    alone = read_movielens(tmp_path / f"ratings.csv{packed}")
    assert alone.frame.equals(got.frame)
    assert alone.items is None


@pytest.mark.parametrize("encoding", ["utf-8", "latin-1"])
def test_older_movies_are_read_in_either_encoding(tmp_path: Path, encoding: str) -> None:
    write(tmp_path, "ratings.dat", "1::10::5::978300760\n1::11::3::978302109\n")
    movies = f"10::{TITLE}::Comedy|Drama\n12::Unwatched (2001)::Horror\n"
    write(tmp_path, "movies.dat", movies.encode(encoding))
    got = read_movielens(tmp_path)
    assert got.items is not None
    assert got.items.rows() == MOVIES[:2]
    assert len(got) == 2


def test_bad_movies_are_named(tmp_path: Path) -> None:
    write(tmp_path, "ratings.csv", ML_RATINGS)
    for content, wanted in (
        (ML_MOVIES + "13,Lost\n", ":5: 2 fields, wanted 3 ('movieId', 'title', 'genres')"),
        (ML_MOVIES + ",Lost,Drama\n", ":5: column 'movieId' must be an id"),
        ("movieId,title,genres\n", ": a table of items without rows"),
    ):
        path = write(tmp_path, "movies.csv", content)
        assert refusal(read_interactions, tmp_path).startswith(f"{path}{wanted}")
