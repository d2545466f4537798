"""What does the exact loss over a whole catalogue cost, from hidden states to all gradients?"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property, partial

import torch
import torch.nn.functional as F
from torch import Tensor

from atjt_ext.ops import linear_reweighted_cross_entropy
from linear_peers import Losses, peers
from loss_question import Loss, LossQuestion
from question import OURS, Contender, Result

_SAMPLED = 256  # rows and items whose gradients are checked
_IGNORED = -100


@dataclass(frozen=True)
class LinearCrossEntropy(LossQuestion):
    """The loss with its gradients in hidden states, item table and weights."""

    op = "linear_reweighted_cross_entropy"
    rows: int
    classes: int
    width: int
    ignored: float = 0.0  # share of the rows

    @property
    def shape(self) -> str:
        return f"[{self.rows}, {self.width}] x [{self.classes}, {self.width}]"

    @property
    def what(self) -> str:
        return f"{self.ignored:.0%} ignored" if self.ignored else ""

    def _normal(self, rows: int, scale: float) -> Tensor:
        shape = (rows, self.width)
        numbers = torch.randn(shape, generator=self.generator, device=self.device) * scale
        return numbers.to(self.dtype).requires_grad_()

    @cached_property
    def arguments(self) -> tuple[Tensor, ...]:
        hidden = self._normal(self.rows, 1.0)
        # Logits have a standard deviation of 2, as in a trained model.
        table = self._normal(self.classes, 2 / self.width**0.5)
        drawn = partial(torch.randint, generator=self.generator, device=self.device)
        targets = drawn(0, self.classes, (self.rows,))
        ignored = drawn(0, 1000, (self.rows,)) < round(1000 * self.ignored)
        return (
            hidden,
            table,
            torch.where(ignored, _IGNORED, targets),
            self.random_weight(self.rows),
        )

    @property
    def bytes_moved(self) -> int:
        """Hidden states and item table, and their gradients."""
        return 2 * (self.rows + self.classes) * self.width * self.dtype.itemsize

    @property
    def elements(self) -> int:
        """Pairs of a row and an item."""
        return self.rows * self.classes

    # ---- contenders -----------------------------------------------------------------------------

    @property
    def ours(self) -> Loss:
        return partial(linear_reweighted_cross_entropy, reduction="weighted_mean")

    @property
    def eager(self) -> Loss:
        return _weighted(_eager)

    def contenders(self) -> dict[str, Contender | str]:
        found = super().contenders()
        for name, losses in peers(self.device).items():
            if isinstance(losses, str):
                found[name] = losses
            else:
                found[name] = Contender(partial(self.answer, _weighted(losses)))
        return found

    # ---- checks ---------------------------------------------------------------------------------

    def _chunks(self) -> Iterator[slice]:
        """As many rows at a time as a cache, or a GPU, has room for in float64."""
        size = max(1, (2**20 if self.device == "cpu" else 2**27) // self.classes)
        return (slice(first, first + size) for first in range(0, self.rows, size))

    @cached_property
    def exact(self) -> tuple[Tensor, Tensor]:
        """``[N]`` losses, 0 for ignored rows, and log-sum-exp in float64."""
        hidden, table, targets, _ = self.arguments
        losses, lse, columns = [], [], table.detach().double().T
        for rows in self._chunks():
            logits = hidden.detach()[rows].double() @ columns
            lse.append(logits.logsumexp(dim=1))
            target = targets[rows]
            at_target = logits.gather(1, target.clamp(min=0)[:, None])[:, 0]
            losses.append(torch.where(target == _IGNORED, 0, lse[-1] - at_target))
        return torch.cat(losses), torch.cat(lse)

    def errors(self, result: Result) -> dict[str, float]:
        """Norm of the error over the norm, against float64; gradients are sampled."""
        loss, grad_hidden, grad_table, grad_weight = result
        hidden, table, weight = (self.arguments[i].detach().double() for i in (0, 1, 3))
        targets, (losses, lse) = self.arguments[2], self.exact
        weight = torch.where(targets == _IGNORED, 0, weight)
        mean = (weight * losses).sum() / weight.sum()
        scale = weight / weight.sum()

        sampled = min(_SAMPLED, max(1, 2**28 // self.classes))  # at most 2 GB of float64 logits
        rows = torch.arange(0, self.rows, max(1, self.rows // sampled), device=self.device)
        share = (hidden[rows] @ table.T - lse[rows, None]).exp()
        target_rows = table[targets[rows].clamp(min=0)]
        wanted_hidden = scale[rows, None] * (share @ table - target_rows)

        items = torch.arange(0, self.classes, max(1, self.classes // _SAMPLED), device=self.device)
        share = (table[items] @ hidden.T - lse).exp()
        share -= (items[:, None] == targets).double()
        wanted_table = (scale * share) @ hidden
        wanted_weight = torch.where(targets == _IGNORED, 0, (losses - mean) / weight.sum())
        return {
            "the loss": _error(loss, mean),
            "the gradient of the hidden states": _error(grad_hidden[rows], wanted_hidden),
            "the gradient of the table": _error(grad_table[items], wanted_table),
            "the gradient of the weights": _error(grad_weight, wanted_weight),
        }

    def limit(self, name: str) -> float:
        if self.dtype == torch.float32:
            if self.device == "cpu":
                return 5e-6
            return 1e-5 if name == OURS else 5e-3  # Triton multiplies in TF32 by default
        return 4e-3 if name == OURS else 0.1  # gradients are rounded to 8 bits in the end

    def small(self) -> LinearCrossEntropy:
        return replace(self, rows=24, classes=50, width=8, backend="aot_eager")


def _weighted(losses_of: Losses) -> Loss:
    """The weighted mean around a peer that takes no weights."""

    def loss(hidden: Tensor, table: Tensor, targets: Tensor, weight: Tensor) -> Tensor:
        weight = torch.where(targets == _IGNORED, 0, weight)
        return (weight * losses_of(hidden, table, targets)).sum() / weight.sum()

    return loss


def _eager(hidden: Tensor, table: Tensor, targets: Tensor) -> Tensor:
    return F.cross_entropy(hidden @ table.T, targets, reduction="none", ignore_index=_IGNORED)


def _error(got: Tensor, wanted: Tensor) -> float:
    return float((got.double() - wanted).norm() / wanted.norm())


def questions(device: str) -> list[LinearCrossEntropy]:
    """Widths of recommenders; catalogues from five thousand to ten million items (on a GPU)."""

    def ask(
        rows: int, classes: int, width: int, dtype: torch.dtype, ignored: float = 0.0
    ) -> LinearCrossEntropy:
        return LinearCrossEntropy(rows, classes, width, ignored, dtype=dtype, device=device)

    if device == "cpu":
        over_catalogues = [ask(1024, v, 64, torch.float32) for v in (5000, 20_000, 100_000)]
        return [
            ask(4096, 20_000, 64, torch.float32),
            ask(4096, 20_000, 64, torch.float32, ignored=0.8),
            ask(2048, 20_000, 128, torch.float32),
            ask(2048, 20_000, 64, torch.bfloat16),
            *over_catalogues,
        ]
    shapes = [
        (12_800, 12_000, 64),
        (25_600, 100_000, 64),
        (25_600, 100_000, 128),
        (25_600, 100_000, 256),
        (8192, 1_000_000, 64),
        (25_600, 1_000_000, 64),
        (25_600, 1_000_000, 128),
        (8192, 10_000_000, 64),
        (7777, 99_991, 96),
        *((8192, v, 64) for v in (10_000, 100_000)),  # with those above: over catalogues
    ]
    return [
        *(ask(*shape, torch.bfloat16) for shape in shapes),
        *(ask(25_600, 100_000, 64, torch.bfloat16, ignored=share) for share in (0.5, 0.8)),
        *(ask(25_600, 100_000, 64, dtype) for dtype in (torch.float16, torch.float32)),
    ]
