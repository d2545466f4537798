"""The CUDA kernels of the whole-catalogue loss at the seam: problems, calls, and what is right."""

from __future__ import annotations

import math
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True)
class Kernels:
    """The seam, and where its tensors live."""

    module: ModuleType
    device: torch.device


@dataclass(frozen=True)
class Problem:
    """Inputs on the CPU; targets ascending."""

    hidden: Tensor
    table: Tensor
    targets: Tensor
    bias: Tensor | None = None
    rows_counted: int | None = None
    scale: float = 1.0
    allow_tf32: bool = True

    @property
    def counted(self) -> int:
        return len(self.hidden) if self.rows_counted is None else self.rows_counted

    def logits(self) -> Tensor:
        """In float64, of the rows that count."""
        scores = self.hidden[: self.counted].double() @ self.table.double().T
        if self.bias is not None:
            scores += self.bias.double()
        return self.scale * scores

    def arguments(self, device: torch.device) -> dict[str, Any]:
        def there(x: Tensor | None) -> Tensor | None:
            return None if x is None else x.to(device)

        counted = None if self.rows_counted is None else torch.tensor(self.rows_counted)
        return {
            "hidden": there(self.hidden),
            "table": there(self.table),
            "targets": there(self.targets),
            "bias": there(self.bias),
            "rows_counted": there(counted),
            "scale": self.scale,
            "allow_tf32": self.allow_tf32,
            "num_threads": 1,
        }


def tf32(x: Tensor) -> Tensor:
    """Numbers of 11 bits, which TF32 takes as they are."""
    return (x.view(torch.int32) & ~0x1FFF).view(torch.float32)


PRECISIONS = ["bfloat16", "float16", "tf32", "float32"]


def problem(
    precision: str,
    rows: int,
    classes: int,
    width: int,
    *,
    spread: float = 1.0,
    seed: int = 0,
    bias: bool = False,
    **options: Any,
) -> Problem:
    """Logits of standard deviation ``spread``."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator)

    hidden, table = spread * normal(rows, width), normal(classes, width) / math.sqrt(width)
    if precision == "tf32":
        hidden, table = tf32(hidden), tf32(table)
    elif precision != "float32":
        dtype = getattr(torch, precision)
        hidden, table = hidden.to(dtype), table.to(dtype)
    targets = torch.randint(classes, (rows,), generator=generator).sort().values
    return Problem(
        hidden,
        table,
        targets,
        bias=normal(classes) if bias else None,
        allow_tf32=precision == "tf32",
        **options,
    )


def workspace(kernels: Kernels, p: Problem, which: int) -> Tensor:
    size = kernels.module.linear_cross_entropy_workspace(p.hidden, len(p.table))[which]
    # NaN everywhere: what is read has to be written first.
    return torch.full((size,), 0xFF, dtype=torch.uint8, device=kernels.device)


@dataclass(frozen=True)
class Forward:
    losses: Tensor
    origins: Tensor
    sums: Tensor
    mean_embedding: Tensor | None


def forward(kernels: Kernels, p: Problem, *, mean: bool = True) -> Forward:
    rows, width = p.hidden.shape
    losses, origins, sums = (torch.full((rows,), math.nan, device=kernels.device) for _ in range(3))
    out = Forward(
        losses,
        origins,
        sums,
        torch.full((rows, width), math.nan, device=kernels.device) if mean else None,
    )
    kernels.module.linear_cross_entropy(
        **p.arguments(kernels.device), **vars(out), workspace=workspace(kernels, p, 0)
    )
    return Forward(*(None if x is None else x.cpu() for x in vars(out).values()))


def gradient(
    kernels: Kernels,
    p: Problem,
    origins: Tensor,
    factors: Tensor,
    target_factors: Tensor,
    *,
    into: Tensor | None = None,
    dtype: torch.dtype = torch.float32,
    accumulate: bool = False,
    unscale: float | None = None,
    shift: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Of the table and of the bias."""
    there = kernels.device
    grad = torch.full(p.table.shape, math.nan, dtype=dtype) if into is None else into.clone()
    grad = grad.to(there)
    grad_bias = torch.full((len(p.table),), math.nan, device=there)
    kernels.module.linear_cross_entropy_table_gradient(
        **p.arguments(there),
        origins=origins.to(there),
        factors=factors.to(there),
        target_factors=target_factors.to(there),
        unscale=None if unscale is None else torch.tensor(unscale, device=there),
        shift=None if shift is None else shift.to(there),
        grad_table=grad,
        grad_bias=grad_bias,
        accumulate=accumulate,
        workspace=workspace(kernels, p, 1),
    )
    return grad.cpu(), grad_bias.cpu()


def error(got: Tensor, wanted: Tensor) -> float:
    """Relative, by norm."""
    difference = (got.double() - wanted.double()).norm()
    return float(difference / wanted.double().norm().clamp_min(1e-300))


def product_limit(p: Problem) -> float:
    if p.hidden.dtype == torch.float32 and not p.allow_tf32:
        return 1e-6
    # Weights are rounded to 8 bits, 11 elsewhere: they err by 1.1e-3 (root mean square) and 1.4e-4.
    # Sums of signs at random keep that; most have an exact term beside it, the target's.
    return 1.5e-3 if p.hidden.dtype == torch.bfloat16 else 5e-4


def check_forward(
    kernels: Kernels, p: Problem, *, mean: bool = True, limit_of_gradients: float | None = None
) -> Forward:
    """Against float64 on the same numbers."""
    got = forward(kernels, p, mean=mean)
    counted, logits = p.counted, p.logits()
    targets = p.targets[:counted]
    losses = logits.logsumexp(1) - logits.gather(1, targets[:, None])[:, 0]
    limit = min(1e-5, 10 * product_limit(p))
    assert error(got.losses[:counted], losses) <= limit
    below = logits.max(1).values - got.origins[:counted].double()
    assert below.min() >= -1e-3 * logits.abs().max() - 1e-3
    assert below.max() <= 40
    sums = (logits - got.origins[:counted, None].double()).exp().sum(1)
    assert error(got.sums[:counted], sums) <= 1e-5 * max(1.0, float(logits.abs().max()) / 10)
    for x, value in ((got.losses, 0), (got.origins, 0), (got.sums, 1)):
        assert torch.equal(x[counted:], torch.full_like(x[counted:], value))
    if not mean:
        return got
    assert got.mean_embedding is not None
    wanted = logits.softmax(1) @ p.table.double()
    mean_got = got.mean_embedding[:counted].double()
    assert error(mean_got, wanted) <= 2 * product_limit(p)
    embeddings = p.table[targets].double()  # the gradient of the hidden states, but for a factor
    assert error(mean_got - embeddings, wanted - embeddings) <= (
        limit_of_gradients or product_limit(p)
    )
    assert not got.mean_embedding[counted:].any()
    return got


def check_gradient(
    kernels: Kernels, p: Problem, *, limit_of_gradients: float | None = None
) -> None:
    """With the factors that a sum of losses weighted at random has."""
    counted, logits = p.counted, p.logits()
    rows = len(p.hidden)
    weights = torch.rand(rows, generator=torch.Generator().manual_seed(1))
    origins = torch.full((rows,), math.nan)
    origins[:counted] = logits.max(1).values.float()
    exponentials = (logits - origins[:counted, None].double()).exp()
    factors, target_factors = torch.full((rows,), math.nan), torch.full((rows,), math.nan)
    factors[:counted] = (weights[:counted] / exponentials.sum(1)).float()
    is_target = torch.zeros_like(logits, dtype=torch.bool)
    is_target[torch.arange(counted), p.targets[:counted]] = True
    p_target = (exponentials * is_target).sum(1) / exponentials.sum(1)
    target_factors[:counted] = (weights[:counted] * (p_target - 1)).float()

    coefficients = factors[:counted, None].double() * exponentials.masked_fill(is_target, 0)
    coefficients += target_factors[:counted, None].double() * is_target
    wanted = coefficients.T @ p.hidden[:counted].double()
    largest = float((factors[:counted, None] * exponentials.masked_fill(is_target, 0)).max())
    unscale = 2.0 ** (math.frexp(largest)[1] - 10) if p.hidden.dtype == torch.float16 else 1.0
    grad, grad_bias = gradient(
        kernels, p, origins, factors / unscale, target_factors, unscale=unscale
    )
    assert error(grad, wanted) <= (limit_of_gradients or product_limit(p))
    assert error(grad_bias, coefficients.sum(0)) <= min(1e-5, 10 * product_limit(p))
