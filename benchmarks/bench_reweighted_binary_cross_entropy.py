"""How long does the weighted loss of positive and negative logits take, with all gradients?"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property, partial

import torch
import torch.nn.functional as F
from torch import Tensor

from atjt_ext.ops import Reduction, reweighted_binary_cross_entropy
from loss_question import Loss, WeightedLoss, largest_error
from question import Result


@dataclass(frozen=True)
class BinaryCrossEntropy(WeightedLoss):
    """A positive and a negative item of every position, under the weight of its sequence."""

    @property
    def op(self) -> str:
        return "reweighted_binary_cross_entropy"

    @cached_property
    def targets(self) -> Tensor:
        targets = torch.zeros(self.rows, self.classes, device=self.device)
        targets[:, 0] = 1
        return targets

    @property
    def bytes_moved(self) -> int:
        """Beside the logits and their gradient: targets and weights, and losses or gradients."""
        rows = 4 * self.rows * (self.classes + 1)
        return super().bytes_moved + rows + 4 * self.rows * (1 if self.gradients else self.classes)

    @property
    def ours(self) -> Loss:
        reduction: Reduction = "weighted_mean" if self.gradients else "none"
        return partial(reweighted_binary_cross_entropy, reduction=reduction)

    @property
    def eager(self) -> Loss:
        return _weighted_mean if self.gradients else _losses

    @cached_property
    def exact(self) -> Tensor:
        """``[N, C]`` losses in float64."""
        logits, targets = self.logits.detach().double(), self.targets.double()
        return F.binary_cross_entropy_with_logits(logits, targets, reduction="none")

    def errors(self, result: Result) -> dict[str, float]:
        weight = self.weight.detach().double()
        if not self.gradients:
            wanted = {"losses": weight[:, None] * self.exact}
        else:
            scale = weight / (weight.sum() * self.classes)
            mean = (scale[:, None] * self.exact).sum()
            slope = self.logits.detach().double().sigmoid() - self.targets
            wanted = {
                "loss": mean,
                "the gradient of the logits": scale[:, None] * slope,
                "the gradient of the weights": (self.exact.mean(dim=1) - mean) / weight.sum(),
            }
        # Of the largest: even in float32, torch takes the loss of a confident logit to 5 digits.
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
    """8192 sequences of 200 positions."""
    return [
        BinaryCrossEntropy(8192 * 200, 2, dtype, device, gradients)
        for dtype in (torch.float32, torch.bfloat16)
        for gradients in (True, False)
    ]


def bench_binary_cross_entropy(ask: Callable[[], None]) -> None:
    ask()
