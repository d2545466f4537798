"""The questions of all ``bench_*.py`` files in this folder."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

from question import Question

DEVICES = ("cpu", "cuda")


def questions(device: str, *, small: bool = False) -> list[Question]:
    """All questions for ``device``; with ``small``, those that differ in more than their sizes."""
    benches = sorted(path.stem for path in Path(__file__).parent.glob("bench_*.py"))
    found: list[Question] = [
        question for bench in benches for question in import_module(bench).questions(device)
    ]
    return list(dict.fromkeys(question.small() for question in found)) if small else found
