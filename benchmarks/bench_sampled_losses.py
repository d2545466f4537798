"""How long does a weighted loss over sampled negatives take, with all gradients?"""

from __future__ import annotations

import math
from abc import abstractmethod
from dataclasses import dataclass, replace
from functools import cached_property, partial

import torch
import torch.nn.functional as F
from torch import Tensor

from atjt_ext.ops import gbce_beta, sampled_binary_cross_entropy, sampled_cross_entropy
from loss_question import Loss, LossQuestion, largest_error
from question import Result


@dataclass(frozen=True)
class Sampled(LossQuestion):
    """The loss of hidden states against ``negatives`` items each; three gradients."""

    rows: int
    negatives: int
    items: int
    width: int = 64

    @property
    def shape(self) -> str:
        return f"[{self.rows}, {self.negatives} of {self.items}] x {self.width}"

    def _normal(self, *shape: int) -> Tensor:
        scale = self.width**-0.25  # scores of size 1
        numbers = torch.randn(shape, generator=self.generator, device=self.device) * scale
        return numbers.to(self.dtype).requires_grad_()

    @cached_property
    def arguments(self) -> tuple[Tensor, ...]:
        hidden, table = self._normal(self.rows, self.width), self._normal(self.items, self.width)
        return hidden, table, self.random_weight(self.rows)

    @cached_property
    def candidates(self) -> Tensor:
        """``[N, 1 + k]``: the target, then the negatives."""
        shape = (self.rows, 1 + self.negatives)
        return torch.randint(self.items, shape, generator=self.generator, device=self.device)

    @property
    def bytes_moved(self) -> int:
        """The candidates, their embeddings and the gradient of the table; the rest is small."""
        gathered = self.elements * (self.width * self.dtype.itemsize + 8)
        return gathered + self.items * self.width * self.dtype.itemsize

    @property
    def elements(self) -> int:
        return self.rows * (1 + self.negatives)

    @abstractmethod
    def losses(self, scores: Tensor) -> Tensor:
        """``[N]`` losses of scores ``[N, 1 + k]`` in plain torch; accidental hits score -inf."""

    @property
    def eager(self) -> Loss:
        # An argument, because torch.compile cannot trace the lock that a cached_property has before
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
    def exact(self) -> Result:
        """All outputs in float64."""
        inputs = tuple(one.detach().double().requires_grad_() for one in self.arguments)
        return self.answer(self.eager, inputs)

    def errors(self, result: Result) -> dict[str, float]:
        gradients = (f"the gradient of the {of}" for of in ("hidden states", "table", "weights"))
        return {
            output: largest_error(got, wanted, of_largest=True)
            for output, got, wanted in zip(
                ("the loss", *gradients), result, self.exact, strict=True
            )
        }

    def small(self) -> Sampled:
        return replace(self, rows=40, negatives=6, items=30, width=8, backend="aot_eager")


@dataclass(frozen=True)
class GeneralisedBinary(Sampled):
    """gBCE with the options that its authors recommend."""

    op = "sampled_binary_cross_entropy"

    @property
    def beta(self) -> float:
        return gbce_beta(0.75, self.negatives, self.items)

    @property
    def ours(self) -> Loss:
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
    """Sampled softmax with the logQ correction of uniform draws."""

    op = "sampled_cross_entropy"

    @property
    def ours(self) -> Loss:
        return lambda hidden, table, weight: sampled_cross_entropy(
            hidden, table, self.candidates[:, 0], self.candidates[:, 1:], weight,
            negative_log_probs=-math.log(self.items), reduction="weighted_mean",
        )  # fmt: skip

    def losses(self, scores: Tensor) -> Tensor:
        corrected = scores[:, 1:] - math.log(self.negatives / self.items)
        everything = torch.cat([scores[:, :1], corrected], dim=1)
        return torch.logsumexp(everything, dim=1) - scores[:, 0]


def questions(device: str) -> list[Sampled]:
    """128 sequences with 200 positions each; a sixteenth of them on the CPU."""
    rows = 25_600 if device == "cuda" else 1600
    kinds: list[type[Sampled]] = [GeneralisedBinary, SampledSoftmax]
    return [
        kind(rows, 256, items, dtype=dtype, device=device)
        for kind in kinds
        for items in (100_000, 1_000_000)
        for dtype in (torch.float32, torch.bfloat16)
    ]
