"""Ids in JSON lines: numbers keep their digits, and values that are no ids are refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from atjt_ext.data import read_interactions, read_items, read_json_lines
from helpers.reading import column, refusal, write

SOUND = '{"user": "a", "item": "x", "time": 1}\n'


@pytest.mark.parametrize("role", ["user", "item"])
@pytest.mark.parametrize(
    ("value", "got"),
    [
        (r'"\ud83d"', "must be an id, text or a number, got half of a character in "),
        (r'"b\udE00"', "must be an id, text or a number, got half of a character in "),
        ("NaN", "must be an id that is not empty, got ''"),
        ("null", "must be an id that is not empty, got ''"),
        ("1e400", "got one beyond the range of 64-bit floats (inf)"),
        ("-2e400", "got one beyond the range of 64-bit floats (-inf)"),
        ("Infinity", "got one beyond the range of 64-bit floats (inf)"),
        ("1" * 400 + ".0", "got one beyond the range of 64-bit floats (inf)"),
        ("true", "must be an id, text or a number, got 'True'"),
        ("[1]", "must be an id, text or a number, got '[1]'"),
        ('{"a": 1}', "must be an id, text or a number, got "),
    ],
)
def test_values_that_are_no_ids_are_refused(
    tmp_path: Path, role: str, value: str, got: str
) -> None:
    bad = SOUND.replace('"a"' if role == "user" else '"x"', value)
    for before in (0, 2, 1200):  # the first 1,000 lines tell the columns
        path = write(tmp_path, "a.jsonl", SOUND * before + bad + SOUND)
        if before < 1000 and value.startswith("{"):
            continue  # a key that holds objects is no column
        message = refusal(read_interactions, path)
        assert message.startswith(f"{path}:{before + 1}: column '{role}' must be an id")
        assert got in message


def test_published_files_follow_the_same_rule(tmp_path: Path) -> None:
    amazon = '{"reviewerID": "A", "asin": VALUE, "overall": 5.0, "unixReviewTime": 9}\n'
    yelp = (
        '{"review_id": 1, "user_id": VALUE, "business_id": "b", "stars": 3, '
        '"date": "2018-07-07 22:09:11"}\n'
    )
    for name, line in (("reviews.json", amazon), ("review.json", yelp)):
        path = write(tmp_path, name, line.replace("VALUE", r'"\ud83d"'))
        assert f"{path}:1: column" in refusal(read_interactions, path)
        path = write(tmp_path, name, line.replace("VALUE", "9007199254740993.0"))
        assert "9007199254740993" in column(read_interactions(path), "item") + column(
            read_interactions(path), "user"
        )
    for line in (r'{"asin": "\udE00", "title": "t", "brand": "b", "categories": [["c"]]}',
                 '{"business_id": 1e400, "name": "n", "city": "c"}'):  # fmt: skip
        path = write(tmp_path, "items.json", line + "\n")
        assert f"{path}:1: column" in refusal(read_items, path)


def test_halves_of_characters_elsewhere_are_replaced(tmp_path: Path) -> None:
    line = r'{"user": 1, "item": "\ud83d\ude00", "time": 3, "text": "a\ud83d"}'
    got = read_json_lines(write(tmp_path, "a.jsonl", line))
    assert got.frame.row(0) == ("1", "\U0001f600", 3, "a\ufffd")


@pytest.mark.parametrize("odd", ["", ', "p": NaN'])  # only Python reads NaN
def test_numbers_keep_their_digits(tmp_path: Path, odd: str) -> None:
    numbers = {
        "7.0": "7",
        "9007199254740993": "9007199254740993",
        "9007199254740993.0": "9007199254740993",
        "9007199254740992.50": "9007199254740992.5",
        "9007199254740993.00e0": "9007199254740993",
        "9.0071992547409930e15": "9007199254740993",
        "9.00719925474099300e+15": "9007199254740993",
        "1234567890.12345678900": "1234567890.123456789",
        "-9007199254740993.0": "-9007199254740993",
        "0": "0",
        "0.0": "0",
        "-0": "0",
        "-0.0": "0",
        "-0e5": "0",
        "1e-400": "1e-400",
        "2e-400": "2e-400",
        '"-0"': "-0",
        '"true"': "true",
        '"[1]"': "[1]",
        '"7.0"': "7.0",
    }
    lines = [f'{{"user": {n}, "item": {n}, "time": 1{odd}}}\n' for n in numbers]
    got = read_json_lines(write(tmp_path, "a.jsonl", "".join(lines)))
    assert column(got, "user") == column(got, "item") == list(numbers.values())
    for line, wanted in zip(lines, numbers.values(), strict=True):  # polars reads most alone
        assert column(read_json_lines(write(tmp_path, "a.jsonl", line)), "user") == [wanted]


def test_a_number_of_any_exponent_takes_no_memory(tmp_path: Path) -> None:
    for number in ("1.00000000000000001e-999999999", "1e-99999999999999999999"):
        path = write(tmp_path, "a.jsonl", SOUND.replace('"a"', number))
        assert column(read_json_lines(path), "user") == [number]
    path = write(tmp_path, "a.jsonl", SOUND.replace('"a"', "1.00000000000000001e999999999"))
    assert "beyond the range" in refusal(read_json_lines, path)


def test_the_key_of_an_id_may_occur_once(tmp_path: Path) -> None:
    for line in (
        '{"user": 1, "item": 2, "user": 3, "time": 4}\n',
        '{"user": 1, "item": 2, "user" : null, "time": 4}\n',
    ):
        for before in (0, 1200):
            path = write(tmp_path, "a.jsonl", SOUND * before + line + SOUND)
            assert refusal(read_json_lines, path) == (
                f"{path}:{before + 1}: the key 'user' must occur once, got it more often"
            )
    line = '{"user": 1, "item": "user", "time": 4, "by": {"user": 5, "user": 6, "item": 7}}\n'
    assert read_json_lines(write(tmp_path, "a.jsonl", line)).frame.rows() == [("1", "user", 4)]


@pytest.mark.parametrize("odd", ["", ', "p": NaN'])
def test_the_first_value_of_another_key_counts(tmp_path: Path, odd: str) -> None:
    line = f'{{"user": 1, "item": 2, "time": 4, "z": "a", "time": 5, "z": "b"{odd}}}\n'
    got = read_json_lines(write(tmp_path, "a.jsonl", line))
    assert got.frame.columns[:4] == ["user", "item", "time", "z"]
    assert got.frame.row(0)[:4] == ("1", "2", 4, "a")


def test_values_that_json_does_not_have_are_refused(tmp_path: Path) -> None:
    line = "{'reviewerID': 'a', 'asin': 'b', 'overall': VALUE, 'unixReviewTime': 3}\n"
    for value in ("{1}", "b'1'", "[{1}]", "1j"):
        path = write(tmp_path, "a.json", line.replace("VALUE", value))
        assert refusal(read_interactions, path).startswith(f"{path}:1: Object of type ")


def test_items_of_one_object(tmp_path: Path) -> None:
    path = write(tmp_path, "a.json", '{"a": ["x"], "b": [], "a": ["y"]}')
    assert read_items(path).rows() == [("a", ["x"]), ("b", [])]
    for content, wanted in (
        (r'{"a": ["x"], "b\ud83d": ["x"]}', r"item 'b\ud83d': half of a character"),
        (r'{"a": ["\udE00"]}', "item 'a': half of a character"),
        ('{" ": ["x"]}', "item ' ' must be an id that is not empty"),
        ('{"a": {}}', "item 'a' must have a list of values"),
        ('{"a": [{"b": 1}]}', "item 'a' must have a list of values"),
    ):
        assert refusal(read_items, write(tmp_path, "a.json", content)).startswith(
            f"{path}: {wanted}"
        )
