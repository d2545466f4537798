"""What ``import atjt_ext.data`` gives, and what it leaves unimported."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from typing import get_args

import polars as pl
import pytest

from atjt_ext import data
from atjt_ext.data import interactions_from_frame, read_interactions
from atjt_ext.data.formats import FORMATS, Format
from atjt_ext.data.readers.auto import READERS
from atjt_ext.runs.config import DataConfig


def test_type_checkers_and_programs_see_the_same_names() -> None:
    tree = ast.parse(Path(data.__file__).read_text(encoding="utf-8"))
    seen = {
        (node.module, alias.name)
        for block in tree.body
        if isinstance(block, ast.If)
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert {name: home for home, name in seen} == data._HOME_OF
    for home, name in seen:
        assert getattr(data, name) is getattr(import_module(f"atjt_ext.data.{home}"), name)
    modules = {path.stem for path in Path(data.__file__).parent.iterdir()}
    assert not modules & set(data.__all__)
    assert set(data.__all__) <= set(dir(data))
    with pytest.raises(AttributeError, match=r"'atjt_ext\.data' has no attribute 'nothing'"):
        _ = data.nothing


def test_names_of_formats_and_files_need_neither_torch_nor_polars() -> None:
    code = (
        "import sys; import atjt_ext.data.formats, atjt_ext.data.files, atjt_ext.data.errors; "
        "sys.exit(', '.join({'torch', 'polars', 'numpy'} & set(sys.modules)) or 0)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_format_is_a_module_and_a_line() -> None:
    sources = Path(data.__file__).parent.joinpath("readers").glob("*.py")
    with_format = [one.stem for one in sources if "\nFORMAT = " in one.read_text(encoding="utf-8")]
    assert sorted(with_format) == sorted(FORMATS.values())
    for name, reader in READERS.items():
        assert reader.name == name
        assert reader is import_module(f"atjt_ext.data.readers.{FORMATS[name]}").FORMAT
        assert reader.files
        row = rf"^    {name} +{re.escape(reader.files)}$"
        assert re.search(row, read_interactions.__doc__ or "", re.M)


def test_the_option_of_a_run_has_the_formats_of_the_table() -> None:
    assert get_args(Format) == ("auto", *FORMATS)
    for name in get_args(Format):
        assert DataConfig(format=name).format == name
    with pytest.raises(ValueError, match=r"format must be one of auto, recbole, .*, got 'excel'"):
        DataConfig(format="excel")


def test_an_unknown_column_argument_is_refused() -> None:
    with pytest.raises(TypeError, match=r"'users_column'; the arguments that name columns: user_c"):
        interactions_from_frame(pl.DataFrame({"user": ["a"]}), users_column="user")
