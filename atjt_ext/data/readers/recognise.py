"""The format and the role of a file, by its name and first line; the tables beside a file."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

import polars as pl

from ..errors import DataError, listed, shown
from ..interactions import Interactions
from .columns import guessed
from .packing import bare_name, name_inside
from .streams import HEAD_BYTES, glimpse, read_bytes, require_text

Role = Literal["interactions", "items", "users"]


@dataclass(frozen=True, slots=True)
class Sign:
    """Marks of one kind of file of a format; one mark is enough.

    A text holds several names, suffixes or keys with blanks between.
    """

    role: Role = "interactions"  # of the rows; items and users are tables of features
    names_or_suffixes: str = ""  # of files, in lower case
    magic: bytes | None = None  # the first bytes
    header: str = ""  # the first names in the header of a CSV file
    keys: str = ""  # of the first JSON object
    no_keys: str = ""  # that an object with ``keys`` must not have
    events: bool = False  # any JSON object that names a user and an item
    line: Callable[[str], bool] | None = None  # accepts a first line that is no JSON object
    doubt: Callable[[list[str]], str] | None = None  # what else the first lines may be, if anything
    last_resort_suffixes: str = ""  # the reader then names the fault of the first line


class FileFormat:
    """A format: its reader, and the signs of its files.

    Args:
        name: The name in ``atjt_ext.data.formats``.
        read: Reads interactions from a path; takes ``ColumnNames`` if ``named_columns``. The path
            may be a folder if there is a sign for tables of items or users.
        signs: One for each kind of file.
        files: The files of the format, for the table of ``read_interactions``.
        named_columns: Whether the user may name the columns.
        has_quotes: Whether the user may say what quotes mean.
        published: Whether published data have this format. In a folder such a file is preferred to
            tables that only look like interactions (MovieLens' ``tags.csv``).
        read_items: Reads a table of items.
    """

    def __init__(
        self,
        name: str,
        read: Callable[..., Interactions],
        *signs: Sign,
        files: str,
        named_columns: bool = False,
        has_quotes: bool = False,
        published: bool = True,
        read_items: Callable[[Path], pl.DataFrame] | None = None,
    ) -> None:
        self.name, self.read, self.signs, self.files = name, read, signs, files
        self.named_columns, self.has_quotes = named_columns, has_quotes
        self.published, self.read_items = published, read_items


class Content(NamedTuple):
    """The format and the role of a file, and the general format that reads it by named columns.

    ``named`` is ``None`` if the columns have no names, or if ``format`` itself takes names.
    """

    format: FileFormat
    role: Role
    named: Literal["csv", "jsonl"] | None = None

    def __str__(self) -> str:
        return f"{self.format.name} {self.role}"


_ARRAY = re.compile(r"\[\s*([\[{]|$)")
_NUMBER = re.compile(r"\s*[-+]?\d+(\.\d*)?([eE][-+]?\d+)?\s*")
_KEY = re.compile(r"""(?<!\\)(["'])(\w+)\1\s*:""")


class UnclearFormatError(DataError):
    """The first lines of a file fit several formats."""


def recognise(path: str | Path, formats: Iterable[FileFormat], *, unsure: bool = True) -> Content:
    """The content of a file, by its name (without the suffix of a packer), then by its first line.

    Args:
        path: The file.
        formats: The formats to ask.
        unsure: Whether a format that only the first line shows is refused if the first lines fit
            another one too.

    Raises:
        DataError: if both are unknown (names what was tried and shows the line), or as
            ``read_bytes``.
        UnclearFormatError: if ``unsure`` finds another format.
    """
    name = name_inside(path)
    suffix = Path(name).suffix
    head = read_bytes(path, HEAD_BYTES)
    signs = [(one, sign) for one in formats for sign in one.signs]
    for one, sign in signs:
        named = {name, suffix} & set(sign.names_or_suffixes.split())
        if named or (sign.magic and head.startswith(sign.magic)):
            return Content(one, sign.role)
    require_text(head, path)
    line = glimpse(path)
    if _ARRAY.match(line):
        raise DataError(
            f"{path}: holds one JSON array, wanted one object per line (JSON lines); "
            "jq -c '.[]' converts it"
        )
    keys, events, header = set(keys_of(line)), names_user_and_item(line), header_of(line)
    for one, sign in signs:
        if line.startswith("{"):
            # An event may hold features of its item, as a table of items does.
            fits = sign.role == "interactions" or not events
            found = sign.keys and keys >= set(sign.keys.split())
            if found and not keys & set(sign.no_keys.split()) and fits:
                return Content(one, sign.role, "jsonl")
            if sign.events and events:
                return Content(one, sign.role)
        elif sign.header and sign.header.split() == header[: len(sign.header.split())]:
            return Content(one, sign.role, "csv")
        elif sign.line and sign.line(line):
            doubt = sign.doubt(_lines(head)) if sign.doubt and unsure else ""
            if doubt:
                raise UnclearFormatError(f"{path}: {doubt}")
            return Content(one, sign.role)
    for one, sign in signs:
        if suffix in sign.last_resort_suffixes.split():
            return Content(one, sign.role)
    tried = [
        name
        for _, sign in signs
        for name in f"{sign.names_or_suffixes} {sign.last_resort_suffixes}".split()
    ]
    known = ", ".join(f"{one.name} ({one.files})" for one in dict.fromkeys(one for one, _ in signs))
    raise DataError(
        f"{path}: cannot tell the format; tried the name ({', '.join(tried)}) and the first line, "
        f"{shown(line)}, of the formats {known.replace('``', '')}; name the format"
    )


def _lines(head: bytes) -> list[str]:
    """The lines that are not blank, without one that the end of ``head`` may cut."""
    whole = head[: head.rfind(b"\n") + 1] or head
    lines = whole.decode("utf-8", "replace").split("\n")
    return [line for line in lines if line.strip()]


def is_number(field: str) -> bool:
    """Whether a field of text is a number."""
    return _NUMBER.fullmatch(field) is not None


def keys_of(line: str) -> list[str]:
    """The keys of an object in JSON or as a Python literal, and the keys of inner objects."""
    return [match[2] for match in _KEY.finditer(line)]


def names_user_and_item(line: str) -> bool:
    """Whether a line is a JSON object with a user and an item under names of ``GUESSES``."""
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        return False
    return isinstance(value, dict) and all(guessed(role, list(value)) for role in ("user", "item"))


def header_of(line: str) -> list[str]:
    """The names in the header of a CSV file; none if its quoting is broken."""
    try:
        return [name.strip() for name in next(csv.reader([line], strict=True))]
    except (csv.Error, StopIteration):
        return []


@dataclass(frozen=True, slots=True)
class Source:
    """Files that belong together."""

    format: FileFormat
    interactions: Path
    items: Path | None = None
    users: Path | None = None


# Files in a folder are opened only with these suffixes, or with the name of a sign.
_SUFFIXES = (".dat", ".data", ".json", ".jsonl", ".ndjson", ".csv", ".tsv")


def find_source(
    path: str | Path, formats: Sequence[FileFormat], only: FileFormat | None = None
) -> Source:
    """The file of interactions in a folder, and the tables of items and users of its format.

    Subfolders are not searched. For a path to a file, the source is this file in the first of
    ``formats``. With ``only``, files of other formats are ignored.

    Raises:
        UnclearFormatError: if the only candidates fit several formats.
        DataError: unless there is exactly one file of interactions, and at most one table of items
            and of users; lists what was recognised.
    """
    path = Path(path)
    if not path.is_dir():
        return Source(formats[0], path)
    signs = [sign for one in formats for sign in one.signs]
    endings = (*_SUFFIXES, *" ".join(sign.names_or_suffixes for sign in signs).split())
    found: dict[Path, Content] = {}
    unclear: list[UnclearFormatError] = []
    for file in sorted(path.iterdir()):
        name = bare_name(file)
        if file.is_file() and not name.startswith(".") and name.endswith(endings):
            try:
                content = recognise(file, formats, unsure=only is None)
            except UnclearFormatError as error:
                unclear.append(error)
                continue
            except DataError:
                continue  # a README, an empty file: not listed as recognised
            # JSON lines may be logs or tables; their suffix alone does not make them events.
            if content.format.name == "jsonl" and not names_user_and_item(glimpse(file)):
                continue
            if only in (None, content.format):
                found[file] = content
    events = [file for file, content in found.items() if content.role == "interactions"]
    if any(content.named == "jsonl" for content in found.values()):
        # Other JSON lines beside a published file belong to its data set (Yelp's tips).
        events = [file for file in events if found[file].format.name != "jsonl"]
    events = [file for file in events if found[file].format.published] or events
    if unclear and not events:
        raise unclear[0]
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
