"""Files whose first lines fit several formats are refused; the refusal names the way out."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import pytest

from atjt_ext.data import read_interactions
from helpers.reading import refusal, write

RNG = random.Random(0)
Row = Callable[[int, int], str]


def table(row: Row, bad: str = "") -> str:
    """152 rows of 19 users."""
    rows = [row(user, n) for user in range(1, 20) for n in range(8)]
    return "\n".join([*rows[:70], *([bad] if bad else []), *rows[70:]]) + "\n"


def item() -> int:
    return RNG.randint(1, 900)


TABLES: dict[str, Row] = {
    "rating and time": lambda u, n: f"{u} {item()} {RNG.randint(1, 5)} {978300000 + u * 50 + n}",
    "rating": lambda u, n: f"{u} {item()} {RNG.randint(1, 5)}",
    "half stars": lambda u, n: f"{u}  {item()}\t{RNG.randint(1, 10) / 2}",
    "time": lambda u, n: f"{u} {item()} {978300000 + u * 50 + n}",
    "tabs and a time": lambda u, n: f"{u}\t{item()}\t{978300000 + u * 50 + n}",
    "text ids": lambda u, n: f"user{u} B00{item()}X {RNG.randint(1, 5)} {978300000 + n}",
    "date and time": lambda u, n: f"u{u} i{item()} 2020-01-{n + 1:02} 10:0{n}:00",
    "a row a user": lambda u, n: f"{u * 8 + n} {item()} {RNG.randint(1, 5)} {978300000 + n}",
    "time first": lambda u, n: f"{978300000 + u * 50 + n} {u} {item()}",
    "time first and tabs": lambda u, n: f"{978300000 + u * 50 + n}\tu{u}\ti{item()}",
    "time first, a date": lambda u, n: f"2020-01-{u:02}T10:0{n} u{u} i{item()}",
    "nine fields": lambda u, n: " ".join([f"{u}", *(f"{item()}" for _ in range(8))]),
    "thirty fields": lambda u, n: " ".join([f"u{u}", *(f"i{item()}" for _ in range(29))]),
    "missing times": lambda u, n: f"{u} {item()} 5" + (f" {978300000 + n}" if n % 3 else ""),
}


@pytest.mark.parametrize("bad", ["", "7 12"])
@pytest.mark.parametrize("name", TABLES)
def test_rows_of_a_table_are_no_sequences(tmp_path: Path, name: str, bad: str) -> None:
    path = write(tmp_path, "ratings.txt", table(TABLES[name], bad))
    message = refusal(read_interactions, path)
    assert message.startswith(f"{path}: ")
    assert "so they may be rows of a table (user item rating time)" in message
    assert "pass format=sequences if they are sequences, or else write the table as CSV" in message
    assert len(read_interactions(path, format="sequences")) > 152


@pytest.mark.parametrize("suffix", ["tsv", "csv", "dat"])
def test_a_suffix_makes_no_sequences_of_rows_with_the_time_first(
    tmp_path: Path, suffix: str
) -> None:
    path = write(tmp_path, f"log.{suffix}", table(TABLES["time first and tabs"]))
    assert "pass format=sequences if they are sequences" in refusal(read_interactions, path)


def test_the_refusal_reaches_the_user_of_a_folder(tmp_path: Path) -> None:
    path = write(tmp_path, "ratings.dat.txt", "")
    path.rename(tmp_path / "log.dat")
    write(tmp_path, "log.dat", table(TABLES["rating and time"]))
    assert "pass format=sequences" in refusal(read_interactions, tmp_path)
    assert len(read_interactions(tmp_path, format="sequences")) == 3 * 152
    write(tmp_path, "clicks.csv", "user,item\n1,x\n")
    assert len(read_interactions(tmp_path)) == 1


def long_form() -> str:
    return "".join(f"{user} {item()}\n" for user in range(1, 20) for _ in range(8))


SEQUENCES = {
    "Beauty": lambda: "".join(
        " ".join(map(str, [user, *(item() for _ in range(RNG.randint(5, 40)))])) + "\n"
        for user in range(1, 60)
    ),
    "pairs": long_form,
    "tabs": lambda: long_form().replace(" ", "\t"),
    "ten items each": lambda: "".join(
        " ".join(map(str, [user, *(item() for _ in range(10))])) + "\n" for user in range(60)
    ),
    "three items each": lambda: "".join(
        f"{user} {item()} {item()} {item()}\n" for user in range(60)
    ),
    "forty items each": lambda: "".join(
        " ".join(map(str, [user, *(item() for _ in range(40))])) + "\n" for user in range(60)
    ),
    "long ids of users": lambda: "".join(
        f"{978300000 + user} " + " ".join(f"{item()}" for _ in range(RNG.randint(5, 40))) + "\n"
        for user in range(60)
    ),
    "text ids": lambda: "".join(
        f"u{user} " + " ".join(f"B{item()}" for _ in range(4)) + "\n" for user in range(60)
    ),
}


@pytest.mark.parametrize("name", SEQUENCES)
def test_sequences_are_read(tmp_path: Path, name: str) -> None:
    content = SEQUENCES[name]()
    path = write(tmp_path, "data.txt", content)
    words = sum(len(line.split()) - 1 for line in content.splitlines())
    assert len(read_interactions(path)) == words


@pytest.mark.parametrize(
    "row",
    [
        lambda u, n: f"{u}\t{item()}\t{978300000 + n}\t{RNG.randint(1, 5)}",
        lambda u, n: f"{u}\t{item()}\t{item()}\t{item()}",
    ],
    ids=["time before rating", "sequences"],
)
def test_four_numbers_are_movielens_only_if_they_look_like_it(tmp_path: Path, row: Row) -> None:
    path = write(tmp_path, "log.txt", table(row))
    message = refusal(read_interactions, path)
    assert message.startswith(f"{path}: four numbers a line")
    assert "pass format=movielens" in message
    assert len(read_interactions(path, format="movielens")) == 152
    assert len(read_interactions(write(tmp_path, "u.data", table(row)))) == 152


def test_four_numbers_that_look_like_ratings_are_read(tmp_path: Path) -> None:
    row: Row = lambda u, n: f"{u}\t{item()}\t{RNG.randint(1, 5)}\t{n}"  # noqa: E731
    assert len(read_interactions(write(tmp_path, "log.txt", table(row)))) == 152
