"""Damaged files for every reader: no other exception than ``DataError``, and no row lost without a
word. ``corpus/readers`` keeps files that failed once.
"""

from __future__ import annotations

import bz2
import csv
import gzip
import io
import lzma
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.fuzzed_files import SIZES, outcome

CORPUS = Path(__file__).parent / "corpus" / "readers"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fuzz")


FILES = {
    "a.csv": b'user,item,title,time\n1,x,"a, ""b""\nc",3\n2,y,5" d,4\n3,z,,5\n',
    "a.tsv": b'user\titem\ttitle\ttime\n1\tx\t"a\t3\n2\ty\tb"\t4\n3\tz\t\t5\n',
    "a.inter": b"user_id:token\titem_id:token\ttimestamp:float\n1\tx\t3\n2\ty\t4.5\n\n3\tz\t5\n",
    "u.data": b"1\t10\t3\t881250949\n2\t20\t4\t881250950\n3\t30\t5\t881250951\n",
    "ratings.dat": b"1::10::3::881250949\n2::20::4::881250950\n3::30::5::881250951\n",
    "s.txt": b"1 10 20 30\n2 30 40 50 60 70\n3 70 80\n",
    "a.jsonl": b'{"user": 1, "item": "x", "time": 3}\n{"user": 2, "item": "y", "time": 4}\n',
    "a.json": b"{'reviewerID': 'A', 'asin': 'B', 'overall': 5.0, 'unixReviewTime': 3}\n",
}
PACKERS: list[Callable[[bytes], bytes]] = [bytes, bytes, gzip.compress, bz2.compress, lzma.compress]
PIECES = [
    b'"',
    b"\n",
    b"\r",
    b"\t",
    b",",
    b" ",
    b"\0",
    b"\xff",
    b"{",
    b"[" * 2000,
    b"::",
    b"9" * 30,
]
PIECES += [b'""', b'"\n', b'\t"', b"\xe2\x80\xa8", b"e5", b"1.5", b"2020-01-01", b"\\ud800", b"NaN"]
EDITS = st.lists(
    st.tuples(st.integers(0, 250), st.integers(0, 3), st.sampled_from(PIECES)), max_size=4
)


@given(
    name=st.sampled_from(sorted(FILES)),
    edits=EDITS,
    packer=st.sampled_from(PACKERS),
    late=st.booleans(),
    size=SIZES,
)
def test_damaged_files(
    folder: Path, name: str, edits: Any, packer: Callable[[bytes], bytes], late: bool, size: int
) -> None:
    content = bytearray(FILES[name] if not late else packer(FILES[name]))
    for place, removed, piece in edits:
        place %= len(content) + 1
        content[place : place + removed] = piece
    data = bytes(content) if late else packer(bytes(content))
    found, told = outcome(folder / name, data, size)
    if isinstance(found, str) or (late and packer is not bytes):
        return
    lines = [line for line in bytes(content).split(b"\n") if line.strip(b" \r")]
    if name == "s.txt":
        assert len(found) == sum(len(line.replace(b"\r", b"").split()) - 1 for line in lines)
    elif name in ("a.csv", "a.tsv"):
        assert told or len(found) in (len(lines) - 1, _csv_rows(bytes(content)))
    else:
        blank = sum(not line.strip() for line in lines) if name.startswith("a.j") else 0
        assert len(found) == len(lines) - blank - (name == "a.inter")


def _csv_rows(content: bytes) -> int:
    """The rows below the header, as Python's reader finds them."""
    text = content.decode("utf-8-sig")
    header = text.lstrip("\r\n").split("\n")[0]
    separator = max("\t,;", key=header.count)
    stream = io.StringIO(text, newline="\n")
    reader = csv.reader(stream, delimiter=separator, strict=True)
    return sum(1 for row in reader if len(row) > 1 or "".join(row).strip(" ")) - 1


@given(
    name=st.sampled_from(
        ["a", "a.csv", "a.inter", "a.parquet", "a.gz", "a.zip", "u.data", "a.jsonl"]
    ),
    start=st.sampled_from(
        [b"", b"PK\3\4", b"\x1f\x8b", b"BZh9", b"\xfd7zXZ\0", b"PAR1", b"{", b"1 "]
    ),
    content=st.binary(max_size=40) | st.text(max_size=40).map(str.encode),
    size=SIZES,
)
def test_any_bytes(folder: Path, name: str, start: bytes, content: bytes, size: int) -> None:
    found, _ = outcome(folder / name, start + content, size)
    assert isinstance(found, str) or len(found) <= len(content)


# ---- past failures ------------------------------------------------------------------------------

PAST: dict[str, int | str] = {
    "bare-quotes.tsv": 60,
    "bare-quotes-and-a-bad-line.tsv": "quoting=csv or quoting=none",
    "broken-quotes-quoted-header.csv": "broken quoting",
    "blank-after-comma.csv": 3,
    "four-numbers-spaced.txt": "format=sequences",
    "three-numbers-tabs.txt": "format=sequences",
    "time-first.tsv": "format=sequences",
    "nine-fields.txt": "format=sequences",
    "time-before-rating.txt": "format=movielens",
    "nanoseconds-one-float.csv": 3,
    "twenty-digits.csv": "more digits than 64 bits",
    "half-a-character.jsonl": "half of a character",
    "nan-id.jsonl": "an id that is not empty",
    "huge-numbers.jsonl": "beyond the range of 64-bit floats",
    "numbers-as-ids.jsonl": 3,
    "key-twice.jsonl": "the key 'user' must occur once",
    "deep.jsonl": "no JSON",
    "archive.zip": 9,
    "two-files.zip": "zip archive of 2 files",
    "archive.tar.gz": "tar archive",
    "truncated.csv.gz": "truncated or corrupt gzip",
    "bytes-after-a-stream.csv.bz2": "data after the end of a stream",
    "broken-second-stream.csv.xz": "data after the end of a stream",
    "zero-byte.csv": "a zero byte",
    "utf-16.csv": "a zero byte",
    "quoted-lines-that-fit.tsv": 4,
}


def test_every_past_failure_is_expected() -> None:
    assert {path.name for path in CORPUS.iterdir()} == set(PAST)


@pytest.mark.parametrize("size", [1 << 25, 7])
@pytest.mark.parametrize("name", PAST)
def test_past_failures(tmp_path: Path, name: str, size: int) -> None:
    found, _ = outcome(tmp_path / name, (CORPUS / name).read_bytes(), size)
    wanted = PAST[name]
    if isinstance(wanted, int):
        assert len(found) == wanted, found
        assert not isinstance(found, str)
    else:
        assert wanted in found
