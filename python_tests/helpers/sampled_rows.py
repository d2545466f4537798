"""Losses over sampled items, their references, and examples."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from atjt_ext.ops import reference, sampled_binary_cross_entropy, sampled_cross_entropy

ITEMS = 12
DEFINITIONS: dict[Any, Any] = {
    sampled_cross_entropy: reference.sampled_cross_entropy,
    sampled_binary_cross_entropy: reference.sampled_binary_cross_entropy,
}
BOTH = pytest.mark.parametrize("ours", DEFINITIONS, ids=["softmax", "binary"])
SHARED = pytest.mark.parametrize("shared", [False, True], ids=["per_row", "shared"])


def embeddings(
    rows: int,
    items: int,
    width: int,
    device: torch.device,
    *,
    dtype: torch.dtype = torch.float64,
    seed: int = 0,
) -> tuple[Tensor, Tensor]:
    """Hidden states and an item table, float64 numbers that are exact in `dtype`."""
    generator = torch.Generator().manual_seed(seed)
    scale = width**-0.25
    return tuple(  # type: ignore[return-value]
        (torch.randn(size, width, generator=generator) * scale).to(dtype).double().to(device)
        for size in (rows, items)
    )


def items_of(shape: tuple[int, ...], items: int, device: torch.device, *, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, items, shape, generator=generator).to(device)


def example(
    device: torch.device, *, shared: bool = False, rows: int = 20, k: int = 7, seed: int = 0
) -> tuple[Tensor, ...]:
    """Rows with accidental hits, repeated and absent negatives, and ignored targets."""
    hidden, table = embeddings(rows, ITEMS, 6, device, seed=seed)
    targets = items_of((rows,), ITEMS, device, seed=seed)
    negatives = items_of((k,) if shared else (rows, k), ITEMS, device, seed=seed + 1)
    negatives[..., 1] = targets[0] if shared else targets  # a hit; in its own row, or in all
    negatives[..., 3] = negatives[..., 2]
    negatives[..., 5] = -100
    targets[1::4] = -100
    weight = torch.rand(rows, generator=torch.Generator().manual_seed(seed)).double() + 0.1
    return hidden, table, targets, negatives, weight.to(device)


def gradients(function: Any, arguments: tuple[Tensor, ...], **options: Any) -> tuple[Tensor, ...]:
    """Loss, and the gradients of its sum in hidden, table and weight."""
    hidden, table, targets, negatives, weight = arguments
    leaves = [tensor.detach().requires_grad_() for tensor in (hidden, table, weight)]
    loss = function(*leaves[:2], targets, negatives, leaves[2], **options)
    factor = torch.linspace(0.5, 2, loss.numel(), dtype=loss.dtype, device=loss.device)
    grads = torch.autograd.grad((loss.flatten() * factor).sum(), leaves)
    return (loss.detach(), *grads)
