"""Deliberate breaks of the kernels, and how a break finds its place.

``breaks.txt`` lists them, four lines each: a name; the file, the kernels (``cpu``: built, ``cuda``:
on the emulator) and a test below ``python_tests/ops`` that must fail; the code; its
replacement.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_WORDS = r"\"(?:\\.|[^\"\\\n])*\"|'(?:\\.|[^'\\\n])*'|\w+|[^\s\w]"
_IN_CPP = re.compile(rf"(?P<comment>//[^\n]*|/\*.*?\*/|\\\n)|{_WORDS}", re.DOTALL)
_IN_PYTHON = re.compile(rf"(?P<comment>\#[^\n]*)|{_WORDS}")


def tokens(source: str, file: str) -> Iterator[re.Match[str]]:
    """The words, literals and signs of C++ or Python; white space and comments are left out."""
    pattern = _IN_PYTHON if file.endswith(".py") else _IN_CPP
    return (match for match in pattern.finditer(source) if match["comment"] is None)


@dataclass(frozen=True)
class Mutation:
    """Replace the one occurrence of ``old`` in ``file`` by ``new``; ``test`` must then fail.

    Sources are compared token by token, so line breaks, indentation and comments do not matter.
    """

    name: str
    file: str
    kernels: str
    test: str
    old: str
    new: str

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


def _parsed(block: str) -> Mutation:
    name, where, old, new = block.splitlines()
    file, kernels, test = where.split()
    return Mutation(name, file, kernels, test, old.removeprefix("- "), new[1:].strip())


_LIST = Path(__file__).with_name("breaks.txt").read_text()
MUTATIONS = tuple(_parsed(block) for block in _LIST.strip().split("\n\n"))
