"""The import law: a room imports lower floors only, and a room's modules form no circle."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import atjt_ext

PACKAGE = Path(atjt_ext.__file__).parent
FLOORS = {
    "ops": 1,
    "data": 1,
    "corruption": 2,
    "models": 2,
    "evaluation": 3,
    "recognition": 4,
    "training": 5,
    "runs": 6,
    "integrations": 6,
    "report": 7,
    "experiment": 7,
    "cli": 8,
}
# Lower floors that a room has no business with.
NARROWER = {"corruption": {"ops"}, "models": {"data"}}
LOOSE = {"__init__.py", "__main__.py", "_C.pyi", "py.typed"}  # and the compiled module


def imported(package: Path, file: Path) -> Iterator[tuple[str, ...]]:
    """Modules of the package that ``file`` imports anywhere, as paths of names."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    here = file.relative_to(package).parts[:-1]
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.level:
            base = here[: len(here) - node.level + 1] + tuple((node.module or "").split("."))
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("atjt_ext"):
            base = tuple(str(node.module).split("."))[1:]
        else:
            continue
        base = tuple(part for part in base if part)
        for alias in node.names:
            longer = package.joinpath(*base, alias.name)
            is_module = longer.with_suffix(".py").exists() or longer.is_dir()
            yield (*base, alias.name) if is_module else base


def offences(package: Path) -> list[str]:
    """Imports of the same or a higher floor, and imports of a circle, one line each."""
    found, graph = [], {}
    for file in sorted(package.rglob("*.py")):
        name = file.relative_to(package).with_suffix("").parts
        if len(name) == 1:
            continue
        name = name[:-1] if name[-1] == "__init__" else name
        graph[name] = {target for target in imported(package, file) if target != name}
        for target in graph[name]:
            room, other = name[0], target[0] if target else ""
            lower = FLOORS.get(other, 9) < FLOORS[room]
            allowed = other in NARROWER[room] if room in NARROWER else lower
            if room != other and not allowed:
                found.append(f"{'.'.join(name)} imports {'.'.join(target) or 'the front door'}")
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        found.append("circle: " + " <- ".join(".".join(part) for part in error.args[1]))
    return found


def test_every_arrow_points_down() -> None:
    assert offences(PACKAGE) == []


def test_the_package_holds_rooms_only() -> None:
    folders = {one.name for one in PACKAGE.iterdir() if one.is_dir() and one.name[0] != "_"}
    files = {one.name for one in PACKAGE.iterdir() if one.is_file() and one.suffix != ".so"}
    assert (folders, files) == (set(FLOORS), LOOSE)


@pytest.mark.parametrize(
    "line", ["from ..training import trainer", "from ..data import splits\nfrom . import upper"]
)
def test_a_planted_upward_import_or_circle_is_found(tmp_path: Path, line: str) -> None:
    for name, text in {"data/lower": line, "data/upper": "from . import lower"}.items():
        path = tmp_path / f"{name}.py"
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
    assert offences(tmp_path)
