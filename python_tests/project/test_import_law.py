"""The import law: a room imports lower floors only, and no imports form a circle."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import atjt_ext

ROOMS: dict[str, tuple[int, set[str] | None]] = {  # floor; lower rooms, where not all
    "ops": (1, None),
    "data": (1, None),
    "corruption": (2, {"ops"}),
    "models": (2, None),
    "evaluation": (3, {"ops", "data", "models"}),
    "recognition": (4, None),
    "training": (5, None),
    "runs": (6, None),
    "integrations": (6, None),
    "report": (7, None),
    "experiment": (7, None),
    "cli": (8, None),
}


def imported(package: Path, file: Path) -> Iterator[str]:
    """The package's modules that ``file`` imports, in functions and for type checkers too."""
    here = ["atjt_ext", *file.relative_to(package).parts[:-1]]
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        base = []
        if isinstance(node, ast.ImportFrom):
            above = here[: len(here) + 1 - node.level] if node.level else []
            base = [*above, *filter(None, [node.module])]
        for alias in node.names if isinstance(node, ast.Import | ast.ImportFrom) else []:
            top, *parts = ".".join([*base, alias.name]).split(".")
            path = package.joinpath(*parts)
            is_module = path.is_dir() or path.with_suffix(".py").exists()
            if top == "atjt_ext":
                yield ".".join(parts if is_module else parts[:-1])


def offences(package: Path) -> list[str]:
    """The imports that break the law, one line each."""
    found, graph = [], {}
    for file in package.glob("*/**/*.py"):
        module = ".".join(file.relative_to(package).with_suffix("").parts)
        module, room = module.removesuffix(".__init__"), module.partition(".")[0]
        graph[module] = set(imported(package, file)) - {module}
        floor, narrower = ROOMS[room]
        allowed = narrower or {other for other, (below, _) in ROOMS.items() if below < floor}
        allowed = allowed | ({room, ""} if room == "cli" else {room})  # "": the front door
        names = sorted(graph[module])
        found += [f"{module} imports {x!r}" for x in names if x.partition(".")[0] not in allowed]
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        found.append("a circle: " + " <- ".join(error.args[1]))
    return sorted(found)


def test_the_package_is_its_rooms_and_every_import_leads_down() -> None:
    package = Path(atjt_ext.__file__).parent
    kept = {path.name for path in package.iterdir() if path.suffix not in {".so", ".pyd"}}
    loose = {"__init__.py", "__main__.py", "_C.pyi", "py.typed"}
    assert kept - {"__pycache__"} == loose | set(ROOMS)
    assert offences(package) == []


@pytest.mark.parametrize("line", ["import atjt_ext.cli", "from ..runs import x", "from . import b"])
def test_a_planted_upward_import_or_circle_is_found(tmp_path: Path, line: str) -> None:
    (tmp_path / "cli").mkdir()
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "a.py").write_text(f"if TYPE_CHECKING:\n  {line}")
    (tmp_path / "data" / "b.py").write_text("def later():\n  from . import a")
    assert len(offences(tmp_path)) == 1
