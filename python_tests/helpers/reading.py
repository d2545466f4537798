"""Files made for a test, and what reading them gives."""

from __future__ import annotations

from pathlib import Path

import pytest

from atjt_ext.data import DataError, Interactions


def write(folder: Path, name: str, content: str | bytes) -> Path:
    """A file with this content, as it stands."""
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def column(interactions: Interactions, name: str) -> list[object]:
    """The values of a column."""
    return interactions.frame[name].to_list()


def refusal(call: object, *args: object, **kwargs: object) -> str:
    """The one line with which ``call`` refuses what it is to read."""
    with pytest.raises(DataError) as caught:
        call(*args, **kwargs)  # type: ignore[operator]
    message = str(caught.value)
    assert "\n" not in message
    return message
