"""The contenders: our operations and the best exact composition of torch operations for the same.

Used by the pytest benchmarks, one contender after the other, and by compare.py, interleaved.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor

from atjt_ext.ops import random_replacement, reweighted_cross_entropy


@dataclass(frozen=True)
class Sampler:
    """Replace a share of the items of every row of full-length sequences."""

    rows: int = 4096
    length: int = 200  # the history length of gSASRec and SASRec on MovieLens
    num_items: int = 100_000
    replace_ratio: float = 0.2
    sequences: Tensor = field(init=False, repr=False)

    def __post_init__(self) -> None:
        generator = torch.Generator().manual_seed(0)
        shape = (self.rows, self.length)
        sequences = torch.randint(1, self.num_items + 1, shape, generator=generator)
        object.__setattr__(self, "sequences", sequences)

    @property
    def bytes_moved(self) -> int:
        """Ids read and written, the mask written."""
        return self.sequences.numel() * (8 + 8 + 1)

    def atjt_ext(self) -> tuple[Tensor, ...]:
        return random_replacement(
            self.sequences, num_items=self.num_items, replace_ratio=self.replace_ratio, seed=0
        )

    def torch_topk(self) -> tuple[Tensor, ...]:
        """Exact numbers of positions and never the original, for rows of any length."""
        valid = self.sequences != 0
        counts = torch.floor(self.replace_ratio * valid.sum(dim=1) + 0.5).long()
        keys = torch.rand(self.sequences.shape).masked_fill_(~valid, 2.0)
        most = int(counts.max())
        smallest = keys.topk(most, dim=1, largest=False, sorted=True).indices
        chosen = torch.arange(most) < counts[:, None]
        replaced = torch.zeros_like(valid).scatter_(1, smallest, chosen)
        items = torch.randint(1, self.num_items, self.sequences.shape)
        items += items >= self.sequences
        return torch.where(replaced, items, self.sequences), replaced, counts > 0

    def python_loop(self) -> tuple[Tensor, ...]:
        """A row at a time, as data loaders do it."""
        noisy, replaced = [], []
        for row in self.sequences.tolist():
            positions = [i for i, item in enumerate(row) if item != 0]
            chosen = random.sample(positions, int(self.replace_ratio * len(positions) + 0.5))
            marks = [False] * len(row)
            for position in chosen:
                item = random.randrange(1, self.num_items)
                row[position] = item + (item >= row[position])
                marks[position] = True
            noisy.append(row)
            replaced.append(marks)
        marks_tensor = torch.tensor(replaced)
        return torch.tensor(noisy), marks_tensor, marks_tensor.any(dim=1)

    def contenders(self) -> dict[str, Callable[[], tuple[Tensor, ...]]]:
        return {
            "atjt_ext": self.atjt_ext,
            "torch topk": self.torch_topk,
            "python loop": self.python_loop,
        }

    def check(self, result: tuple[Tensor, ...]) -> None:
        """The numbers are random; what they promise is not."""
        noisy, replaced, labels = result[:3]
        count = int(self.replace_ratio * self.length + 0.5)
        assert torch.equal(noisy != self.sequences, replaced)
        assert replaced.sum(dim=1).eq(count).all()
        assert labels.all()
        assert int(noisy.min()) >= 1
        assert int(noisy.max()) <= self.num_items


@dataclass(frozen=True)
class WeightedLoss:
    """Loss and gradients, in logits and weights, of sum(w * l) / sum(w)."""

    rows: int = 2048
    classes: int = 20_000
    logits: Tensor = field(init=False, repr=False)
    targets: Tensor = field(init=False, repr=False)
    weight: Tensor = field(init=False, repr=False)

    def __post_init__(self) -> None:
        generator = torch.Generator().manual_seed(0)
        logits = torch.randn(self.rows, self.classes, generator=generator).requires_grad_()
        targets = torch.randint(0, self.classes, (self.rows,), generator=generator)
        weight = torch.rand(self.rows, generator=generator).requires_grad_()
        object.__setattr__(self, "logits", logits)
        object.__setattr__(self, "targets", targets)
        object.__setattr__(self, "weight", weight)

    @property
    def bytes_moved(self) -> int:
        """Logits read, their gradient written."""
        return 2 * 4 * self.logits.numel()

    def _gradients(self, loss: Tensor) -> tuple[Tensor, ...]:
        return (loss.detach(), *torch.autograd.grad(loss, (self.logits, self.weight)))

    @staticmethod
    def _torch_loss(logits: Tensor, targets: Tensor, weight: Tensor) -> Tensor:
        losses = F.cross_entropy(logits, targets, reduction="none")
        return (weight * losses).sum() / weight.sum()

    def atjt_ext(self) -> tuple[Tensor, ...]:
        return self._gradients(
            reweighted_cross_entropy(
                self.logits, self.targets, self.weight, reduction="weighted_mean"
            )
        )

    def torch_eager(self) -> tuple[Tensor, ...]:
        return self._gradients(self._torch_loss(self.logits, self.targets, self.weight))

    def contenders(self) -> dict[str, Callable[[], tuple[Tensor, ...]]]:
        compiled = torch.compile(self._torch_loss, fullgraph=True, dynamic=False)
        return {
            "atjt_ext": self.atjt_ext,
            "torch eager": self.torch_eager,
            "torch.compile": lambda: self._gradients(
                compiled(self.logits, self.targets, self.weight)
            ),
        }

    def check(self, result: tuple[Tensor, ...]) -> None:
        for got, wanted in zip(result, self.torch_eager(), strict=True):
            torch.testing.assert_close(got, wanted, rtol=2e-5, atol=1e-8)
