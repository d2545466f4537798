"""Files of random tests: what a reader makes of them."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from atjt_ext.data import DataError, read_interactions
from atjt_ext.data.readers import streams

Row = tuple[str, str, int]

SIZES = st.sampled_from([1 << 25] * 12 + [1, 9, 40])  # of chunks; each chunk takes a millisecond


@contextmanager
def chunks_of(size: int) -> Iterator[None]:
    usual = streams.CHUNK_BYTES
    streams.CHUNK_BYTES = size
    try:
        yield
    finally:
        streams.CHUNK_BYTES = usual


def outcome(
    path: Path, content: bytes, size: int = 1 << 25, **options: Any
) -> tuple[list[Row] | str, list[str]]:
    """The rows as read, or the message of the refusal; and the warnings."""
    path.write_bytes(content)
    with chunks_of(size), warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            frame = read_interactions(path, **options).frame
        except DataError as error:
            message = str(error)
            assert message.startswith(f"{path}:")
            assert not {"\n", "\r", "\x1b"} & set(message)
            return message, []
    columns = ["user", "item", *(["time"] if "time" in frame.columns else [])]
    return frame.select(columns).rows(), [str(one.message) for one in caught]
