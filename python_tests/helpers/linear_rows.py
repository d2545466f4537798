"""Examples for the loss over a whole catalogue without logits, and comparison of results."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

import emulator
from atjt_ext.ops import linear_reweighted_cross_entropy, reference
from helpers.operators import arithmetic

OPTIONS: list[dict[str, Any]] = [
    {},
    {"label_smoothing": 0.1},
    {"z_loss": 1e-2},
    {"temperature": 0.5, "label_smoothing": 0.2, "z_loss": 1e-3},
]


class Rows(NamedTuple):
    """float64 inputs; ``hidden`` and ``table`` are exact in a given dtype."""

    hidden: Tensor
    table: Tensor
    targets: Tensor
    weight: Tensor
    bias: Tensor

    def to(self, dtype: torch.dtype) -> Rows:
        """Hidden states and table in this dtype, weights and bias in float32 (or float64)."""
        hidden, table, targets, weight, bias = self
        finer = (tensor.to(arithmetic(dtype)) for tensor in (weight, bias))
        return Rows(hidden.to(dtype), table.to(dtype), targets, *finer)

    def part(self, rows: Any) -> Rows:
        hidden, table, targets, weight, bias = self
        return Rows(hidden[rows], table, targets[rows], weight[rows], bias)


class Results(NamedTuple):
    """Loss, log-sum-exp, and gradients of ``loss.sum()``."""

    loss: Tensor
    lse: Tensor
    hidden: Tensor
    table: Tensor
    weight: Tensor
    bias: Tensor


def example(
    rows: int,
    classes: int,
    width: int,
    device: torch.device,
    *,
    dtype: torch.dtype = torch.float32,
    spread: float = 2.0,
    seed: int = 0,
) -> Rows:
    """Rows whose logits have this standard deviation; every fourth row is ignored."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int, scale: float = 1.0) -> Tensor:
        return (torch.randn(shape, generator=generator) * scale).to(dtype).double()

    targets = torch.randint(0, classes, (rows,), generator=generator)
    targets[1::4] = -100
    found = (
        normal(rows, width),
        normal(classes, width, scale=spread / width**0.5),
        targets,
        torch.rand(rows, generator=generator).double() + 0.1,
        torch.randn(classes, generator=generator).double(),
    )
    return Rows(*(tensor.to(device) for tensor in found))


def results(function: Callable[..., Any], rows: Rows, **options: Any) -> Results:
    leaves = [tensor.detach().clone().requires_grad_() for tensor in rows[:2] + rows[3:]]
    hidden, table, weight, bias = leaves
    loss, lse = function(hidden, table, rows.targets, weight, bias=bias, return_lse=True, **options)
    gradients = torch.autograd.grad(loss.sum(), leaves)
    return Results(loss.detach(), lse.detach(), *gradients)


def ours(rows: Rows, **options: Any) -> Results:
    return results(linear_reweighted_cross_entropy, rows, **options)


def exact(rows: Rows, **options: Any) -> Results:
    """The definition in float64, on the numbers of `rows`."""
    return results(reference.linear_reweighted_cross_entropy, rows.to(torch.float64), **options)


def finest(device: torch.device) -> torch.dtype:
    """The most exact dtype with kernels."""
    return torch.float32 if emulator.runs_cuda_kernels(device) else torch.float64


def dtypes(device: torch.device) -> list[torch.dtype]:
    return [torch.float32, torch.bfloat16, torch.float16] + (
        [] if emulator.runs_cuda_kernels(device) else [torch.float64]
    )


# Limits on the norm of the error over the norm: of numbers computed in float32 (float64), and of
# gradients, for which probabilities and results are rounded to the half types.
COMPUTED = {torch.float64: 1e-12, torch.float32: 5e-6}
ROUNDED = {**COMPUTED, torch.bfloat16: 4e-3, torch.float16: 1e-3}


def assert_alike(got: Results, wanted: Results, names: str) -> None:
    """The named results are close."""
    for name in names.split():
        torch.testing.assert_close(getattr(got, name), getattr(wanted, name))


def assert_close(got: Results, wanted: Results, dtype: torch.dtype, *, slack: float = 0.0) -> None:
    """Each result within the rounding errors of its dtype; `slack` in the units of each."""
    computed = COMPUTED[arithmetic(dtype)]
    for name, ours, theirs in zip(Results._fields, got, wanted, strict=True):
        limit = ROUNDED[dtype] if name in ("hidden", "table", "bias") else computed
        size = float(theirs.norm().clamp(min=1e-30))
        error = float((ours.double() - theirs).norm())
        assert error <= limit * size + slack, f"{name}: {error / size:.2g}"
        assert ours.shape == theirs.shape
