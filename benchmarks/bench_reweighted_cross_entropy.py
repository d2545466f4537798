"""How long do the weighted losses over a whole catalogue take, and how long with all gradients?"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache, cached_property, partial
from importlib import util

import torch
import torch.nn.functional as F
from torch import Tensor

from atjt_ext.ops import Reduction, reweighted_cross_entropy
from loss_question import Loss, LossQuestion, largest_error
from question import LIGER, Contender, Result


@dataclass(frozen=True)
class CrossEntropy(LossQuestion):
    """Softmax cross-entropy of ``[N, V]`` logits, one target item a row."""

    op = "reweighted_cross_entropy"
    rows: int
    classes: int

    @property
    def shape(self) -> str:
        return f"[{self.rows}, {self.classes}]"

    @cached_property
    def arguments(self) -> tuple[Tensor, ...]:
        on = dict(generator=self.generator, device=self.device)
        logits = torch.randn((self.rows, self.classes), dtype=self.dtype, **on)
        targets = torch.randint(self.classes, (self.rows,), **on)
        return logits.requires_grad_(self.gradients), targets, self.random_weight(self.rows)

    @property
    def bytes_moved(self) -> int:
        """The logits; their gradient too, if it is part of the answer."""
        return self.elements * self.dtype.itemsize * (2 if self.gradients else 1)

    @property
    def elements(self) -> int:
        return self.rows * self.classes

    @property
    def ours(self) -> Loss:
        reduction: Reduction = "weighted_mean" if self.gradients else "none"
        return partial(reweighted_cross_entropy, reduction=reduction)

    @property
    def eager(self) -> Loss:
        return self.weighted(partial(F.cross_entropy, reduction="none"))

    def weighted(self, losses_of: Callable[[Tensor, Tensor], Tensor]) -> Loss:
        """The weighted loss around a peer that takes no weights."""

        def losses(logits: Tensor, targets: Tensor, weight: Tensor) -> Tensor:
            return weight * losses_of(logits, targets)

        def weighted_mean(logits: Tensor, targets: Tensor, weight: Tensor) -> Tensor:
            return losses(logits, targets, weight).sum() / weight.sum()

        return weighted_mean if self.gradients else losses

    def contenders(self) -> dict[str, Contender | str]:
        return {**super().contenders(), LIGER: self._liger()}

    def _liger(self) -> Contender | str:
        if util.find_spec("liger_kernel") is None:
            return "liger-kernel is not installed"
        if self.device != "cuda":
            return "liger-kernel needs a GPU"
        from liger_kernel.transformers import LigerCrossEntropyLoss

        # Liger writes the gradient over the logits, so every call gets a fresh copy of them. A
        # training step makes fresh logits anyway: the copy is not timed.
        return on_copied_logits(self, self.weighted(LigerCrossEntropyLoss(reduction="none")))

    @cached_property
    def exact(self) -> tuple[Tensor, Tensor]:
        """``[N]`` losses and log-sum-exp in float64."""
        logits, targets, _ = self.arguments
        losses, lse = [], []
        for rows in self._chunks():
            some = logits.detach()[rows].double()
            lse.append(some.logsumexp(dim=1))
            losses.append(lse[-1] - some.gather(1, targets[rows, None])[:, 0])
        return torch.cat(losses), torch.cat(lse)

    def _chunks(self) -> list[slice]:
        """As many rows at a time as a cache, or a GPU, has room for in float64."""
        size = max(1, (2**20 if self.device == "cpu" else 2**24) // self.classes)
        return [slice(first, first + size) for first in range(0, self.rows, size)]

    def errors(self, result: Result) -> dict[str, float]:
        losses, _ = self.exact
        weight = self.arguments[2].detach().double()
        if not self.gradients:
            return {"losses": largest_error(result[0], weight * losses)}
        loss, grad_logits, grad_weight = result
        mean = (weight * losses).sum() / weight.sum()
        wanted = (losses - mean) / weight.sum()
        return {
            "the loss": largest_error(loss, mean),
            "the gradient of the weights": largest_error(grad_weight, wanted, of_largest=True),
            "the gradient of the logits": self._gradient_error(grad_logits, weight / weight.sum()),
        }

    def _gradient_error(self, gradient: Tensor, scale: Tensor) -> float:
        (logits, targets, _), (_, lse) = self.arguments, self.exact
        worst = 0.0
        for rows in self._chunks():
            # float32 is exact enough here, and as fast as the contenders.
            wanted = (logits.detach()[rows].float() - lse[rows, None].float()).exp()
            target = targets[rows, None]
            wanted.scatter_(1, target, wanted.gather(1, target) - 1)
            wanted *= scale[rows, None].float()
            error = largest_error(gradient[rows], wanted)
            if math.isnan(error):
                return error
            worst = max(worst, error)
        return worst

    def small(self) -> CrossEntropy:
        return replace(self, rows=16, classes=50, backend="aot_eager")


def on_copied_logits(question: CrossEntropy, loss: Loss) -> Contender:
    """A contender that may overwrite its logits."""

    @cache
    def own() -> Tensor:
        return torch.empty_like(question.arguments[0]).requires_grad_(question.gradients)

    def prepare() -> None:
        with torch.no_grad():
            own().copy_(question.arguments[0])

    def run() -> Result:
        return question.answer(loss, (own(), *question.arguments[1:]))

    return Contender(run, prepare=prepare)


def questions(device: str) -> list[CrossEntropy]:
    """Catalogues from ten thousand items to a million (on a GPU)."""
    shapes = {
        "cpu": [(2048, 20_000), (512, 100_000)],
        "cuda": [(25_600, 12_000), (8192, 100_000), (2048, 1_000_000)],
    }
    return [
        CrossEntropy(*shape, dtype=dtype, device=device, gradients=gradients)
        for shape in shapes[device]
        for dtype in (torch.float32, torch.bfloat16)
        for gradients in (True, False)
    ]
