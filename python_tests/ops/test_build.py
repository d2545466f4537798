"""The build: its report, import cost, the stub of the native module, the folders of csrc."""

from __future__ import annotations

import ast
import doctest
import json
import re
import shutil
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from types import FunctionType

import pytest
import torch

import atjt_ext
from atjt_ext import _C, ops

STUB = Path(atjt_ext.__file__).parent / "_C.pyi"


def run_python(code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stderr == ""
    return done.stdout


def test_build_info_says_what_was_built() -> None:
    info = atjt_ext.build_info()
    assert info["version"] == atjt_ext.__version__
    assert info["cpu_isas"][0] == "baseline"
    assert info["cpu_isa"] in info["cpu_isas"]
    assert (info["cuda_architectures"] is None) == (info["cuda_toolkit"] is None)
    if info["cuda_architectures"] is None or not torch.cuda.is_available():
        assert not info["gpu_usable"]


def test_import_is_silent_and_loads_no_plotting_and_no_cuda_context() -> None:
    out = run_python(
        "import sys, json, torch, atjt_ext\n"
        "print(json.dumps([sorted(sys.modules), torch.cuda.is_initialized()]))"
    )
    modules, cuda_is_initialized = json.loads(out)
    assert not {"matplotlib", "pytest", "atjt_ext.ops.reference"} & set(modules)
    assert not cuda_is_initialized


def test_import_costs_much_less_than_that_of_torch() -> None:
    # A ratio of CPU times, whatever the load. The best of three: files may be cold at first.
    code = (
        "from time import process_time as now\n"
        "start = now(); import torch; middle = now(); import atjt_ext\n"
        "print((now() - middle) / (middle - start))"
    )
    assert min(float(run_python(code)) for _ in range(3)) < 0.4


def test_every_compiled_level_has_a_name_and_unknown_ones_are_refused() -> None:
    for name in ("avx1024", "x86-64-v4", ""):
        with pytest.raises(ValueError, match="name must be a compiled level"):
            _C.use_cpu_isa(name)


def test_a_missing_native_module_says_how_to_build_it(tmp_path: Path) -> None:
    package = tmp_path / "atjt_ext"
    (package / "ops").mkdir(parents=True)
    (package / "ops" / "__init__.py").touch()  # the real one imports torch
    for name in ("__init__.py", "ops/_native.py"):
        source = Path(atjt_ext.__file__).parent / name
        (package / name).write_text(source.read_text())
    code = (
        # An editable installation finds the package before sys.path does.
        "import sys; sys.meta_path[:] = [f for f in sys.meta_path if 'ditable' not in repr(f)]\n"
        f"sys.path[:] = [{str(tmp_path)!r}] + [p for p in sys.path if 'site-packages' not in p]\n"
        "try:\n    from atjt_ext import build_info\nexcept ImportError as error:\n    print(error)"
    )
    assert "build it with: pip install ." in run_python(code)


def test_sources_without_a_compiled_module_use_the_installed_one(tmp_path: Path) -> None:
    # As in a checkout after `pip install .`: Python finds the sources first.
    packages = [one.locate_file("atjt_ext") for one in metadata.distributions(name="atjt_ext")]
    if Path(_C.__file__).parent.resolve() not in [Path(str(one)).resolve() for one in packages]:
        pytest.skip("the compiled module lies beside the sources and is not the installed one")
    shutil.copytree(
        Path(atjt_ext.__file__).parent,
        tmp_path / "atjt_ext",
        ignore=shutil.ignore_patterns("_C.*", "__pycache__"),
    )
    code = (
        "import sys; sys.meta_path[:] = [f for f in sys.meta_path if 'ditable' not in repr(f)]\n"
        f"sys.path.insert(0, {str(tmp_path)!r})\n"
        "import atjt_ext; from atjt_ext import _C\n"
        "print(atjt_ext.__file__, _C.__file__)"
    )
    sources, native = run_python(code).split()
    assert sources.startswith(str(tmp_path))
    assert Path(native).samefile(_C.__file__)


def test_no_op_includes_another_op() -> None:
    csrc = Path(__file__).parents[2] / "csrc"
    includes = {
        (path, included)
        for path in csrc.glob("*/**/*.*")
        if path.suffix in {".h", ".cpp", ".cu", ".cuh"} and "third_party" not in path.parts
        for included in re.findall(r'#include "(.*)"', path.read_text())
    }
    assert len(includes) > 100
    for path, included in includes:
        assert (csrc / included).is_file()
        assert included.partition("/")[0] in {path.relative_to(csrc).parts[0], "common"}


OPERATIONS = [op for op in map(vars(ops).get, ops.__all__) if isinstance(op, FunctionType)]


@pytest.mark.parametrize("name", sorted({operation.__module__ for operation in OPERATIONS}))
def test_the_examples_in_the_docstrings_are_true(name: str) -> None:
    results = doctest.testmod(sys.modules[name])
    assert results.attempted > 0
    assert results.failed == 0


def parameters(function: ast.FunctionDef) -> tuple[list[str], list[str], list[bool]]:
    arguments = function.args
    both = arguments.args + arguments.kwonlyargs
    optional = ["None" in ast.unparse(a.annotation) for a in both if a.annotation is not None]
    return [a.arg for a in arguments.args], [a.arg for a in arguments.kwonlyargs], optional


def test_the_stub_of_the_native_module_is_up_to_date() -> None:
    stub = {
        node.name: parameters(node)
        for node in ast.parse(STUB.read_text()).body
        if isinstance(node, ast.FunctionDef)
    }
    native = {}
    for name, function in vars(_C).items():
        if not callable(function) or name.startswith("__"):
            continue
        signature = function.__doc__.splitlines()[0]  # pybind11 writes it there
        (node,) = ast.parse(f"def {signature}: ...").body
        assert isinstance(node, ast.FunctionDef)
        native[name] = parameters(node)
    assert stub == native
