"""What a benchmark asks, and who answers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

Result = tuple[Tensor, ...]

OURS = "atjt_ext"  # the contender that the others are compared with
EAGER = "torch eager"
COMPILED = "torch.compile"
LIGER = "Liger"
LIGER_TUNED = "Liger, chunks tuned"
TORCH_CHUNKED = "torch, in chunks"
CCE = "cut-cross-entropy"
CCE_UNFILTERED = "the same, unfiltered"
LOOP = "python loop"


class WrongResultError(AssertionError):
    """A contender's answer is not what the question asked for."""


@dataclass(frozen=True)
class Contender:
    """A way to answer a question."""

    run: Callable[[], Result]
    prepare: Callable[[], object] | None = None
    """Called before every call of ``run``, and not timed."""
    slow: bool = False
    """Called once where the others are called several times."""


class Question(Protocol):
    """Something to do on a device, the same for all contenders.

    Making one is cheap; its tensors are made when first used, and live as long as it does.
    """

    @property
    def device(self) -> str:
        """``"cpu"`` or ``"cuda"``."""

    @property
    def bytes_moved(self) -> int:
        """Inputs read and outputs written, each once: what no contender can do without."""

    @property
    def elements(self) -> int:
        """Numbers that the plain way computes: positions, logits, pairs of a row and an item."""

    def contenders(self) -> Mapping[str, Contender | str]:
        """By name, ours first. Instead of one that cannot take part: the reason."""

    def check(self, name: str, result: Result) -> float | None:
        """Its largest relative error against float64, or nothing where results are integers.

        Raises:
            WrongResultError: ``result`` is not the contender's to give.
        """

    def fresh(self) -> Question:
        """The same question with tensors of its own, which go when it goes."""

    def small(self) -> Question:
        """The same question at a size that takes no time."""

    def __str__(self) -> str:
        """The op, the shape, the dtype, and what sets it apart."""
