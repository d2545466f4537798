"""The documentation keeps up: Python blocks run, command lines parse, links lead to files."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from atjt_ext.cli.main import parse
from helpers.documents import DOCS, PAGES, README, REPOSITORY, blocks, commands, run_block

PYTHON = [
    (page, code) for page in (README, *sorted(DOCS.glob("*.md"))) for code in blocks(page, "python")
]
ALONE = [(page, code) for page, code in PYTHON if page.stem not in {"export", "logging"}]
# Reports repeat a command with other values: one for every set of options is enough.
REPORTS = {
    frozenset(re.findall(r"--\w+", " ".join(command))): command
    for page in sorted((DOCS / "results").glob("*.md"))
    for command in commands(page)
}
COMMANDS = [
    *(command for page in PAGES if page.parent.name != "results" for command in commands(page)),
    *REPORTS.values(),
]


def named(page: Path) -> str:
    return page.relative_to(REPOSITORY).as_posix()


@pytest.fixture
def folder_with_ratings(
    tmp_path: Path, ratings_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copy(ratings_file, tmp_path / "ratings.csv")
    (tmp_path / "grid.yaml").write_text(blocks(DOCS / "evidence.md", "yaml")[0])
    monkeypatch.chdir(tmp_path)


@pytest.mark.usefixtures("folder_with_ratings")
@pytest.mark.filterwarnings("ignore::atjt_ext.training.trainer.WeightsCollapsedWarning")
@pytest.mark.parametrize(("page", "code"), ALONE, ids=[named(page) for page, _ in ALONE])
def test_a_python_block_runs(page: Path, code: str) -> None:
    run_block(code, page)


@pytest.mark.usefixtures("folder_with_ratings")
@pytest.mark.parametrize("arguments", COMMANDS, ids=lambda arguments: " ".join(arguments)[:60])
def test_a_command_line_parses(arguments: list[str]) -> None:
    command, _ = parse(arguments)
    assert command.__name__ == f"atjt_ext.cli.{arguments[0]}"


def test_the_readme_is_short_and_shows_both_ways_in() -> None:
    text = README.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 200
    assert text.index("make demo") < text.index("make test") < text.index("pip install")
    assert len(blocks(README, "python")) >= 2
    assert len(commands(README)) >= 5


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_a_link_to_a_file_leads_somewhere(page: Path) -> None:
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.S | re.M)
    for target in re.findall(r"\]\(([^)\s#]+)[^)]*\)", text):
        if not target.startswith(("http://", "https://", "mailto:")):
            found = (page.parent / target).resolve()
            assert found.exists(), target
            # A folder is a listing on GitHub and no page of the site.
            assert found.is_file() or not found.is_relative_to(DOCS), target
