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
from loss_question import Loss, WeightedLoss, largest_error
from question import LIGER, Contender, Result


@dataclass(frozen=True)
class CrossEntropy(WeightedLoss):
    """Softmax cross-entropy of ``[N, V]`` logits, one item of the catalogue each."""

    @property
    def op(self) -> str:
        return "reweighted_cross_entropy"

    @cached_property
    def targets(self) -> Tensor:
        shape = (self.rows,)
        return torch.randint(self.classes, shape, generator=self._generator, device=self.device)

    @property
    def ours(self) -> Loss:
        reduction: Reduction = "weighted_mean" if self.gradients else "none"
        return partial(reweighted_cross_entropy, reduction=reduction)

    @property
    def eager(self) -> Loss:
        return self.weighted(partial(F.cross_entropy, reduction="none"))

    def weighted(self, losses_of: Callable[[Tensor, Tensor], Tensor]) -> Loss:
        """What a peer without weights needs around it."""

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

        # It writes the gradient over the logits: it gets its own, fresh for every call. In
        # training they would be fresh anyway, so that copying them is not on its bill.
        liger = self.weighted(LigerCrossEntropyLoss(reduction="none"))
        return on_copied_logits(self, liger)

    @cached_property
    def exact(self) -> tuple[Tensor, Tensor]:
        """``[N]`` losses and log-sum-exp in float64."""
        losses, lse = [], []
        for rows in self._chunks():
            logits = self.logits.detach()[rows].double()
            lse.append(logits.logsumexp(dim=1))
            at_target = logits.gather(1, self.targets[rows, None])[:, 0]
            losses.append(lse[-1] - at_target)
        return torch.cat(losses), torch.cat(lse)

    def _chunks(self) -> list[slice]:
        """Some rows at a time: what a cache, or a GPU, has room for in float64."""
        size = max(1, (2**20 if self.device == "cpu" else 2**24) // self.classes)
        return [slice(first, first + size) for first in range(0, self.rows, size)]

    def errors(self, result: Result) -> dict[str, float]:
        losses, _ = self.exact
        weight = self.weight.detach().double()
        if not self.gradients:
            return {"losses": largest_error(result[0], weight * losses)}
        loss, grad_logits, grad_weight = result
        mean = (weight * losses).sum() / weight.sum()
        return {
            "loss": largest_error(loss, mean),
            "the gradient of the weights": largest_error(
                grad_weight, (losses - mean) / weight.sum(), of_largest=True
            ),
            "the gradient of the logits": self._gradient_error(grad_logits, weight / weight.sum()),
        }

    def _gradient_error(self, gradient: Tensor, scale: Tensor) -> float:
        _, lse = self.exact
        worst = 0.0
        for rows in self._chunks():
            # float32 is exact enough here, and as fast as the contenders.
            wanted = (self.logits.detach()[rows].float() - lse[rows, None].float()).exp()
            target = self.targets[rows, None]
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
    """A contender that may do to its logits what it likes."""

    @cache
    def own() -> Tensor:
        return torch.empty_like(question.logits).requires_grad_(question.gradients)

    def prepare() -> None:
        with torch.no_grad():
            own().copy_(question.logits)

    return Contender(lambda: question.answer(loss, own()), prepare=prepare)


def questions(device: str) -> list[CrossEntropy]:
    """Catalogues from ten thousand items to, on a GPU, a million."""
    shapes = {
        "cpu": [(2048, 20_000), (512, 100_000)],
        "cuda": [(25_600, 12_000), (8192, 100_000), (2048, 1_000_000)],
    }
    return [
        CrossEntropy(rows, classes, dtype, device, gradients)
        for rows, classes in shapes[device]
        for dtype in (torch.float32, torch.bfloat16)
        for gradients in (True, False)
    ]


def bench_cross_entropy(ask: Callable[[], None]) -> None:
    ask()
