"""The include law of csrc: an op's folder includes its own files and common/, nothing else."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

CSRC = Path(__file__).parents[2] / "csrc"


def offences(csrc: Path) -> list[str]:
    """The quoted includes that leave their folder, one line each."""
    found = []
    for file in sorted(csrc.glob("*/**/*")):
        folder = file.relative_to(csrc).parts[0]
        if file.suffix not in {".h", ".cpp", ".cu", ".cuh"} or folder == "third_party":
            continue
        for name in re.findall(r'^\s*#\s*include\s+"(.+)"', file.read_text("utf-8"), re.M):
            paths = [base / name for base in (file.parent, csrc)]
            path = next((path for path in paths if path.exists()), csrc / name).resolve()
            if path.relative_to(csrc.resolve()).parts[0] not in {folder, "common"}:
                found.append(f"{file.relative_to(csrc)} includes {name}")
    return found


def test_an_op_includes_its_own_folder_and_common_only() -> None:
    assert offences(CSRC) == []


@pytest.mark.parametrize(
    ("file", "include"),
    [
        ("one/cpu/one.cpp", "two/two.h"),
        ("one/one.h", "../two/two.h"),
        ("common/exp.h", "one/one.h"),
    ],
)
def test_a_planted_include_of_another_op_is_found(tmp_path: Path, file: str, include: str) -> None:
    for name in ("one/one.h", "two/two.h", "common/half.h", file):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text('#include "common/half.h"\n')
    (tmp_path / file).write_text(f'#include "common/half.h"\n#include "{include}"\n')
    assert offences(tmp_path) == [f"{file} includes {include}"]
