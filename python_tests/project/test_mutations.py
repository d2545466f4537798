"""The list of deliberate breaks fits the sources as they are."""

from __future__ import annotations

from pathlib import Path

import pytest

from helpers.mutations import MUTATIONS, ROOT, Mutation


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.name)
def test_a_break_applies_to_the_sources_and_names_its_tests(
    mutation: Mutation, tmp_path: Path
) -> None:
    copy = tmp_path / mutation.file
    copy.parent.mkdir(parents=True)
    copy.write_text((ROOT / mutation.file).read_text())
    mutation.apply(tmp_path)
    assert copy.read_text() != (ROOT / mutation.file).read_text()
    assert mutation.tests
    for test in mutation.tests:
        name, _, function = test.partition("::")
        assert f"def {function}(" in (ROOT / "python_tests" / name).read_text()


def test_a_break_that_fits_nowhere_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.h").write_text("x + 1; x + 1;")
    for old in ("x + 2", "x + 1"):
        with pytest.raises(ValueError, match="must hold"):
            Mutation("twice or never", "a.h", old, "y", "cpu", ("test_a.py",)).apply(tmp_path)
