"""How long does the weighted loss of positive and negative logits take, with all gradients?"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property, partial

import torch
import torch.nn.functional as F
from torch import Tensor

from atjt_ext.ops import Reduction, reweighted_binary_cross_entropy
from loss_question import Loss, LossQuestion, largest_error
from question import Result


@dataclass(frozen=True)
class BinaryCrossEntropy(LossQuestion):
    """A positive and a negative logit of every position, under the weight of its sequence."""

    op = "reweighted_binary_cross_entropy"
    rows: int
    classes: int = 2

    @property
    def shape(self) -> str:
        return f"[{self.rows}, {self.classes}]"

    @cached_property
    def arguments(self) -> tuple[Tensor, ...]:
        shape = (self.rows, self.classes)
        logits = torch.randn(shape, generator=self.generator, dtype=self.dtype, device=self.device)
        targets = torch.zeros(shape, device=self.device)
        targets[:, 0] = 1
        return logits.requires_grad_(self.gradients), targets, self.random_weight(self.rows)

    @property
    def bytes_moved(self) -> int:
        """Logits, targets and weights; the losses, or the gradients of logits and weights."""
        logits = self.elements * self.dtype.itemsize * (2 if self.gradients else 1)
        written = self.rows * (1 if self.gradients else self.classes)
        return logits + 4 * (self.elements + self.rows + written)

    @property
    def elements(self) -> int:
        return self.rows * self.classes

    @property
    def ours(self) -> Loss:
        reduction: Reduction = "weighted_mean" if self.gradients else "none"
        return partial(reweighted_binary_cross_entropy, reduction=reduction)

    @property
    def eager(self) -> Loss:
        return _weighted_mean if self.gradients else _losses

    def errors(self, result: Result) -> dict[str, float]:
        logits, targets, weight = (argument.detach().double() for argument in self.arguments)
        exact = F.binary_cross_entropy_with_logits(logits, targets, reduction="none")
        if not self.gradients:
            wanted = {"losses": weight[:, None] * exact}
        else:
            scale = weight / (weight.sum() * self.classes)
            mean = (scale[:, None] * exact).sum()
            wanted = {
                "the loss": mean,
                "the gradient of the logits": scale[:, None] * (logits.sigmoid() - targets),
                "the gradient of the weights": (exact.mean(dim=1) - mean) / weight.sum(),
            }
        # Of the largest: even in float32, torch gets only 5 digits of a confident logit's loss.
        return {
            name: largest_error(got, value, of_largest=True)
            for got, (name, value) in zip(result, wanted.items(), strict=True)
        }

    def small(self) -> BinaryCrossEntropy:
        return replace(self, rows=100, backend="aot_eager")


def _losses(logits: Tensor, targets: Tensor, weight: Tensor) -> Tensor:
    losses = F.binary_cross_entropy_with_logits(logits, targets, reduction="none")
    return weight[:, None] * losses


def _weighted_mean(logits: Tensor, targets: Tensor, weight: Tensor) -> Tensor:
    return _losses(logits, targets, weight).sum() / (weight.sum() * logits.shape[1])


def questions(device: str) -> list[BinaryCrossEntropy]:
    """8192 sequences with 200 positions each."""
    return [
        BinaryCrossEntropy(8192 * 200, dtype=dtype, device=device, gradients=gradients)
        for dtype in (torch.float32, torch.bfloat16)
        for gradients in (True, False)
    ]
