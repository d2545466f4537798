"""Examples for the losses with one weight per row, and how their errors are measured."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any, get_args

import pytest
import torch
from torch import Tensor

from atjt_ext.ops import (
    Reduction,
    reference,
    reweighted_binary_cross_entropy,
    reweighted_cross_entropy,
)

REDUCTIONS = get_args(Reduction)
HALVES = [torch.bfloat16, torch.float16]
DTYPES = [torch.float32, torch.float64, *HALVES]
INF, NAN = float("inf"), float("nan")
# A number per row; around groups of 2, 4 and 32 lanes; longer than a warp; longer than blocks of
# 1024 elements, with rows that begin and end inside of them.
BINARY_SHAPES = [
    (2100,),
    (2100, 1),
    (700, 2),
    (350, 3),
    (70, 31),
    (70, 32),
    (70, 33),
    (9, 200),
    (3, 2500),
]


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


def binary_example(
    shape: tuple[int, ...],
    device: torch.device,
    *,
    dtype: torch.dtype = torch.float32,
    scale: float = 3.0,
    soft: bool = False,
) -> tuple[Tensor, Tensor, Tensor]:
    """float64 logits that are exact in `dtype`, targets, weights that are exact in float32."""
    generator = torch.Generator().manual_seed(0)
    logits = (torch.randn(shape, generator=generator) * scale).to(dtype).double()
    targets = torch.rand(shape, generator=generator)
    weight = torch.rand(shape[:1], generator=generator).double()
    return logits.to(device), (targets if soft else targets < 0.4).to(device), weight.to(device)


def _binary_rows(
    rows: int, classes: int | None, device: torch.device, **options: Any
) -> tuple[Tensor, Tensor, Tensor]:
    shape = (rows,) if classes is None else (rows, classes)
    return binary_example(shape, device, **options)


LOSSES: dict[str, tuple[Any, Any, Any]] = {
    "softmax": (reweighted_cross_entropy, reference.reweighted_cross_entropy, example),
    "binary": (
        reweighted_binary_cross_entropy,
        reference.reweighted_binary_cross_entropy,
        _binary_rows,
    ),
}
"""Each loss, its reference, and its example for numbers of rows and classes."""
BOTH = pytest.mark.parametrize("name", LOSSES)


def example_with_marks(
    rows: int, classes: int, device: torch.device, *, dtype: torch.dtype
) -> tuple[Tensor, Tensor, Tensor]:
    """As `example`, but any element that a kernel could leave out changes losses and gradients.

    Such elements are at the ends of a row, and 1, 3 or 7 times a power of two elements from an end:
    the ends of vectors, blocks and tiles. Logits are higher there and differ from their neighbours.
    The target is elsewhere, so that label smoothing depends on the rest as well.
    """
    logits, targets, weight = example(rows, classes, device, dtype=dtype, scale=1.0)
    sizes = [0, *(times << power for times in (1, 3, 7) for power in range(3, 24))]
    edges = torch.tensor([edge for size in sizes for edge in (size, classes - size)])
    marks = (edges[:, None] + torch.arange(-8, 8)).flatten().unique()
    marks = marks[(marks >= 0) & (marks < classes)]
    logits[:, marks.to(device)] = (6 + marks % 41 / 16).double().to(device)  # exact in 8 bits
    targets = torch.where(targets == -100, -100, classes // 3)
    logits[:, classes // 3] = 0
    return logits, targets, weight


def gradients(
    function: Any, logits: Tensor, targets: Tensor, weight: Tensor, **options: Any
) -> tuple[Tensor, Tensor, Tensor]:
    """Loss and the gradients in logits and weight of its sum."""
    logits, weight = logits.detach().requires_grad_(), weight.detach().requires_grad_()
    loss = function(logits, targets, weight, **options)
    grads = torch.autograd.grad(loss.sum(), (logits, weight), allow_unused=True)
    return loss.detach(), grads[0], grads[1]


ours = partial(gradients, reweighted_cross_entropy)
by_definition = partial(gradients, reference.reweighted_cross_entropy)
binary_ours = partial(gradients, reweighted_binary_cross_entropy)
binary_by_definition = partial(gradients, reference.reweighted_binary_cross_entropy)


def relative_error(got: Tensor, wanted: Tensor) -> float:
    return float((got.double() - wanted).norm() / wanted.norm().clamp(min=1e-30))


def rounded_once(got: Tensor, exact: Tensor, *, slack: float | Tensor) -> bool:
    """Whether each number is exact up to half a unit in the last place and `slack`."""
    limits = torch.finfo(got.dtype)
    ulp = limits.eps * exact.abs().clamp(min=limits.smallest_normal)
    return bool(((got.double() - exact).abs() <= 0.5 * ulp + slack).all())


def free_gibibytes(device: torch.device) -> int:
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0] >> 30
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) >> 20
    return 0


def need_memory(device: torch.device, gibibytes: int, what: str) -> None:
    free = free_gibibytes(device)
    if free < gibibytes:
        where = "the GPU" if device.type == "cuda" else "this machine"
        pytest.skip(f"{what} ask for {gibibytes} GiB, {where} has {free} GiB free")
