"""What the README shows is run: Python blocks as they stand, command lines against the parser."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from atjt_ext.cli.main import build_parser
from atjt_ext.data import simulate_interactions

README = Path(__file__).parents[2] / "README.md"
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```", README.read_text(encoding="utf-8"), re.S | re.M)
PYTHON = [code for language, code in BLOCKS if language == "python"]
COMMANDS = [
    line.split(" #")[0].strip()
    for language, code in BLOCKS
    if language == "bash"
    for line in code.splitlines()
    if line.startswith(("atjt ", "python -m atjt_ext "))
]


@pytest.fixture
def folder_with_ratings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    interactions = simulate_interactions(
        num_users=60, num_items=40, seed=1, mean_length=8, max_length=20
    )
    interactions.frame.select("user", "item", "time").write_csv(tmp_path / "ratings.csv")
    monkeypatch.chdir(tmp_path)


@pytest.mark.usefixtures("folder_with_ratings")
@pytest.mark.filterwarnings("ignore::atjt_ext.training.trainer.WeightsCollapsedWarning")
@pytest.mark.parametrize("code", PYTHON, ids=range(len(PYTHON)))
def test_every_python_block_runs(code: str) -> None:
    exec(compile(code, str(README), "exec"), {"__name__": "readme"})


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_line_is_understood(command: str) -> None:
    arguments = shlex.split(command.removeprefix("python -m atjt_ext").removeprefix("atjt"))
    options = build_parser(arguments).parse_args(arguments)
    assert options.subcommand == arguments[0]


def test_the_readme_shows_both_ways_in() -> None:
    assert len(PYTHON) >= 2
    assert len(COMMANDS) >= 5
    text = README.read_text(encoding="utf-8")
    assert text.index("make demo") < text.index("make test") < text.index("pip install")
