"""The list of deliberate breaks fits the sources as they are, and as a formatter may leave them."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from mutations.mutation import MUTATIONS, Mutation, tokens

ROOT = Path(__file__).parents[2]


def words(source: str, file: str) -> list[str]:
    return [match[0] for match in tokens(source, file)]


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.name)
def test_a_break_fits_the_sources_and_names_its_tests(mutation: Mutation) -> None:
    source, file = (ROOT / mutation.file).read_text(), mutation.file
    broken = words(mutation.mutated(source), file)
    assert broken != words(source, file)
    one_a_line = mutation.mutated("\n".join(words(source, file)))
    assert words(one_a_line, file) == broken
    assert mutation.kernels in {"cpu", "cuda"}
    name, _, function = mutation.test.partition("::")
    assert f"def {function}(" in (ROOT / "python_tests" / "ops" / name).read_text()


@pytest.mark.parametrize("columns", [50, 160])
def test_a_break_fits_sources_of_another_line_length(columns: int) -> None:
    formatter = shutil.which("clang-format", path=Path(sys.executable).parent)
    if formatter is None:
        pytest.skip("clang-format is not installed")
    style = f"{{BasedOnStyle: LLVM, ColumnLimit: {columns}, IndentWidth: 3}}"
    cpp = [mutation for mutation in MUTATIONS if not mutation.file.endswith(".py")]
    for file in {mutation.file for mutation in cpp}:
        command = [formatter, f"--style={style}", str(ROOT / file)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        assert done.stdout != (ROOT / file).read_text()
        for mutation in cpp:
            if mutation.file == file:
                assert mutation.mutated(done.stdout) != done.stdout


@pytest.mark.parametrize("old", ["x + 2", "x + 1"])
def test_a_break_that_fits_nowhere_or_twice_is_refused(old: str) -> None:
    mutation = Mutation("twice or never", "a.h", "cpu", "test_a.py", old, "y")
    with pytest.raises(ValueError, match="must hold"):
        mutation.mutated("x + 1; x +\n1;  // x + 2")


def test_strings_and_comments_are_no_code() -> None:
    mutation = Mutation("a call", "a.h", "cpu", "test_a.py", "f(a, b);", "")
    source = 'g("f(a, b);");  // f(a, b);\n  f(a,  // why\n    /* f(a, b); */ b);\n'
    assert mutation.mutated(source) == 'g("f(a, b);");  // f(a, b);\n  \n'
