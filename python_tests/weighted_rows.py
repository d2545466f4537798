"""Examples for the losses with one weight per row, and how their errors are measured."""

from __future__ import annotations

from typing import Any, get_args

import torch
from torch import Tensor

from atjt_ext.ops import Reduction

REDUCTIONS = get_args(Reduction)
HALVES = [torch.bfloat16, torch.float16]
DTYPES = [torch.float32, torch.float64, *HALVES]


def example(
    rows: int,
    classes: int,
    device: torch.device,
    *,
    dtype: torch.dtype = torch.float32,
    scale: float = 3.0,
    seed: int = 0,
) -> tuple[Tensor, Tensor, Tensor]:
    """float64 logits that are exact in `dtype`, targets with every fourth row ignored, weights."""
    generator = torch.Generator().manual_seed(seed)
    logits = (torch.randn(rows, classes, generator=generator) * scale).to(dtype).double()
    targets = torch.randint(0, classes, (rows,), generator=generator)
    targets[1::4] = -100
    weight = torch.rand(rows, generator=generator).double()
    return logits.to(device), targets.to(device), weight.to(device)


def gradients(
    function: Any, logits: Tensor, targets: Tensor, weight: Tensor, **options: Any
) -> tuple[Tensor, Tensor, Tensor]:
    """Loss and the gradients in logits and weight of its sum."""
    logits, weight = logits.detach().requires_grad_(), weight.detach().requires_grad_()
    loss = function(logits, targets, weight, **options)
    grads = torch.autograd.grad(loss.sum(), (logits, weight), allow_unused=True)
    return loss.detach(), grads[0], grads[1]


def relative_error(got: Tensor, wanted: Tensor) -> float:
    return float((got.double() - wanted).norm() / wanted.norm().clamp(min=1e-30))


def rounded_once(got: Tensor, exact: Tensor, *, slack: float) -> bool:
    """Is each number the exact one, up to half a unit in the last place and `slack`?"""
    limits = torch.finfo(got.dtype)
    ulp = limits.eps * exact.abs().clamp(min=limits.smallest_normal)
    return bool(((got.double() - exact).abs() <= 0.5 * ulp + slack).all())
