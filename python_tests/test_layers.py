"""Who may import whom: what docs/architecture.md draws, read from the sources."""

from __future__ import annotations

import ast
import graphlib
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import atjt_ext
from layers import CONFINED, MAY_IMPORT

PACKAGE = Path(atjt_ext.__file__).parent
CSRC = Path(__file__).parents[1] / "csrc"


def _part(module: str) -> str:
    """``atjt_ext.data.batches`` -> ``data``; the package itself -> ``__init__``."""
    return [*module.split("."), "__init__"][1]


def imported_modules(source: str, module: str, *, is_package: bool = False) -> set[str]:
    """Absolute names of all that ``source`` imports, wherever in the file it does."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parents = module.split(".")
                parents = parents[: len(parents) - node.level + is_package]
                base = ".".join(filter(None, [*parents, base]))
            if base == "atjt_ext":  # from . import x: a module, or a name in __init__
                names = {alias.name for alias in node.names}
                modules = {name for name in names if name in MAY_IMPORT or name == "_C"}
                found |= {f"atjt_ext.{name}" for name in modules}
                if names - modules:
                    found.add("atjt_ext")
            else:
                found.add(base)
    return found


def violations(source: str, module: str, *, is_package: bool = False) -> set[str]:
    """What ``source`` imports and must not."""
    part = _part(module)
    bad = set()
    for name in imported_modules(source, module, is_package=is_package):
        if name.split(".")[0] == "atjt_ext":
            if _part(name) not in MAY_IMPORT[part]:
                bad.add(name)
        elif part not in CONFINED.get(name.split(".")[0], {part}):
            bad.add(name)
    return bad


def imported_on_import(source: str) -> set[str]:
    """Top-level packages that importing ``source`` imports itself."""

    def statements(body: list[ast.stmt]) -> Iterator[ast.stmt]:
        for node in body:
            if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
                yield from statements(node.orelse)
                continue
            yield node
            if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                for block in ("body", "orelse", "finalbody"):
                    yield from statements(getattr(node, block, []))
                for handler in getattr(node, "handlers", []):
                    yield from statements(handler.body)

    found = set()
    for node in statements(ast.parse(source).body):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module.split(".")[0])
    return found


def _modules() -> list[tuple[str, Path]]:
    found = []
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        found.append((name, path))
    return found


EVERY_MODULE = pytest.mark.parametrize(
    "path", [pytest.param(path, id=name) for name, path in _modules()]
)
NAMES = {path: name for name, path in _modules()}


@EVERY_MODULE
def test_modules_import_only_what_they_may(path: Path) -> None:
    is_package = path.name == "__init__.py"
    assert violations(path.read_text(), NAMES[path], is_package=is_package) == set()


@EVERY_MODULE
def test_what_is_optional_is_imported_only_when_used(path: Path) -> None:
    optional = {"matplotlib", "tensorboard", "safetensors", "onnx", "onnxscript", "onnxruntime"}
    assert not optional & imported_on_import(path.read_text())


def test_hosts_need_only_losses_and_recbole_files_no_host() -> None:
    folder = PACKAGE / "integrations"
    assert {path.stem for path in folder.glob("*.py")} == {
        "__init__",
        "recbole",
        "recbole_files",
        "rectools",
        "replay",
    }
    for path in folder.glob("*.py"):
        name = f"atjt_ext.integrations.{path.stem}"
        parts = {_part(used) for used in imported_modules(path.read_text(), name) if "atjt" in used}
        if path.stem == "recbole_files":
            assert "recbole" not in imported_modules(path.read_text(), name)
        else:
            assert parts <= {"integrations", "joint_loss", "losses"}, path.stem


def test_the_table_lists_the_parts_that_there_are() -> None:
    assert {_part(name) for name, _ in _modules()} == set(MAY_IMPORT)


def test_the_table_keeps_the_promises_of_the_architecture() -> None:
    assert {part for part, may in MAY_IMPORT.items() if "_C" in may} == {"_build", "ops"}
    assert {part for part, may in MAY_IMPORT.items() if "reference" in may} == {"reference"}
    assert {part for part, may in MAY_IMPORT.items() if "plots" in may} == {"demo", "experiment"}
    for part in ("models", "data", "metrics"):
        assert MAY_IMPORT[part] <= {part}
    assert not MAY_IMPORT["trainer"] & {"models", "noise"}


def test_no_part_depends_on_itself_through_others() -> None:
    # Of the package that commands are in they ask the version only, and it is loaded then.
    graph = {
        part: may - {part} - ({"__init__"} if part in ("cli", "export_command") else set())
        for part, may in MAY_IMPORT.items()
    }
    graphlib.TopologicalSorter(graph).prepare()  # raises CycleError


@pytest.mark.parametrize(
    ("module", "source", "bad"),
    [
        ("atjt_ext.trainer", "from .models import SASRec", "atjt_ext.models"),
        ("atjt_ext.trainer", "from .models.sasrec import SASRec", "atjt_ext.models.sasrec"),
        ("atjt_ext.trainer", "from atjt_ext.models import SASRec", "atjt_ext.models"),
        ("atjt_ext.trainer", "from . import models", "atjt_ext.models"),
        ("atjt_ext.trainer", "from atjt_ext import noise", "atjt_ext.noise"),
        ("atjt_ext.trainer", "import atjt_ext.reference", "atjt_ext.reference"),
        ("atjt_ext.trainer", "def f():\n    from .noise import X", "atjt_ext.noise"),
        ("atjt_ext.losses", "from . import _C", "atjt_ext._C"),
        ("atjt_ext.losses", "from atjt_ext._C import cross_entropy", "atjt_ext._C"),
        ("atjt_ext.losses", "from . import JointTrainer", "atjt_ext"),
        ("atjt_ext.data.batches", "from ..ops import random_replacement", "atjt_ext.ops"),
        ("atjt_ext.models.sasrec", "if X:\n    from ..data import Batch", "atjt_ext.data"),
        ("atjt_ext.trainer", "import polars as pl", "polars"),
        ("atjt_ext.cli", "from matplotlib.figure import Figure", "matplotlib.figure"),
    ],
)
def test_a_planted_violation_is_found(module: str, source: str, bad: str) -> None:
    assert violations(f"import torch\n{source}\n", module) == {bad}


def test_relative_imports_of_a_package_start_inside_it() -> None:
    source = "from .batches import Batch\nfrom ..ops import x"
    found = imported_modules(source, "atjt_ext.data", is_package=True)
    assert found == {"atjt_ext.data.batches", "atjt_ext.ops"}


@pytest.mark.parametrize(
    ("source", "at_once"),
    [
        ("import matplotlib.pyplot as plt", True),
        ("try:\n    from matplotlib.figure import Figure\nexcept ImportError:\n    pass", True),
        ("try:\n    x\nexcept NameError:\n    import matplotlib", True),
        ("class A:\n    import matplotlib", True),
        ("if TYPE_CHECKING:\n    import matplotlib", False),
        ("if TYPE_CHECKING:\n    pass\nelse:\n    import matplotlib", True),
        ("def f():\n    import matplotlib", False),
    ],
)
def test_imports_at_module_level_are_told_from_later_ones(source: str, at_once: bool) -> None:
    assert ("matplotlib" in imported_on_import(source)) is at_once


# ---- C++ ----------------------------------------------------------------------------------------

INCLUDE = re.compile(r"^\s*#\s*include\s*[<\"]([^>\"]+)[>\"]", re.MULTILINE)


def include_violations(name: str, source: str) -> set[str]:
    """Includes that the file ``name`` (relative to csrc) must not have."""
    forbidden = [r"torch/", r"ATen/", r"c10/", r"caffe2/"]
    if not name.startswith("bindings/"):
        forbidden += [r"pybind11/", r"Python\.h", r"dlpack", r"bindings/"]
    if "/" not in name:
        forbidden += [r"cpu/", r"cuda", r"cub/", r"thrust/", r"omp\.h", r"immintrin\.h"]
    if name.startswith("cpu/"):
        forbidden += [r"cuda", r"cub/", r"thrust/"]
    if name.startswith("cuda/"):
        forbidden += [r"cpu/", r"omp\.h", r"immintrin\.h"]
    pattern = re.compile("|".join(forbidden))
    return {include for include in INCLUDE.findall(source) if pattern.match(include)}


def _sources() -> list[str]:
    return sorted(
        path.relative_to(CSRC).as_posix()
        for path in CSRC.rglob("*")
        if path.suffix in {".h", ".cpp", ".cu", ".cuh"} and "third_party" not in path.parts
    )


@pytest.mark.parametrize("name", _sources())
def test_sources_include_only_what_they_may(name: str) -> None:
    assert include_violations(name, (CSRC / name).read_text()) == set()


def test_there_are_sources_on_all_sides() -> None:
    folders = {name.rpartition("/")[0] for name in _sources()}
    assert folders == {"", "bindings", "cpu", "cuda"}


@pytest.mark.parametrize(
    ("name", "include", "bad"),
    [
        ("philox.h", "#include <torch/torch.h>", True),
        ("philox.h", "#include <pybind11/pybind11.h>", True),
        ("philox.h", '#  include "cpu/parallel.h"', True),
        ("philox.h", "#include <cuda_runtime.h>", True),
        ("philox.h", '#include "bindings/tensor_arg.h"', True),
        ("philox.h", '#include "host_device.h"', False),
        ("philox.h", "// #include <torch/torch.h>", False),
        ("cpu/rows.cpp", '#include "cuda/launch.cuh"', True),
        ("cpu/rows.cpp", "#include <pybind11/pybind11.h>", True),
        ("cpu/rows.cpp", '#include "cpu/parallel.h"', False),
        ("cuda/rows.cu", '#include "cpu/parallel.h"', True),
        ("cuda/rows.cu", "#include <cuda_bf16.h>", False),
        ("bindings/module.cpp", "#include <torch/extension.h>", True),
        ("bindings/module.cpp", "#include <pybind11/stl.h>", False),
    ],
)
def test_a_planted_include_is_found(name: str, include: str, bad: bool) -> None:
    assert bool(include_violations(name, f"#include <cstdint>\n{include}\n")) is bad


# ---- what importing the package costs -----------------------------------------------------------


def test_importing_the_package_loads_no_extras_and_starts_no_cuda() -> None:
    code = (
        "import sys, torch, atjt_ext\n"
        "late = ['matplotlib', 'jsonargparse', 'pytest', 'atjt_ext.cli', 'atjt_ext.plots',"
        " 'atjt_ext.reference']\n"
        "print([name for name in late if name in sys.modules], torch.cuda.is_initialized())"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        cwd=PACKAGE.parent,
    )
    assert done.stdout.split() == ["[]", "False"]
