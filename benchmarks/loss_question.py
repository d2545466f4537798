"""Questions about weighted losses: the gradients are part of the answer, float64 is the judge."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from question import COMPILED, EAGER, OURS, Contender, Question, Result, WrongResultError

Loss = Callable[..., Tensor]


@dataclass(frozen=True, kw_only=True)
class LossQuestion(Question):
    """``sum(w * l) / sum(w)`` and its gradients; or ``w * l`` of every row, without gradients."""

    gradients: bool = True

    @property
    def what(self) -> str:
        return "forward + backward" if self.gradients else "forward"

    @property
    @abstractmethod
    def arguments(self) -> tuple[Tensor, ...]:
        """The arguments of the loss. The answer has gradients of those that require one."""

    @property
    @abstractmethod
    def ours(self) -> Loss:
        """The op of this package."""

    @property
    @abstractmethod
    def eager(self) -> Loss:
        """The same loss in plain torch."""

    @abstractmethod
    def errors(self, result: Result) -> dict[str, float]:
        """The relative error of every output, by its name, against float64 on the same inputs."""

    def random_weight(self, rows: int) -> Tensor:
        """``[rows]`` float32 weights between 0.1 and 1.1."""
        weight = torch.rand(rows, generator=self.generator, device=self.device) + 0.1
        return weight.requires_grad_(self.gradients)

    def answer(self, loss: Loss, arguments: tuple[Tensor, ...] | None = None) -> Result:
        """The loss and its gradients, as ``loss`` computes them."""
        arguments = self.arguments if arguments is None else arguments
        if not self.gradients:
            with torch.no_grad():
                return (loss(*arguments),)
        total = loss(*arguments)
        inputs = [argument for argument in arguments if argument.requires_grad]
        return (total.detach(), *torch.autograd.grad(total, inputs))

    @cached_property
    def _compiled(self) -> Loss:
        return self.compiled(self.eager)

    def contenders(self) -> dict[str, Contender | str]:
        return {
            OURS: Contender(lambda: self.answer(self.ours)),
            EAGER: Contender(lambda: self.answer(self.eager)),
            COMPILED: Contender(lambda: self.answer(self._compiled)),
        }

    def limit(self, name: str) -> float:
        """The largest relative error that the contender ``name`` may have."""
        if self.dtype == torch.float32:
            return 2e-5
        if name == OURS:
            return 2**-8 + 2e-5  # as in float32, then rounded to bfloat16
        return 0.15  # peers round log-probabilities too: near -16, to steps of 1/8

    def check(self, name: str, result: Result) -> float:
        errors, limit = self.errors(result), self.limit(name)
        for output, error in errors.items():
            if not error <= limit:  # NaN too
                raise WrongResultError(
                    f"{name}: the relative error of {output} is {error:.2g}, more than {limit:.2g}"
                )
        return max(errors.values())


def largest_error(got: Tensor, wanted: Tensor, *, of_largest: bool = False) -> float:
    """The largest ``|got - wanted| / |wanted|``; with ``of_largest``, over ``max |wanted|``.

    The former sees an error in the smallest probability. The latter suits differences of nearly
    equal numbers, of which no arithmetic gets many digits right.
    """
    size = wanted.abs()
    error = (got.to(wanted.dtype) - wanted).abs() / (size.max() if of_largest else size)
    return error.max().item()
