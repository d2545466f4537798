"""How long does dropout take, forward and backward, if its mask is a function of keys?"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor
from torch.nn import functional as F

from atjt_ext.ops import keyed_dropout
from loss_question import largest_error
from question import COMPILED, EAGER, OURS, Contender, Question, Result, WrongResultError

_LENGTH = 50  # tokens per row


@dataclass(frozen=True)
class KeyedDropout(Question):
    """Dropout of ``[T, D]`` and its gradient. The other contenders draw from a generator."""

    op = "keyed_dropout"
    tokens: int
    width: int
    p: float = 0.5

    @property
    def shape(self) -> str:
        return f"[{self.tokens}, {self.width}]"

    @property
    def what(self) -> str:
        return "forward + backward"

    def _not_zero(self, **options: bool) -> Tensor:
        shape = (self.tokens, self.width)
        drawn = torch.rand(shape, generator=self.generator, device=self.device)
        return (drawn + 0.5).to(self.dtype).requires_grad_(**options)

    @cached_property
    def hidden(self) -> Tensor:
        return self._not_zero()

    @cached_property
    def upstream(self) -> Tensor:
        return self._not_zero(requires_grad=False)

    @cached_property
    def keys(self) -> tuple[Tensor, Tensor]:
        """The row and the position of each token."""
        tokens = torch.arange(self.tokens, device=self.device)
        return tokens // _LENGTH, tokens % _LENGTH

    @property
    def bytes_moved(self) -> int:
        """Values, results, both gradients; row and position of each token in both passes."""
        return 4 * self.elements * self.dtype.itemsize + 2 * 2 * 8 * self.tokens

    @property
    def elements(self) -> int:
        return self.tokens * self.width

    @cached_property
    def _compiled(self) -> Callable[..., Tensor]:
        return self.compiled(self._eager)

    def contenders(self) -> dict[str, Contender | str]:
        return {
            OURS: Contender(lambda: self._answer(self._ours)),
            EAGER: Contender(lambda: self._answer(self._eager)),
            COMPILED: Contender(lambda: self._answer(self._compiled)),
        }

    def _ours(self, values: Tensor) -> Tensor:
        return keyed_dropout(values, self.p, *self.keys, layer=0, seed=0)

    def _eager(self, values: Tensor) -> Tensor:
        return F.dropout(values, self.p)

    def _answer(self, dropout: Callable[[Tensor], Tensor]) -> Result:
        result = dropout(self.hidden)
        return (result.detach(), *torch.autograd.grad(result, self.hidden, self.upstream))

    def check(self, name: str, result: Result) -> float:
        values, gradient = result
        kept = values != 0
        if not torch.equal(kept, gradient != 0):
            raise WrongResultError(f"{name}: values and gradient have different masks")
        share, spread = float(kept.double().mean()), (self.p * (1 - self.p) / self.elements) ** 0.5
        if not abs(share - (1 - self.p)) < 5 * spread:
            raise WrongResultError(f"{name}: {share:.4f} of the numbers are kept, not {1 - self.p}")
        worst = 0.0
        for what, got, of in (
            ("the values", values, self.hidden.detach()),
            ("the gradient", gradient, self.upstream),
        ):
            error = largest_error(got[kept], of.double()[kept] / (1 - self.p))
            limit = 1e-6 if self.dtype == torch.float32 else 2**-8
            if not error <= limit:  # NaN too
                raise WrongResultError(f"{name}: the relative error of {what} is {error:.2g}")
            worst = max(worst, error)
        return worst

    def small(self) -> KeyedDropout:
        return replace(self, tokens=200, width=16, backend="aot_eager")


def questions(device: str) -> list[KeyedDropout]:
    """The tokens of a batch of short histories, and of long ones."""
    sizes = [(5_000, 64), (20_000, 256)] if device == "cpu" else [(50_000, 64), (200_000, 256)]
    return [
        KeyedDropout(tokens, width, dtype=dtype, device=device)
        for dtype in (torch.float32, torch.bfloat16)
        for tokens, width in sizes
    ]
