"""Fixtures of the tests inside host libraries."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture
def in_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory, since hosts write logs and checkpoints there."""
    monkeypatch.chdir(tmp_path)
    return tmp_path
