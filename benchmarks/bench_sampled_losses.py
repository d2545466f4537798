"""How long does a weighted loss over sampled negatives take, with all gradients?"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property, partial

import torch
import torch.nn.functional as F
from torch import Tensor

from atjt_ext.ops import gbce_beta, sampled_binary_cross_entropy, sampled_cross_entropy
from loss_question import largest_error
from question import COMPILED, EAGER, OURS, Contender, Result, WrongResultError

SampledLoss = Callable[[Tensor, Tensor, Tensor], Tensor]  # of hidden, table and weight


@dataclass(frozen=True)
class Sampled:
    """``sum(w * l) / sum(w)`` of hidden states against ``k`` negatives each; three gradients."""

    rows: int
    negatives: int
    items: int
    dtype: torch.dtype
    device: str = "cpu"
    width: int = 64
    backend: str = "inductor"  # of torch.compile

    def __str__(self) -> str:
        dtype = str(self.dtype).removeprefix("torch.")
        sizes = f"[{self.rows}, {self.negatives} of {self.items}] x {self.width}"
        return f"{self.op} {sizes} {dtype}, forward + backward"

    @property
    def op(self) -> str:
        raise NotImplementedError

    @cached_property
    def _generator(self) -> torch.Generator:
        return torch.Generator(self.device).manual_seed(0)

    def _normal(self, *shape: int) -> Tensor:
        scale = self.width**-0.25  # scores of size 1
        numbers = torch.randn(shape, generator=self._generator, device=self.device) * scale
        return numbers.to(self.dtype).requires_grad_()

    @cached_property
    def hidden(self) -> Tensor:
        return self._normal(self.rows, self.width)

    @cached_property
    def table(self) -> Tensor:
        return self._normal(self.items, self.width)

    @cached_property
    def weight(self) -> Tensor:
        weight = torch.rand(self.rows, generator=self._generator, device=self.device) + 0.1
        return weight.requires_grad_()

    @cached_property
    def candidates(self) -> Tensor:
        """The target, then the negatives."""
        shape = (self.rows, 1 + self.negatives)
        return torch.randint(self.items, shape, generator=self._generator, device=self.device)

    @property
    def bytes_moved(self) -> int:
        """Embeddings of the candidates read once; all but the gradient of the table is small."""
        gathered = self.rows * (1 + self.negatives) * self.width * self.dtype.itemsize
        candidates = 8 * self.rows * (1 + self.negatives)
        return gathered + candidates + self.items * self.width * self.dtype.itemsize

    @property
    def elements(self) -> int:
        return self.rows * (1 + self.negatives)

    def contenders(self) -> dict[str, Contender | str]:
        return {
            OURS: Contender(lambda: self._answer(self.ours)),
            EAGER: Contender(lambda: self._answer(self.eager)),
            COMPILED: Contender(lambda: self._answer(self._compiled)),
        }

    @property
    def ours(self) -> SampledLoss:
        raise NotImplementedError

    def losses(self, scores: Tensor) -> Tensor:
        """``[N]`` of scores ``[N, 1 + k]`` whose accidental hits are -inf, in plain torch."""
        raise NotImplementedError

    @property
    def eager(self) -> SampledLoss:
        # Given, not looked up: torch.compile stops at the lock that a cached_property has before
        # Python 3.12.
        return partial(self._plain, self.candidates)

    def _plain(self, candidates: Tensor, hidden: Tensor, table: Tensor, weight: Tensor) -> Tensor:
        scores = torch.einsum("nd,ncd->nc", hidden, table[candidates])
        if scores.dtype != torch.float64:
            scores = scores.float()
        hits = candidates[:, 1:] == candidates[:, :1]
        scores = scores.masked_fill(F.pad(hits, (1, 0)), -math.inf)
        return (weight * self.losses(scores)).sum() / weight.sum()

    @cached_property
    def _compiled(self) -> SampledLoss:
        return torch.compile(self.eager, fullgraph=True, dynamic=False, backend=self.backend)

    def _answer(self, loss: SampledLoss) -> Result:
        inputs = (self.hidden, self.table, self.weight)
        total = loss(*inputs)
        return (total.detach(), *torch.autograd.grad(total, inputs))

    @cached_property
    def exact(self) -> Result:
        """All outputs in float64."""
        inputs = [t.detach().double().requires_grad_() for t in (self.hidden, self.table)]
        inputs.append(self.weight.detach().double().requires_grad_())
        total = self.eager(*inputs)
        return (total.detach(), *torch.autograd.grad(total, inputs))

    def check(self, name: str, result: Result) -> float:
        outputs = ("loss", *(f"the gradient of {of}" for of in ("hidden", "the table", "weights")))
        errors = {
            output: largest_error(got, wanted, of_largest=True)
            for output, got, wanted in zip(outputs, result, self.exact, strict=True)
        }
        # Peers round scores and sums over an item's pairs, too.
        limit = 2e-5 if self.dtype == torch.float32 else 2**-8 + 2e-5 if name == OURS else 0.15
        for output, error in errors.items():
            if not error <= limit:  # NaN too
                raise WrongResultError(
                    f"{name}: the relative error of {output} is {error:.2g}, more than {limit:.2g}"
                )
        return max(errors.values())

    def fresh(self) -> Sampled:
        return replace(self)

    def small(self) -> Sampled:
        return replace(self, rows=40, negatives=6, items=30, width=8, backend="aot_eager")


@dataclass(frozen=True)
class GeneralisedBinary(Sampled):
    """gBCE with the options that its authors recommend."""

    @property
    def op(self) -> str:
        return "sampled_binary_cross_entropy"

    @property
    def beta(self) -> float:
        return gbce_beta(0.75, self.negatives, self.items)

    @property
    def ours(self) -> SampledLoss:
        return lambda hidden, table, weight: sampled_binary_cross_entropy(
            hidden, table, self.candidates[:, 0], self.candidates[:, 1:], weight,
            beta=self.beta, reduction="weighted_mean",
        )  # fmt: skip

    def losses(self, scores: Tensor) -> Tensor:
        positive, negative = scores[:, 0], scores[:, 1:]
        total = self.beta * F.softplus(-positive) + F.softplus(negative).sum(dim=1)
        return total / (1 + self.negatives)


@dataclass(frozen=True)
class SampledSoftmax(Sampled):
    """With the logQ correction of uniform draws."""

    @property
    def op(self) -> str:
        return "sampled_cross_entropy"

    @property
    def ours(self) -> SampledLoss:
        log_prob = -math.log(self.items)
        loss = partial(
            sampled_cross_entropy, negative_log_probs=log_prob, reduction="weighted_mean"
        )
        return lambda hidden, table, weight: loss(
            hidden, table, self.candidates[:, 0], self.candidates[:, 1:], weight
        )

    def losses(self, scores: Tensor) -> Tensor:
        corrected = scores[:, 1:] - math.log(self.negatives / self.items)
        everything = torch.cat([scores[:, :1], corrected], dim=1)
        return torch.logsumexp(everything, dim=1) - scores[:, 0]


def questions(device: str) -> list[Sampled]:
    """128 sequences of 200 positions; a sixteenth of them on the CPU."""
    rows = 25_600 if device == "cuda" else 1600
    kinds: list[type[Sampled]] = [GeneralisedBinary, SampledSoftmax]
    return [
        kind(rows, 256, items, dtype, device)
        for kind in kinds
        for items in (100_000, 1_000_000)
        for dtype in (torch.float32, torch.bfloat16)
    ]


def bench_sampled_losses(ask: Callable[[], None]) -> None:
    ask()
