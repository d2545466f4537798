"""The first bad line of a file is named: file, line, column, value, and what was wanted."""

from __future__ import annotations

from pathlib import Path

import pytest

from atjt_ext.data import read_interactions
from helpers import layouts
from helpers.layouts import RATINGS_DAT, RECBOLE, U_DATA, json_lines, literal_lines
from helpers.reading import refusal, write

TEXT = [
    ("a.csv", "user,item,time\n1,x,5\n2,y,soon\n", "3: column 'time' must be a number", "'soon'"),
    ("a.csv", "user,item,time\n1,x,5\n2,y,\n", "3: column 'time' must be a number", "''"),
    ("a.csv", "user,item,time\n1,x,nan\n", "2: column 'time' must be a number", "'nan'"),
    ("a.csv", "user,item,time\n\n1,x,5\n\n,y,5\n", "5: column 'user' must be an id", "''"),
    ("a.csv", "user,item,time\n1,x,5\n2,  ,5\n", "3: column 'item' must be an id", "'  '"),
    ("a.csv", 'user,item,time\n1,"x\ny",5\n2,z,?\n', "4: column 'time' must be a number", "'?'"),
    ("a.csv", "user,item,rating\n1,x,5\n2,y,good\n", "3: column 'rating' must be a", "'good'"),
    ("a.csv", "user,item,is_noise\n1,x,maybe\n", "2: column 'is_noise' must be true", "'maybe'"),
    ("a.csv", "user,item,time\n1,x,5\n2,y\n", "3: 2 fields, wanted 3", "'2,y'"),
    ("a.csv", "user,item,time\n1,x\n2,y,5\n", "2: 2 fields, wanted 3", "'1,x'"),
    ("a.csv", "user,item,time\n1,x,5\n2,y,5,9\n", "3: 4 fields, wanted 3", "'2,y,5,9'"),
    ("a.csv", "user,item,time\n1,x,5,9\n2,y,5\n", "2: 4 fields, wanted 3", "'1,x,5,9'"),
    ("a.csv", "user,item,time\n1,x,5\n,,\n2,y,6\n", "3: every field is empty", ""),
    ("a.csv", 'user,item,time\n1,x,5\n2,"y,5\n3,z\n', "3: broken quoting", "wanted CSV"),
    ("a.csv", "user,item,item\n1,x,5\n", "1: the header names 'item' more than once", ""),
    ("a.csv", "user,item,time,a,a\n1,x,5,5,5\n", "1: the header names 'a' more than once", ""),
    ("a.csv", "user,userId,item\n1,1,5\n", "1: 'user', 'userId' could all be the user", ""),
    ("a.csv", "user,price\n1,5\n", "1: no item column", "'user', 'price'"),
    (
        "a.csv",
        "1,31,2.5,1260759144\n1,32,2,1260759145\n",
        "1: no user column",
        "is a header missing? Or name it",
    ),
    ("a.csv", "ann,book,5\nbob,book,4\n", "1: no user column", "is a header missing? Or name it"),
    ("a.csv", b"user,item\n1,x\n\xe9,y\n", "3: not UTF-8 text (byte 0xe9)", "wanted UTF-8"),
    ("a.inter", RECBOLE + "5\t6\t1\tx\n", "6: column 'timestamp' must be a number", "'x'"),
    ("a.inter", RECBOLE + "5\t6\n", "6: 2 fields, wanted 4", "'5\\t6'"),
    ("a.inter", "user\titem\n1\t2\n", "1: header field 'user' must be name:type", "token"),
    ("u.data", U_DATA + "5\t6\t1\n", "4: 3 fields, wanted 4", "'5\\t6\\t1'"),
    ("u.data", U_DATA + "5\t\t1\t7\n", "4: column 'item' must be an id", "''"),
    ("ratings.dat", RATINGS_DAT + "5::6::1\n", "4: 3 fields, wanted 4", "'5::6::1'"),
    ("ratings.dat", RATINGS_DAT + "5:a:6:a:1:a:7\n", "4: 1 field, wanted 4", "'5:a:6:a:1:a:7'"),
    ("ratings.dat", RATINGS_DAT + "5::6::1::late\n", "4: column 'time' must be a", "'late'"),
    ("ratings.dat", "5 6 1 late\n", "1: not a MovieLens layout", "'5 6 1 late'"),
    ("s.txt", "1 2 3\n\n2\n3 4\n", "3: a user without items", "'2'"),
    ("s.txt", b"1 2 3\n2 \xff 4 5\n", "2: not UTF-8 text (byte 0xff)", "wanted UTF-8"),
]

JSON = [
    ('{"user": 1, "item": 2}\n{"user": 1}\n', "2: column 'item' must be an id", "''"),
    ('{"user": 1, "item": 2}\n{"user": "", "item": 1}\n', "2: column 'user' must be an id", "''"),
    ('\n{"user": 1, "item": 2}\n\n{"user": 1, "item": 2\n', "4: no JSON", "one object per line"),
    ('{"user": 1, "item": 2}\n[1, 2]\n', "2: wanted one object per line", "[1, 2]"),
    ('{"user": 1, "item": 2, "time": 1}\n{"user": 1, "item": 2, "time": "x"}\n',
     "2: column 'time' must be a number", "'x'"),
    ('{"user": 1, "price": 2}\n', "1: no item column", "'user', 'price'"),
    ('\n\n{"user": 1, "price": 2}\n', "3: no item column", "'user', 'price'"),
    ('{"user": 1, "item": 2}\n{"user": [1], "item": 2}\n', "2: column 'user' must be an id", "[1]"),
    ('{"user": {"id": 1}, "item": 2}\n', "1: no user column", "'item'"),
    ('{"user": 1, "item": 2, "ts": 1, "tags": []}\n{"user": 1, "tags": 3}\n',
     "2: field 'tags' must be a list", "3"),
]  # fmt: skip

GOOD = json_lines(layouts.AMAZON_2014[:1])
LITERAL = literal_lines(layouts.AMAZON_2014[:1])
AMAZON = [
    (GOOD + "{'reviewerID: 3}\n", "2: no Python literal (", "wanted one object per line"),
    (GOOD + "\n" + GOOD[:50] + "\n", "3: no JSON (", '\'{"reviewerID": "A1"'),
    (LITERAL + "\n" + LITERAL[:-3] + "\n" + LITERAL, "3: no Python literal (", "got"),
    (LITERAL + "{'a': open('x')}\n", "2: no Python literal (", "open"),
    (GOOD + "[1, 2]\n", "2: wanted one object per line", "'[1, 2]'"),
    (GOOD + "null\n", "2: wanted one object per line", "'null'"),
    (GOOD + GOOD[:-1] + GOOD, "2: no JSON (Extra data", "got"),
    (GOOD.encode() + b'{"asin": "\xe9"}\n', "2: not UTF-8 text (byte 0xe9)", "wanted UTF-8"),
    (LITERAL.encode() + b"{'asin': '\xe9'}\n", "2: not UTF-8 text (byte 0xe9)", "wanted UTF-8"),
    (GOOD + '\n\n{"asin": "B1", "overall": 1, "unixReviewTime": 3}\n',
     "4: column 'reviewerID' must be an id", "''"),
    (GOOD + '{"reviewerID": "A", "asin": " ", "overall": 1, "unixReviewTime": 3}\n',
     "2: column 'asin' must be an id", "' '"),
    (GOOD + '{"reviewerID": "A", "asin": "B", "unixReviewTime": 3}\n',
     "2: column 'overall' must be a number", "''"),
    (GOOD + '{"reviewerID": "A", "asin": "B", "overall": 1, "unixReviewTime": "09 13"}\n',
     "2: column 'unixReviewTime' must be a number", "'09 13'"),
    (GOOD + '{"reviewerID": "A", "asin": "B", "overall": NaN, "unixReviewTime": 3}\n',
     "2: column 'overall' must be a number", "'NaN'"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "content", "place", "rest"),
    [
        *TEXT,
        *(("a.jsonl", *case) for case in JSON),
        *(("reviews.json", *case) for case in AMAZON),
    ],
)
def test_a_bad_line_is_named(
    tmp_path: Path, name: str, content: str | bytes, place: str, rest: str
) -> None:
    path = write(tmp_path, name, content)
    message = refusal(read_interactions, path)
    assert message.startswith(f"{path}:{place}")
    assert rest in message
