"""What a file holds, told by its name and first lines; which files of a folder belong together."""

from __future__ import annotations

import csv
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

from ..errors import DataError, listed, shown
from .columns import guessed
from .streams import HEAD_BYTES, read_bytes

Format = Literal[
    "auto", "recbole", "movielens", "amazon", "yelp", "csv", "jsonl", "parquet", "sequences"
]
Role = Literal["interactions", "items", "users"]

SEPARATORS = ("\t", ",", ";")  # in the order in which a tie between them is decided
FIELD_TYPES = ("token", "float", "token_seq", "float_seq")  # RecBole's


class Content(NamedTuple):
    """What a file holds; items and users are tables of their features.

    Attributes:
        format: The reader that takes it.
        role: What its rows are.
        named: The reader that takes it where columns are named; ``None`` where they have no names
            of their own, or ``format`` takes names.
    """

    format: Format
    role: Role = "interactions"
    named: Literal["csv", "jsonl"] | None = None

    def __str__(self) -> str:
        return f"{self.format} {self.role}"


_BY_NAME: dict[str, Content] = {
    "u.data": Content("movielens"),
    "ratings.dat": Content("movielens"),
    "movies.dat": Content("movielens", "items"),
}
_BY_SUFFIX: dict[str, Content] = {
    ".inter": Content("recbole"),
    ".item": Content("recbole", "items"),
    ".user": Content("recbole", "users"),
    ".parquet": Content("parquet"),
    ".pq": Content("parquet"),
}
# Headers of published CSV files, by their first names.
_BY_HEADER: dict[tuple[str, ...], Content] = {
    ("userId", "movieId", "rating"): Content("movielens", named="csv"),
    ("movieId", "title", "genres"): Content("movielens", "items", named="csv"),
    ("user_id", "parent_asin", "rating", "timestamp"): Content("amazon", named="csv"),
}
# Keys of JSON lines: all of the first, none of the second.
_BY_KEYS: tuple[tuple[frozenset[str], frozenset[str], Content], ...] = (
    (
        frozenset({"review_id", "user_id", "business_id"}),
        frozenset(),
        Content("yelp", named="jsonl"),
    ),
    (
        frozenset({"business_id", "city"}),
        frozenset({"user_id"}),
        Content("yelp", "items", named="jsonl"),
    ),
    (
        frozenset({"user_id", "yelping_since"}),
        frozenset(),
        Content("yelp", "users", named="jsonl"),
    ),
    (frozenset({"reviewerID", "asin"}), frozenset(), Content("amazon", named="jsonl")),
    (frozenset({"user_id", "parent_asin"}), frozenset(), Content("amazon", named="jsonl")),
    (
        frozenset({"parent_asin"}),
        frozenset({"user_id"}),
        Content("amazon", "items", named="jsonl"),
    ),
    (
        frozenset({"asin"}),
        frozenset({"reviewerID", "user_id", "question"}),
        Content("amazon", "items", named="jsonl"),
    ),
)
# Their readers say what is lacking in the first line.
_NAMED_BY_SUFFIX: dict[str, Content] = {
    ".csv": Content("csv"),
    ".tsv": Content("csv"),
    ".jsonl": Content("jsonl"),
    ".ndjson": Content("jsonl"),
}
_ARRAY = re.compile(r"\[\s*([\[{]|$)")
_NUMBER = re.compile(r"\s*[-+]?\d+(\.\d*)?([eE][-+]?\d+)?\s*")
# Ids with a digit in them: prose would otherwise pass for sequences.
_SEQUENCE_ID = re.compile(r"[^\s,;]*\d[^\s,;]*")
_KEY = re.compile(r"""(?<!\\)(["'])(\w+)\1\s*:""")


def recognise(path: str | Path) -> Content:
    """What a file holds, by its name (``.gz`` aside), then by its first line.

    Raises:
        DataError: if neither tells (names what was tried and shows the line), or as ``read_bytes``.
    """
    name = Path(path).name.lower().removesuffix(".gz")
    head = read_bytes(path, HEAD_BYTES)
    by_name = _BY_NAME.get(name) or _BY_SUFFIX.get(Path(name).suffix)
    if by_name is not None:
        return by_name
    if head.startswith(b"PAR1"):
        return Content("parquet")
    line = _first_line(head)
    if _ARRAY.match(line):
        raise DataError(
            f"{path}: holds one JSON array, wanted one object per line (JSON lines), as "
            "jq -c '.[]' makes of it"
        )
    content = _by_line(line)
    if content is None and Path(name).suffix in _NAMED_BY_SUFFIX:
        return _NAMED_BY_SUFFIX[Path(name).suffix]
    if content is None:
        raise DataError(
            f"{path}: cannot tell the format; tried the name "
            f"({', '.join([*_BY_NAME, *_BY_SUFFIX, *_NAMED_BY_SUFFIX])}) and the first line, "
            f"{shown(line)}, as a RecBole header, MovieLens ratings, Amazon or Yelp JSON lines, "
            "JSON lines with a user and an item, a CSV header and 'user item item ...'; name it "
            "with format"
        )
    return content


def _first_line(head: bytes) -> str:
    # It may be cut by the limit, in the middle of a character too; enough is left to tell.
    return head.lstrip(b"\r\n").split(b"\n", 1)[0].decode("utf-8", "replace").strip()


def keys_of(line: str) -> list[str]:
    """The keys of an object in JSON or as a Python literal, nested ones among them."""
    return [match[2] for match in _KEY.finditer(line)]


def names_user_and_item(line: str) -> bool:
    """Whether a line of JSON has a user and an item by the names that are guessed."""
    try:
        value = json.loads(line)
    except ValueError:
        return False
    return isinstance(value, dict) and all(guessed(role, list(value)) for role in ("user", "item"))


def header_of(line: str, separator: str = ",") -> list[str]:
    """The names in the header of a CSV file; none if its quoting is broken."""
    try:
        return [name.strip() for name in next(csv.reader([line], delimiter=separator, strict=True))]
    except (csv.Error, StopIteration):
        return []


def _by_line(line: str) -> Content | None:
    if line.startswith("{"):
        keys = set(keys_of(line))
        own = names_user_and_item(line)
        for wanted, unwanted, content in _BY_KEYS:
            # An event may say of its item what a table of items does.
            event = content.role == "interactions" or not own
            if wanted <= keys and not unwanted & keys and event:
                return content
        return Content("jsonl") if own else None
    tabbed = line.split("\t")
    if all(":" in field and field.rpartition(":")[2] in FIELD_TYPES for field in tabbed):
        return Content("recbole")
    header = header_of(line)
    for names, content in _BY_HEADER.items():
        if tuple(header[: len(names)]) == names:
            return content
    if "::" in line or (len(tabbed) == 4 and all(map(_NUMBER.fullmatch, tabbed))):
        return Content("movielens")
    separator = max(SEPARATORS, key=line.count)
    if separator in line and not any(_NUMBER.fullmatch(f) for f in line.split(separator)):
        return Content("csv")
    words = line.split()
    if len(words) > 1 and all(map(_SEQUENCE_ID.fullmatch, words)):
        return Content("sequences")
    return None


@dataclass(frozen=True, slots=True)
class Source:
    """Files that belong together."""

    format: Format
    interactions: Path
    items: Path | None = None
    users: Path | None = None


# What is looked into; a folder may hold anything.
_SUFFIXES = (".dat", ".data", ".json", *_BY_SUFFIX, *_NAMED_BY_SUFFIX)
# Tables of anybody's own, after which published data need not be asked.
_GENERAL = ("csv", "jsonl", "parquet")


def find_source(path: str | Path, format: Format = "auto") -> Source:
    """The file of interactions in a folder, and the tables of items and users of its format.

    Subfolders and files with unknown suffixes are not looked into. Published data go before
    tables that only look like interactions (MovieLens' ``tags.csv``).

    Args:
        path: The folder; a file stands for itself alone.
        format: Only files of this format.

    Raises:
        DataError: unless there is exactly one file of interactions, and at most one table of items
            and of users; lists what was recognised.
    """
    path = Path(path)
    if not path.is_dir():
        return Source(recognise(path).format if format == "auto" else format, path)
    found: dict[Path, Content] = {}
    for file in sorted(path.iterdir()):
        name = file.name.lower().removesuffix(".gz")
        if file.is_file() and not name.startswith(".") and name.endswith(_SUFFIXES):
            try:
                content = recognise(file)
            except DataError:
                continue  # a README, an empty file: it is not listed as recognised
            # By their suffix alone JSON lines may be anything, logs and tables too.
            if content.format == "jsonl" and not names_user_and_item(
                _first_line(read_bytes(file, HEAD_BYTES))
            ):
                continue
            if format in ("auto", content.format):
                found[file] = content
    events = [file for file, content in found.items() if content.role == "interactions"]
    if {content.format for content in found.values()} & {"amazon", "yelp"}:
        # Published as JSON lines, too, and no more than a part: Yelp's tips.
        events = [file for file in events if found[file].format != "jsonl"]
    published = [file for file in events if found[file].format not in _GENERAL]
    events = published or events
    if len(events) != 1:
        problem = f"{len(events)} files of interactions" if events else "no file of interactions"
        raise DataError(f"{path}: is a directory with {problem}; {_recognised(found)}")
    format = found[events[0]].format
    tables: dict[Role, Path | None] = {"items": None, "users": None}
    for role in tables:
        files = [file for file, content in found.items() if content[:2] == (format, role)]
        if len(files) > 1:
            raise DataError(f"{path}: {len(files)} tables of {role}; {_recognised(found)}")
        tables[role] = files[0] if files else None
    return Source(format, events[0], **tables)


def _recognised(found: dict[Path, Content]) -> str:
    if not found:
        return "no file in it was recognised"
    names = [f"{file.name} ({content})" for file, content in found.items()]
    return f"recognised {listed(names)}; name one file"
