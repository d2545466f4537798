"""A question of the benchmarks, and the contenders that answer it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import ClassVar

import torch
from torch import Tensor

Result = tuple[Tensor, ...]

OURS = "atjt_ext"  # every ratio is to this contender
EAGER = "torch eager"
COMPILED = "torch.compile"
LIGER = "Liger"
LIGER_TUNED = "Liger, chunks tuned"
TORCH_CHUNKED = "torch, in chunks"
CCE = "cut-cross-entropy"
CCE_UNFILTERED = "the same, unfiltered"
LOOP = "python loop"


class WrongResultError(AssertionError):
    """A contender's result does not answer the question."""


@dataclass(frozen=True)
class Contender:
    """One implementation that answers a question."""

    run: Callable[[], Result]
    prepare: Callable[[], object] | None = None
    """Runs before every call of ``run``, outside the timed part."""
    slow: bool = False
    """A slow contender is called once where the others are called several times."""


@dataclass(frozen=True, kw_only=True)
class Question(ABC):
    """One op at one shape and dtype on one device, the same for all contenders.

    Making a question is cheap. Its tensors are made on first use and live as long as the question.
    """

    op: ClassVar[str]
    dtype: torch.dtype = torch.float32
    device: str = "cpu"
    """``"cpu"`` or ``"cuda"``."""
    backend: str = "inductor"
    """The backend of ``torch.compile``."""

    def __str__(self) -> str:
        dtype = str(self.dtype).removeprefix("torch.")
        return ", ".join(filter(None, [f"{self.op} {self.shape} {dtype}", self.what]))

    @property
    @abstractmethod
    def shape(self) -> str:
        """The shape of the inputs, as titles show it."""

    @property
    def what(self) -> str:
        """The difference from other questions with the same shape and dtype."""
        return ""

    @property
    @abstractmethod
    def bytes_moved(self) -> int:
        """Bytes of all inputs and outputs, each counted once: no contender can move fewer."""

    @property
    @abstractmethod
    def elements(self) -> int:
        """How many positions, logits or (row, item) pairs the plain implementation computes."""

    @cached_property
    def generator(self) -> torch.Generator:
        """The source of this question's random inputs."""
        return torch.Generator(self.device).manual_seed(0)

    @abstractmethod
    def contenders(self) -> Mapping[str, Contender | str]:
        """Contenders by name, ours first. A string is the reason why a contender is left out."""

    @abstractmethod
    def check(self, name: str, result: Result) -> float | None:
        """The largest relative error against float64; ``None`` where results are integers.

        Raises:
            WrongResultError: ``result`` is wrong for the contender ``name``.
        """

    def compiled(self, function: Callable[..., Tensor]) -> Callable[..., Tensor]:
        """``function`` as one compiled graph with static shapes."""
        return torch.compile(function, fullgraph=True, dynamic=False, backend=self.backend)

    def fresh(self) -> Question:
        """The same question with its own tensors, which are freed with it."""
        return replace(self)

    @abstractmethod
    def small(self) -> Question:
        """The same question at a size that takes no time."""
