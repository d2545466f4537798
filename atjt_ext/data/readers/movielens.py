"""MovieLens in the layouts GroupLens has published."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import polars as pl

from ..errors import DataError, shown
from ..interactions import Interactions
from .columns import Part, table_of_parts
from .csv_files import csv_text, read_csv
from .recognise import FileFormat, Sign, find_source, header_of, is_number
from .streams import first_line, glimpse, read_bytes
from .text import DelimitedText, read_delimited

_RATINGS = ["user", "item", "rating", "time"]
_MOVIES = ["movieId", "title", "genres"]
_NO_GENRES = "(no genres listed)"


def read_movielens(path: str | Path) -> Interactions:
    """MovieLens ratings, plain or gzip; the first line tells the layout.

    * ``u.data`` (100K): ``user <tab> item <tab> rating <tab> time``, no header;
    * ``ratings.dat`` (1M, 10M): ``user::item::rating::time``, no header;
    * ``ratings.csv`` (20M and later): header ``userId,movieId,rating,timestamp``.

    ``path`` is the file or its folder. In a folder ``movies.csv`` or ``movies.dat`` is read as
    ``items``: ``title`` (String) and ``genres`` (List(String), empty if none are listed).

    Raises:
        DataError: for the first value that does not fit, with its file, line and column.
    """
    source = find_source(path, [FORMAT])
    interactions = _read_ratings(source.interactions)
    if source.items is None:
        return interactions
    return replace(interactions, items=read_movies(source.items))


def _read_ratings(path: Path) -> Interactions:
    line = first_line(path)
    if header_of(line)[:2] == ["userId", "movieId"]:
        return read_csv(path)
    separator = "::" if "::" in line else "\t"
    if separator not in line:
        raise DataError(
            f"{path}:1: not a MovieLens layout: wanted four fields between tabs or '::', or the "
            f"header userId,movieId,rating,timestamp, got {shown(line)}"
        )
    text = DelimitedText(path, separator, _RATINGS, has_header=False, quoting="none")
    return read_delimited(text, {name: name for name in _RATINGS})


def _is_rating(line: str) -> bool:
    fields = line.split("\t")
    return "::" in line or (len(fields) == 4 and all(map(is_number, fields)))


def _doubt(lines: list[str]) -> str:
    """Four numbers in a row may have another order, or be sequences."""
    rows = [line.split("\t") for line in lines if "::" not in line]
    rows = [row for row in rows if len(row) == 4 and all(map(is_number, row))]
    ratings = all(0 <= float(row[2]) <= 10 for row in rows)
    times = all(float(row[3]) >= 1e8 for row in rows)
    if ratings or times:
        return ""
    return (
        "four numbers a line, the third no rating in 0..10 and the last no Unix time; pass "
        "format=movielens if they are user, item, rating and time, or format=sequences if they are "
        "a user and items, or put a header above them"
    )


def read_movies(path: Path) -> pl.DataFrame:
    """``movies.csv`` or ``movies.dat``, as ``items``."""
    if "::" not in glimpse(path):
        text = csv_text(path, separator=",")
        return text.read(lambda parts: _movies(parts, path))
    data = read_bytes(path)  # 10,000 films
    try:
        data.decode()
    except UnicodeDecodeError:
        data = data.decode("latin-1").encode()  # the 1M set
    text = DelimitedText(path, "::", _MOVIES, has_header=False, quoting="none", data=data)
    return _movies(iter([(text.parse(), text.place_of)]), path)


def _movies(parts: Iterator[Part], path: Path) -> pl.DataFrame:
    genres = pl.col("genres").fill_null("").replace(_NO_GENRES, "").str.split("|")
    kept = genres.list.eval(pl.element().filter(pl.element() != ""))
    split = ((frame.with_columns(kept), place_of) for frame, place_of in parts)
    return table_of_parts(split, "item", "movieId", path)


FORMAT = FileFormat(
    "movielens",
    read_movielens,
    Sign(
        names_or_suffixes="u.data ratings.dat",
        header="userId movieId rating",
        line=_is_rating,
        doubt=_doubt,
    ),
    Sign("items", names_or_suffixes="movies.dat", header="movieId title genres"),
    files="``u.data``, ``ratings.dat``, ``ratings.csv``",
    read_items=read_movies,
)
