"""Examples for what is computed from sampled items."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode


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


class LargestOutput(TorchDispatchMode):
    """Notes the number of elements of the largest tensor that an operation returns."""

    def __init__(self) -> None:
        super().__init__()
        self.elements = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        for output in torch.utils._pytree.tree_leaves(result):
            if isinstance(output, Tensor):
                self.elements = max(self.elements, output.numel())
        return result
