"""Reading the files of a run: each is checked before it is used, and a message names the file."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import polars as pl

from ..data.errors import listed, shown
from ..data.manifest import DamagedFileError, lists, manifest_path, open_checked
from ..training.checkpoint import CheckpointError
from .checks import FORMAT

__all__ = ["Columns", "content", "naming", "parse_json", "read_json", "read_table", "stands"]

Columns = Mapping[str, pl.DataType | type[pl.DataType]]


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Within, an error about values becomes a CheckpointError that names ``path``."""
    try:
        yield
    except (ValueError, TypeError, KeyError) as error:
        text = f"it lacks {error}" if isinstance(error, KeyError) else " ".join(str(error).split())
        raise CheckpointError(text if str(path) in text else f"{path}: {text}") from error


def content(path: Path) -> bytes:
    """The content of a file of a run, as it was written.

    Raises:
        CheckpointError: the file is missing, can't be read, or differs from what was written.
    """
    if path.exists() and not path.is_file():  # a pipe would wait for ever
        raise CheckpointError(f"{path}: a folder, a pipe or a device, wanted a file")
    try:
        with open_checked(path) as file:
            data = file.read()
    except DamagedFileError as error:
        raise CheckpointError(str(error)) from error
    except FileNotFoundError as error:
        raise CheckpointError(f"{path}: no such file") from error
    except OSError as error:
        raise CheckpointError(f"{path}: can't be read ({error.strerror})") from error
    if not manifest_path(path.parent).exists():
        _require_no_manifest(path.parent)
    return data


def stands(path: Path) -> bool:
    """Whether a run has the file ``path``: it exists, or the manifest says that it must."""
    with naming(path):
        return path.is_file() or lists(path)


def read_json(path: Path) -> Any:
    """The value in a JSON file of a run; raises CheckpointError if there is none."""
    return parse_json(content(path), str(path))


def parse_json(text: bytes | str, place: str) -> Any:
    """The JSON value of ``text`` from ``place``; raises CheckpointError for anything else."""
    try:
        return json.loads(text, parse_constant=_no_number)
    except RecursionError as error:
        raise CheckpointError(f"{place}: JSON with too many levels") from error
    except ValueError as error:
        raise CheckpointError(f"{place}: not JSON ({error})") from error


def read_table(
    path: Path,
    columns: Columns,
    *,
    optional: Columns | None = None,
    nullable: tuple[str, ...] = (),
) -> pl.DataFrame:
    """The table in a Parquet file of a run.

    Args:
        path: the file; no character of its name is a pattern.
        columns: the columns of the table and their types, in order.
        optional: columns that may follow.
        nullable: the columns that may hold nulls.

    Raises:
        CheckpointError: the file can't be read, or holds other columns, types or nulls.
    """
    data = content(path)
    try:
        frame = pl.read_parquet(io.BytesIO(data))
    except (pl.exceptions.PolarsError, OSError, ValueError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise CheckpointError(f"{path}: not readable ({reason})") from error
    except pl.exceptions.PanicException as error:
        raise CheckpointError(f"{path}: not readable (damaged Parquet)") from error
    wanted = {**columns, **(optional or {})}
    expected = [name for name in wanted if name in columns or name in frame.columns]
    if frame.columns != expected:
        raise CheckpointError(
            f"{path}: columns {listed(expected)} wanted, found {listed(frame.columns)}"
        )
    for name, kind in wanted.items():
        if name not in frame.columns:
            continue
        if frame.schema[name] != kind:
            raise CheckpointError(
                f"{path}: column {shown(name)} must be {kind}, is {frame.schema[name]}"
            )
        if name not in nullable and frame[name].null_count():
            raise CheckpointError(f"{path}: column {shown(name)} has nulls")
    return frame


def _require_no_manifest(folder: Path) -> None:
    """Raises CheckpointError if the run in ``folder`` had a manifest, which is missing."""
    try:
        values = json.loads((folder / "config.json").read_bytes())
    except (OSError, ValueError, RecursionError):  # no run, or one whose reader says what is wrong
        return
    if isinstance(values, dict) and values.get("format") == FORMAT:
        raise CheckpointError(
            f"{manifest_path(folder)}: missing, so the files of this run can't be checked; a copy "
            "of a run needs its whole folder"
        )


def _no_number(name: str) -> None:
    raise ValueError(f"{name} is no JSON number")
