"""One deliberate break of the sources, and how it finds its place."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

_WORDS = r"\"(?:\\.|[^\"\\\n])*\"|'(?:\\.|[^'\\\n])*'|\w+|[^\s\w]"
_IN_CPP = re.compile(rf"(?P<comment>//[^\n]*|/\*.*?\*/|\\\n)|{_WORDS}", re.DOTALL)
_IN_PYTHON = re.compile(rf"(?P<comment>\#[^\n]*)|{_WORDS}")


def tokens(source: str, file: str) -> Iterator[re.Match[str]]:
    """The words, literals and signs of C++ or Python; white space and comments are left out."""
    pattern = _IN_PYTHON if file.endswith(".py") else _IN_CPP
    return (match for match in pattern.finditer(source) if match["comment"] is None)


@dataclass(frozen=True)
class Mutation:
    """Replace the one occurrence of ``old`` in ``file`` by ``new``; ``tests`` must then fail.

    Sources are compared token by token, so line breaks, indentation and comments do not matter.
    """

    name: str
    file: str
    old: str
    new: str
    kernels: Literal["cpu", "cuda"]
    """The built CPU kernels, or the CUDA kernels on the emulator."""
    tests: tuple[str, ...]
    """Below ``python_tests/ops``."""

    def mutated(self, source: str) -> str:
        """The source with the break in it.

        Raises:
            ValueError: ``old`` stands there never or more than once.
        """
        found = list(tokens(source, self.file))
        texts = [match[0] for match in found]
        wanted = [match[0] for match in tokens(self.old, self.file)]
        ends = range(len(wanted), len(texts) + 1)
        places = [end for end in ends if texts[end - len(wanted) : end] == wanted]
        if len(places) != 1:
            raise ValueError(
                f"{self.name}: {self.file} must hold {self.old!r} once, got {len(places)} times"
            )
        first, last = found[places[0] - len(wanted)], found[places[0] - 1]
        return source[: first.start()] + self.new + source[last.end() :]

    def apply(self, root: Path) -> None:
        """Break the file below ``root``."""
        path = root / self.file
        path.write_text(self.mutated(path.read_text()))
