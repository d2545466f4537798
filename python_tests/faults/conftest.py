"""Shared by the fault tests: little data, a run on it, and a warm process that starts commands."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from helpers.command_line import SMALL
from helpers.commands import Commands, commands


@pytest.fixture(scope="session")
def warm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Commands]:
    with commands(tmp_path_factory.mktemp("commands")) as made:
        yield made


@pytest.fixture(scope="session")
def a_run(warm: Commands, ratings_file: Path) -> Path:
    """A finished run without a baseline; tests change copies only."""
    folder = warm.folder / "a_run"
    warm.run("train", ratings_file, "--out", folder, "--no_baseline", *SMALL)
    return folder
