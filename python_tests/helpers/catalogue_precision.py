"""Examples for the CUDA kernels of the whole-catalogue loss, and checks against float64."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from helpers import catalogue_kernels
from helpers.catalogue_kernels import Catalogue, Forward, catalogue

PRECISIONS = ["bfloat16", "float16", "tf32", "float32"]


def tf32(x: Tensor) -> Tensor:
    """The numbers cut to 11 bits, which TF32 does not round."""
    return (x.view(torch.int32) & ~0x1FFF).view(torch.float32)


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
) -> Catalogue:
    """A catalogue on the CPU whose logits have the standard deviation ``spread``."""
    dtype = torch.float32 if precision == "tf32" else getattr(torch, precision)
    cpu = torch.device("cpu")
    c = catalogue(rows, classes, width, cpu, dtype=dtype, spread=spread, bias=bias, seed=seed)
    if precision == "tf32":
        c = replace(c, hidden=tf32(c.hidden), table=tf32(c.table), allow_tf32=True)
    return replace(c, **options)


def exact_logits(c: Catalogue) -> Tensor:
    """Logits of the rows that count, in float64."""
    return c.as_dtype(torch.float64).logits()


def forward(cuda: torch.device, c: Catalogue, *, mean: bool = True) -> Forward:
    """Results of the CUDA kernels, on the CPU."""
    got = catalogue_kernels.forward(c.to(cuda), mean=mean)
    return Forward(*(None if x is None else x.cpu() for x in got))


def gradient(
    cuda: torch.device,
    c: Catalogue,
    origins: Tensor,
    factors: Tensor,
    target_factors: Tensor,
    *,
    into: Tensor | None = None,
    accumulate: bool = False,
    unscale: float | None = None,
    shift: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Gradients of table (float32 or the dtype of ``into``) and bias, on the CPU."""
    grad = torch.full(c.table.shape, math.nan) if into is None else into.clone()
    grad, grad_bias = catalogue_kernels.table_gradient(
        c.to(cuda),
        origins.to(cuda),
        factors.to(cuda),
        target_factors.to(cuda),
        unscale=None if unscale is None else torch.tensor(unscale, device=cuda),
        shift=None if shift is None else shift.to(cuda),
        grad_table=grad.to(cuda),
        accumulate=accumulate,
    )
    assert grad_bias is not None
    return grad.cpu(), grad_bias.cpu()


def error(got: Tensor, wanted: Tensor) -> float:
    """Norm of the error over the norm of the truth."""
    difference = (got.double() - wanted.double()).norm()
    return float(difference / wanted.double().norm().clamp_min(1e-300))


def product_limit(c: Catalogue) -> float:
    if c.hidden.dtype == torch.float32 and not c.allow_tf32:
        return 1e-6
    # Weights are rounded to 8 bits, 11 elsewhere: they err by 1.1e-3 (root mean square) and 1.4e-4.
    # Sums with random signs keep this error; most also have an exact term, of the target.
    return 1.5e-3 if c.hidden.dtype == torch.bfloat16 else 5e-4


def check_forward(
    cuda: torch.device, c: Catalogue, *, mean: bool = True, limit_of_gradients: float | None = None
) -> Forward:
    """Check the forward pass against float64 on the same numbers."""
    got = forward(cuda, c, mean=mean)
    counted, logits = c.rows, exact_logits(c)
    targets = c.targets[:counted]
    losses = logits.logsumexp(1) - logits.gather(1, targets[:, None])[:, 0]
    limit = min(1e-5, 10 * product_limit(c))
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
    wanted = logits.softmax(1) @ c.table.double()
    mean_got = got.mean_embedding[:counted].double()
    assert error(mean_got, wanted) <= 2 * product_limit(c)
    # The difference is the gradient of the hidden states, up to a factor.
    embeddings = c.table[targets].double()
    assert error(mean_got - embeddings, wanted - embeddings) <= (
        limit_of_gradients or product_limit(c)
    )
    assert not got.mean_embedding[counted:].any()
    return got


def check_gradient(
    cuda: torch.device, c: Catalogue, *, limit_of_gradients: float | None = None
) -> None:
    """Check the table gradient for a randomly weighted sum of losses."""
    counted, logits = c.rows, exact_logits(c)
    rows = len(c.hidden)
    weights = torch.rand(rows, generator=torch.Generator().manual_seed(1))
    origins = torch.full((rows,), math.nan)
    origins[:counted] = logits.max(1).values.float()
    exponentials = (logits - origins[:counted, None].double()).exp()
    factors, target_factors = torch.full((rows,), math.nan), torch.full((rows,), math.nan)
    factors[:counted] = (weights[:counted] / exponentials.sum(1)).float()
    is_target = torch.zeros_like(logits, dtype=torch.bool)
    is_target[torch.arange(counted), c.targets[:counted]] = True
    p_target = (exponentials * is_target).sum(1) / exponentials.sum(1)
    target_factors[:counted] = (weights[:counted] * (p_target - 1)).float()

    coefficients = factors[:counted, None].double() * exponentials.masked_fill(is_target, 0)
    coefficients += target_factors[:counted, None].double() * is_target
    wanted = coefficients.T @ c.hidden[:counted].double()
    largest = float((factors[:counted, None] * exponentials.masked_fill(is_target, 0)).max())
    unscale = 2.0 ** (math.frexp(largest)[1] - 10) if c.hidden.dtype == torch.float16 else 1.0
    grad, grad_bias = gradient(cuda, c, origins, factors / unscale, target_factors, unscale=unscale)
    assert error(grad, wanted) <= (limit_of_gradients or product_limit(c))
    assert error(grad_bias, coefficients.sum(0)) <= min(1e-5, 10 * product_limit(c))


def check_both(
    cuda: torch.device, c: Catalogue, *, limit_of_gradients: float | None = None
) -> None:
    """Check both passes."""
    check_forward(cuda, c, limit_of_gradients=limit_of_gradients)
    check_gradient(cuda, c, limit_of_gradients=limit_of_gradients)
