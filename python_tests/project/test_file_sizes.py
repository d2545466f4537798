"""No source file is longer than 400 lines."""

from __future__ import annotations

from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
KINDS = {".py", ".pyi", ".h", ".cpp", ".cu", ".cuh", ".html", ".css"}


def test_no_file_is_longer_than_400_lines() -> None:
    lines = {
        path.relative_to(REPOSITORY).as_posix(): len(path.read_text("utf-8").splitlines())
        for folder in ("atjt_ext", "csrc", "python_tests", "benchmarks")
        for path in (REPOSITORY / folder).rglob("*")
        if path.suffix in KINDS and "third_party" not in path.parts
    }
    assert lines
    assert {name: count for name, count in lines.items() if count > 400} == {}
