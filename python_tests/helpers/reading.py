"""Files for a test, their columns as read, and the messages of refusals."""

from __future__ import annotations

from pathlib import Path

import pytest

from atjt_ext.data import DataError, Interactions


def write(folder: Path, name: str, content: str | bytes) -> Path:
    """Writes a file with exactly this content."""
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def column(interactions: Interactions, name: str) -> list[object]:
    """The values of a column of the frame."""
    return interactions.frame[name].to_list()


def refusal(call: object, *args: object, **kwargs: object) -> str:
    """The message of the DataError that ``call`` raises; it must be one line."""
    with pytest.raises(DataError) as caught:
        call(*args, **kwargs)  # type: ignore[operator]
    message = str(caught.value)
    assert "\n" not in message
    return message
