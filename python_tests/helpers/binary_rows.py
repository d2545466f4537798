"""Examples for binary cross-entropy on logits."""

from __future__ import annotations

import torch
from torch import Tensor

INF, NAN = float("inf"), float("nan")
# A number per row; around groups of 2, 4 and 32 lanes; longer than a warp; longer than blocks of
# 1024 elements, with rows that begin and end inside of them.
SHAPES = [(2100,), (2100, 1), (700, 2), (350, 3), (70, 31), (70, 32), (70, 33), (9, 200), (3, 2500)]


def example(
    shape: tuple[int, ...], device: torch.device, *, dtype: torch.dtype = torch.float32,
    scale: float = 3.0, soft: bool = False,
) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    """float64 logits that are exact in `dtype`, targets, weights that are exact in float32."""
    generator = torch.Generator().manual_seed(0)
    logits = (torch.randn(shape, generator=generator) * scale).to(dtype).double()
    targets = torch.rand(shape, generator=generator)
    weight = torch.rand(shape[:1], generator=generator).double()
    return (
        logits.to(device),
        (targets if soft else targets < 0.4).to(device),
        weight.to(device),
    )


def single(dtype: torch.dtype) -> torch.dtype:
    return torch.float64 if dtype == torch.float64 else torch.float32
