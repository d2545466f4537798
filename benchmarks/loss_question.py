"""What the questions about weighted losses of given logits have in common."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor

from question import COMPILED, EAGER, OURS, Contender, Result, WrongResultError

Loss = Callable[[Tensor, Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class WeightedLoss:
    """``w * l`` of every example; or ``sum(w * l) / sum(w)``, its gradients in logits and w."""

    rows: int
    classes: int
    dtype: torch.dtype
    device: str = "cpu"
    gradients: bool = True
    backend: str = "inductor"  # of torch.compile

    def __str__(self) -> str:
        dtype = str(self.dtype).removeprefix("torch.")
        what = "forward + backward" if self.gradients else "forward"
        return f"{self.op} [{self.rows}, {self.classes}] {dtype}, {what}"

    @property
    def op(self) -> str:
        raise NotImplementedError

    @cached_property
    def _generator(self) -> torch.Generator:
        return torch.Generator(self.device).manual_seed(0)

    @cached_property
    def logits(self) -> Tensor:
        shape = (self.rows, self.classes)
        logits = torch.randn(shape, generator=self._generator, dtype=self.dtype, device=self.device)
        return logits.requires_grad_(self.gradients)

    @cached_property
    def targets(self) -> Tensor:
        raise NotImplementedError

    @cached_property
    def weight(self) -> Tensor:
        weight = torch.rand(self.rows, generator=self._generator, device=self.device) + 0.1
        return weight.requires_grad_(self.gradients)

    @property
    def bytes_moved(self) -> int:
        """The logits read; their gradient written, if wanted."""
        return self.rows * self.classes * self.dtype.itemsize * (2 if self.gradients else 1)

    @property
    def elements(self) -> int:
        return self.rows * self.classes

    def answer(self, loss: Loss, logits: Tensor | None = None) -> Result:
        logits = self.logits if logits is None else logits
        if not self.gradients:
            with torch.no_grad():
                return (loss(logits, self.targets, self.weight),)
        total = loss(logits, self.targets, self.weight)
        return (total.detach(), *torch.autograd.grad(total, (logits, self.weight)))

    @cached_property
    def _compiled(self) -> Loss:
        return torch.compile(self.eager, fullgraph=True, dynamic=False, backend=self.backend)

    def contenders(self) -> dict[str, Contender | str]:
        return {
            OURS: Contender(lambda: self.answer(self.ours)),
            EAGER: Contender(lambda: self.answer(self.eager)),
            COMPILED: Contender(lambda: self.answer(self._compiled)),
        }

    @property
    def ours(self) -> Loss:
        raise NotImplementedError

    @property
    def eager(self) -> Loss:
        raise NotImplementedError

    def fresh(self) -> WeightedLoss:
        return replace(self)

    def errors(self, result: Result) -> dict[str, float]:
        """Largest relative error of every output, against float64 on the same inputs."""
        raise NotImplementedError

    def check(self, name: str, result: Result) -> float:
        errors = self.errors(result)
        limit = self._limit(name)
        for output, error in errors.items():
            if not error <= limit:  # NaN too
                raise WrongResultError(
                    f"{name}: the relative error of {output} is {error:.2g}, more than {limit:.2g}"
                )
        return max(errors.values())

    def _limit(self, name: str) -> float:
        if self.dtype == torch.float32:
            return 2e-5
        if name == OURS:
            return 2**-8 + 2e-5  # as in float32, then rounded to bfloat16
        return 0.15  # peers round log-probabilities too: near -16, to steps of 1/8


def largest_error(got: Tensor, wanted: Tensor, *, of_largest: bool = False) -> float:
    """The largest of ``|got - wanted| / |wanted|``; or of ``|got - wanted| / max |wanted|``.

    The former sees an error in the smallest probability. The latter is for differences of numbers
    alike, which no arithmetic gets right to many digits.
    """
    size = wanted.abs()
    error = (got.to(wanted.dtype) - wanted).abs() / (size.max() if of_largest else size)
    return error.max().item()
