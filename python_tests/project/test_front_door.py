"""``import atjt_ext``: light, whole for type checkers, and kind to former module paths."""

from __future__ import annotations

import ast
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

import atjt_ext
from atjt_ext.cli._moved import MOVED
from atjt_ext.cli.main import COMMANDS

BLOCK = """
import sys

class Blocked:
    @staticmethod
    def find_spec(name, path=None, target=None):
        if name.partition(".")[0] in {names}:
            raise {error}(name)

sys.meta_path.insert(0, Blocked)
"""


def python_without(names: set[str], code: str, *, error: str = "ModuleNotFoundError") -> str:
    """The output of ``code`` in a fresh Python in which importing ``names`` raises ``error``."""
    code = BLOCK.format(names=names, error=error) + code
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_operations_and_losses_need_torch_and_numpy_only() -> None:
    python_without(
        {"polars", "jsonargparse", "rich", "jinja2", "markupsafe", "docstring_parser", "yaml"},
        "import pkgutil, importlib, torch, atjt_ext.losses, atjt_ext.ops as ops\n"
        "for one in pkgutil.walk_packages(ops.__path__, 'atjt_ext.ops.'):\n"
        "    importlib.import_module(one.name)\n"
        "loss = atjt_ext.losses.ReweightedCrossEntropyLoss()\n"
        "assert loss(torch.zeros(2, 3), torch.tensor([0, 2])).isfinite()\n"
        "assert isinstance(loss, atjt_ext.ReweightedCrossEntropyLoss)\n"
        "atjt_ext.build_info()",
    )


def test_the_package_itself_and_its_version_need_nothing() -> None:
    blocked = {"torch", "numpy", "polars", "jsonargparse", "rich", "jinja2"}
    code = "import atjt_ext; dir(atjt_ext); print(atjt_ext.__version__)"
    assert python_without(blocked, code, error="AssertionError").split() == [
        atjt_ext.build_info()["version"]
    ]


def test_help_version_and_wrong_calls_are_answered_without_torch() -> None:
    calls = [["--help"], ["--version"], ["magic"], *([one, "--epohcs", "3"] for one in COMMANDS)]
    calls += [["train", "a.csv", "--model=din", "--num_heads=2"], ["train", "a", "--model", "x"]]
    code = """
import contextlib, io
from atjt_ext.cli import main
for call in CALLS:
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            status = main(call)
        except SystemExit as ended:
            status = ended.code
    print(status, *(one.getvalue().replace("\\n", " ") for one in (out, err)), sep="|")
""".replace("CALLS", repr(calls))
    told = python_without({"torch", "polars"}, code, error="AssertionError").splitlines()
    assert len(told) == len(calls)
    for command in COMMANDS:
        assert command in told[0]
    assert told[1].startswith(f"0|atjt_ext {atjt_ext.__version__}")
    assert told[2].startswith("2||error: there is no command magic")
    for command, line in zip(COMMANDS, told[3:], strict=False):
        assert line.startswith("2||error: there is no option --epohcs")
        assert f"(atjt {command} --help" in line
        close = command in ("demo", "train", "experiment")
        assert ("did you mean --epochs?" in line) == close
    assert "--num_heads of this model, it is one of sasrec, fearec, s3rec" in told[-2]
    assert "--model must be one of sasrec, gru4rec" in told[-1]


# ---- names ------------------------------------------------------------------------------------


def test_type_checkers_and_python_see_the_same_names_in_the_same_places() -> None:
    tree = ast.parse(Path(atjt_ext.__file__).read_text(encoding="utf-8"))
    (block,) = [
        node
        for node in tree.body
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
    ]
    typed = {
        alias.asname: (node.module, alias.name)
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    # `X as X` is what re-exports a name under the strict rules of mypy and pyright.
    assert "__version__: str" in map(ast.unparse, block.body)
    assert {*typed, "__version__"} == {*atjt_ext.__all__, "_C", "losses"}
    assert set(typed) <= set(dir(atjt_ext))
    del typed["losses"]  # at runtime a module of its own that finds its names in ops.losses
    for name, (module, inside) in typed.items():
        there = getattr(import_module(f"atjt_ext.{module or 'ops._native'}"), inside)
        assert getattr(atjt_ext, name) is there, name


def test_a_misspelt_name_is_an_error_for_type_checkers_too() -> None:
    with pytest.raises(AttributeError, match="module 'atjt_ext' has no attribute 'JointTrianer'"):
        atjt_ext.JointTrianer  # noqa: B018
    tree = ast.parse(Path(atjt_ext.__file__).read_text(encoding="utf-8"))
    # A module's __getattr__ that a type checker sees would make every name Any.
    assert "__getattr__" not in {getattr(node, "name", None) for node in tree.body}


def test_a_missing_dependency_of_the_command_line_is_one_line() -> None:
    code = """
import contextlib, io
from atjt_ext.cli.main import main
with contextlib.redirect_stderr(io.StringIO()) as shown:
    status = main(["info"])
print(status, shown.getvalue())
"""
    said = python_without({"jsonargparse"}, code)
    assert said.startswith("1 error: ")
    assert "jsonargparse" in said
    assert "pip install atjt_ext" in said


# ---- former module paths ----------------------------------------------------------------------


@pytest.mark.parametrize("old", MOVED)
def test_an_old_module_has_its_names_and_says_where_they_are(old: str) -> None:
    homes = MOVED[old].split()
    module = import_module(f"atjt_ext.{old}")
    assert module.__name__ == f"atjt_ext.{old}"
    for home in homes:
        there = import_module(f"atjt_ext.{home}")
        name, value = next((k, v) for k, v in vars(there).items() if k[:2] != "__")
        if old == "losses":
            assert getattr(module, name) is value
        elif home == homes[0]:
            with pytest.warns(DeprecationWarning, match=f"is now atjt_ext.{home}.{name};"):
                assert getattr(module, name) is value


def test_a_name_that_left_its_module_is_found_and_the_caller_is_named() -> None:
    with pytest.warns(
        DeprecationWarning, match=r"is now atjt_ext\.runs\.config\.RunConfig"
    ) as told:
        from atjt_ext.config import RunConfig
    assert told[0].filename == __file__
    assert RunConfig is import_module("atjt_ext.runs.config").RunConfig
    with pytest.warns(DeprecationWarning, match=r"is now atjt_ext\.evaluation\.auc\.auc"):
        from atjt_ext.metrics import auc  # noqa: F401
    with pytest.raises(ImportError, match="cannot import name 'nonsense'"):
        from atjt_ext.trainer import nonsense  # noqa: F401
    with pytest.raises(ModuleNotFoundError, match=r"atjt_ext\.nonsense"):
        import_module("atjt_ext.nonsense")


def test_modules_that_became_rooms_keep_their_names() -> None:
    from atjt_ext.cli import main
    from atjt_ext.evaluation import evaluate, full_ranks, top_k
    from atjt_ext.runs import (
        build_trainer,
        compare_runs,
        evaluate_run,
        load_trainer,
        sampled_test,
        train_run,
        trainer_for,
    )

    assert all(map(callable, (main, evaluate, full_ranks, top_k, build_trainer, compare_runs)))
    assert all(map(callable, (evaluate_run, load_trainer, sampled_test, train_run, trainer_for)))
