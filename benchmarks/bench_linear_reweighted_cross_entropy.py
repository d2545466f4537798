"""What does the exact loss over a whole catalogue cost, from hidden states to both gradients?"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property, partial

import torch
import torch.nn.functional as F
from torch import Tensor

from atjt_ext.ops import linear_reweighted_cross_entropy
from linear_peers import Losses, peers
from question import COMPILED, EAGER, OURS, Contender, Result, WrongResultError

_SAMPLED = 256  # rows and items whose gradients are checked
_IGNORED = -100


@dataclass(frozen=True)
class LinearCrossEntropy:
    """``sum(w * l) / sum(w)`` and its gradients in hidden states, item table and weights."""

    rows: int
    classes: int
    width: int
    dtype: torch.dtype
    device: str = "cpu"
    ignored: float = 0.0  # share of the rows
    backend: str = "inductor"  # of torch.compile

    def __str__(self) -> str:
        dtype = str(self.dtype).removeprefix("torch.")
        ignored = f", {self.ignored:.0%} ignored" if self.ignored else ""
        shape = f"[{self.rows}, {self.width}] x [{self.classes}, {self.width}]"
        return f"linear_reweighted_cross_entropy {shape} {dtype}{ignored}"

    # ---- inputs ---------------------------------------------------------------------------------

    @cached_property
    def _generator(self) -> torch.Generator:
        return torch.Generator(self.device).manual_seed(0)

    def _normal(self, rows: int, scale: float) -> Tensor:
        shape = (rows, self.width)
        numbers = torch.randn(shape, generator=self._generator, device=self.device) * scale
        return numbers.to(self.dtype).requires_grad_()

    @cached_property
    def hidden(self) -> Tensor:
        return self._normal(self.rows, 1.0)

    @cached_property
    def table(self) -> Tensor:
        # Logits spread by 2, as those of a trained model.
        return self._normal(self.classes, 2 / self.width**0.5)

    @cached_property
    def targets(self) -> Tensor:
        drawn = partial(torch.randint, generator=self._generator, device=self.device)
        targets = drawn(0, self.classes, (self.rows,))
        ignored = drawn(0, 1000, (self.rows,)) < round(1000 * self.ignored)
        return torch.where(ignored, _IGNORED, targets)

    @cached_property
    def weight(self) -> Tensor:
        weight = torch.rand(self.rows, generator=self._generator, device=self.device) + 0.1
        return weight.requires_grad_()

    @property
    def bytes_moved(self) -> int:
        """Hidden states and table read, their gradients written."""
        return 2 * (self.rows + self.classes) * self.width * self.dtype.itemsize

    @property
    def elements(self) -> int:
        """Pairs of a row and an item."""
        return self.rows * self.classes

    # ---- contenders -----------------------------------------------------------------------------

    def answer(self, loss: Callable[..., Tensor]) -> Result:
        total = loss(self.hidden, self.table, self.targets, self.weight)
        gradients = torch.autograd.grad(total, (self.hidden, self.table, self.weight))
        return (total.detach(), *gradients)

    def weighted(self, losses_of: Losses) -> Callable[..., Tensor]:
        """What a peer without weights needs around it."""

        def loss(hidden: Tensor, table: Tensor, targets: Tensor, weight: Tensor) -> Tensor:
            weight = torch.where(targets == _IGNORED, 0, weight)
            return (weight * losses_of(hidden, table, targets)).sum() / weight.sum()

        return loss

    @cached_property
    def _compiled(self) -> Callable[..., Tensor]:
        loss = self.weighted(_eager)
        return torch.compile(loss, fullgraph=True, dynamic=False, backend=self.backend)

    def contenders(self) -> dict[str, Contender | str]:
        ours = partial(linear_reweighted_cross_entropy, reduction="weighted_mean")
        found: dict[str, Contender | str] = {
            OURS: Contender(lambda: self.answer(ours)),
            EAGER: Contender(lambda: self.answer(self.weighted(_eager))),
            COMPILED: Contender(lambda: self.answer(self._compiled)),
        }
        for name, losses_of in peers(self.device).items():
            if isinstance(losses_of, str):
                found[name] = losses_of
            else:
                loss = self.weighted(losses_of)
                found[name] = Contender(partial(self.answer, loss))
        return found

    # ---- checks ---------------------------------------------------------------------------------

    def _chunks(self) -> Iterator[slice]:
        """Some rows at a time: what a cache, or a GPU, has room for in float64."""
        size = max(1, (2**20 if self.device == "cpu" else 2**27) // self.classes)
        return (slice(first, first + size) for first in range(0, self.rows, size))

    @cached_property
    def exact(self) -> tuple[Tensor, Tensor]:
        """``[N]`` losses, 0 where ignored, and log-sum-exp in float64."""
        losses, lse, table = [], [], self.table.detach().double()
        for rows in self._chunks():
            logits = self.hidden.detach()[rows].double() @ table.T
            lse.append(logits.logsumexp(dim=1))
            target = self.targets[rows]
            at_target = logits.gather(1, target.clamp(min=0)[:, None])[:, 0]
            losses.append(torch.where(target == _IGNORED, 0, lse[-1] - at_target))
        return torch.cat(losses), torch.cat(lse)

    def errors(self, result: Result) -> dict[str, float]:
        """Norm of the error over the norm, against float64; of gradients, for a sample."""
        loss, grad_hidden, grad_table, grad_weight = result
        losses, lse = self.exact
        weight = torch.where(self.targets == _IGNORED, 0, self.weight.detach().double())
        mean = (weight * losses).sum() / weight.sum()
        scale = weight / weight.sum()
        hidden, table = self.hidden.detach().double(), self.table.detach().double()

        sampled = min(_SAMPLED, max(1, 2**28 // self.classes))  # float64 logits of all items: 2 GB
        rows = torch.arange(0, self.rows, max(1, self.rows // sampled), device=self.device)
        kept = scale[rows] > 0
        share = (hidden[rows] @ table.T - lse[rows, None]).exp()
        target_rows = table[self.targets[rows].clamp(min=0)]
        wanted_hidden = (scale[rows] * kept)[:, None] * (share @ table - target_rows)

        items = torch.arange(0, self.classes, max(1, self.classes // _SAMPLED), device=self.device)
        share = (table[items] @ hidden.T - lse).exp()
        share -= (items[:, None] == self.targets).double()
        wanted_table = (scale * share) @ hidden
        wanted_weight = torch.where(self.targets == _IGNORED, 0, (losses - mean) / weight.sum())
        return {
            "the loss": _error(loss, mean),
            "the gradient of the hidden states": _error(grad_hidden[rows], wanted_hidden),
            "the gradient of the table": _error(grad_table[items], wanted_table),
            "the gradient of the weights": _error(grad_weight, wanted_weight),
        }

    def check(self, name: str, result: Result) -> float:
        errors = self.errors(result)
        for output, error in errors.items():
            if not error <= self._limit(name):  # NaN too
                limit = self._limit(name)
                raise WrongResultError(
                    f"{name}: the relative error of {output} is {error:.2g}, more than {limit:.2g}"
                )
        return max(errors.values())

    def _limit(self, name: str) -> float:
        if self.dtype == torch.float32:
            if self.device == "cpu":
                return 5e-6
            return 1e-5 if name == OURS else 5e-3  # Triton multiplies in TF32 unless told not to
        return 4e-3 if name == OURS else 0.1  # gradients are rounded to 8 bits in the end

    def fresh(self) -> LinearCrossEntropy:
        return replace(self)

    def small(self) -> LinearCrossEntropy:
        return replace(self, rows=24, classes=50, width=8, backend="aot_eager")


def _eager(hidden: Tensor, table: Tensor, targets: Tensor) -> Tensor:
    return F.cross_entropy(hidden @ table.T, targets, reduction="none", ignore_index=_IGNORED)


def _error(got: Tensor, wanted: Tensor) -> float:
    return float((got.double() - wanted).norm() / wanted.norm())


def questions(device: str) -> list[LinearCrossEntropy]:
    """Widths of recommenders; catalogues from five thousand items to, on a GPU, ten million."""
    ask = partial(LinearCrossEntropy, device=device)
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


def bench_linear_cross_entropy(ask: Callable[[], None]) -> None:
    ask()
