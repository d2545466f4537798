"""Lower bounds are versions that CI runs; commands need no newer pip than Python 3.10 brings."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
import yaml

tomllib = pytest.importorskip("tomllib", reason="Python 3.11 brings tomllib")

REPOSITORY = Path(__file__).parents[2]
OLDEST = REPOSITORY / "constraints-oldest.txt"
WORKFLOW = REPOSITORY / ".github" / "workflows" / "ci.yml"
EXTRAS = ("experiment", "track", "export")


def required() -> dict[str, str]:
    """The lower bound of each package that a user or a build needs; empty without one."""
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text("utf-8"))
    options = project["project"]["optional-dependencies"]
    listed = [*project["project"]["dependencies"], *project["build-system"]["requires"]]
    for requirement in [*listed, *(one for extra in EXTRAS for one in options[extra])]:
        assert re.fullmatch(r"[\w-]+>=[\d.]+", requirement), f"{requirement}: no tested lower bound"
    return dict(one.split(">=") for one in [*listed, *(o for e in EXTRAS for o in options[e])])


def parts(version: str) -> tuple[int, ...]:
    """``1.20.0`` and ``1.20`` alike."""
    numbers = [int(one) for one in version.split(".")]
    while numbers[-1] == 0:
        numbers.pop()
    return tuple(numbers)


def test_every_lower_bound_is_the_version_that_ci_runs() -> None:
    lines = [line for line in OLDEST.read_text("utf-8").splitlines() if not line.startswith("#")]
    oldest = dict(line.split("==") for line in lines)
    bounds = required()
    assert oldest.keys() == bounds.keys()
    assert {n: parts(v) for n, v in oldest.items()} == {n: parts(v) for n, v in bounds.items()}


def test_one_package_has_one_lower_bound() -> None:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text("utf-8"))["project"]
    bounds = required()
    for requirements in project["optional-dependencies"].values():
        for requirement in requirements:
            name = re.split("[>=[]", requirement)[0]
            if name in bounds:
                assert requirement == f"{name}>={bounds[name]}"


def test_the_table_of_dependencies_names_the_lower_bounds() -> None:
    table = (REPOSITORY / "docs" / "dependencies.md").read_text("utf-8")
    for name, bound in required().items():
        assert f"{name} >= {bound}" in table


@pytest.mark.skipif(not WORKFLOW.is_file(), reason="a source distribution has no workflows")
def test_ci_runs_the_oldest_and_the_newest_on_every_python() -> None:
    jobs = yaml.safe_load(WORKFLOW.read_text("utf-8"))["jobs"]
    runs = jobs["versions"]["strategy"]["matrix"]["include"]
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text("utf-8"))
    builds = project["tool"]["cibuildwheel"]["build"]
    pythons = [f"3.{one.removeprefix('cp3').removesuffix('-*')}" for one in builds]
    assert [r["python"] for r in runs if r["versions"] == "newest"] == pythons
    assert pythons[0] in [r["python"] for r in runs if r["versions"] == "oldest"]
    for run in runs:
        called = jobs["versions"]["steps"][-1]["run"].replace(
            "${{ matrix.versions }}", run["versions"]
        )
        assert called == f"bash .ci/versions {run['versions']}"


def test_versions_explains_itself_without_an_argument() -> None:
    done = subprocess.run([REPOSITORY / ".ci" / "versions"], capture_output=True, text=True)
    assert done.returncode == 2
    for kind in ("oldest", "newest", "oldest-besides-torch"):
        assert f".ci/versions {kind} " in done.stderr


def test_no_option_that_pip_23_0_lacks() -> None:
    skipped = {".venv", "build", "dist", "runs", ".git", ".mypy_cache", ".ruff_cache"}
    tops = [one for one in REPOSITORY.iterdir() if one.name not in skipped]
    found = [*tops, *(path for top in tops if top.is_dir() for path in top.rglob("*"))]
    kinds = {"", ".cmake", ".md", ".py", ".toml", ".txt", ".yml"}
    files = {path for path in found if path.is_file() and path.suffix in kinds}
    assert len(files) > 200
    calls = {}
    for path in files - {Path(__file__)}:
        text = path.read_text("utf-8").replace("\\\n", " ")
        # `-C` of `python -m build` is another option.
        wrong = re.findall(r"pip\b[^\n`]* -C\b[^\n`]*|--no-deps -C\b.*|pip, \"-C\"", text)
        if wrong:
            calls[path.relative_to(REPOSITORY).as_posix()] = wrong
    assert calls == {}
