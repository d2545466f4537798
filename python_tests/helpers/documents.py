"""The pages of the documentation, their code blocks and their command lines."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
DOCS = REPOSITORY / "docs"
README = REPOSITORY / "README.md"
PAGES = [
    *(README, REPOSITORY / "CHANGELOG.md", REPOSITORY / "examples" / "README.md"),
    *sorted(DOCS.rglob("*.md")),
]


def blocks(page: Path, language: str) -> list[str]:
    """The code blocks of a page in one language."""
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text("utf-8"), re.S | re.M)


def commands(page: Path) -> list[list[str]]:
    """The arguments of every ``atjt`` command line of a page."""
    lines = "".join(blocks(page, "bash")).replace("\\\n", " ").splitlines()
    found = (re.match(r"(?:atjt|python -m atjt_ext) (.*)", line) for line in lines)
    return [shlex.split(match[1], comments=True) for match in found if match]


def run_block(code: str, page: Path, **names: object) -> dict[str, object]:
    """Runs a Python block that may use ``names``; returns all names that it leaves."""
    exec(compile(code, str(page), "exec"), names)
    return names
