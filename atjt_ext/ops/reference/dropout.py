"""Dropout by key, in plain torch."""

from __future__ import annotations

import torch
from torch import Tensor

from .corruption import philox4x32_10

_LOW = 0xFFFFFFFF  # the low 32 bits


def layer_key(seed: int, layer: int) -> tuple[int, int]:
    """The key of Philox for the draws of ``layer``, itself a draw of ``seed``."""
    counter = torch.tensor([layer, 0, _LOW, 0])
    low, high, *_ = philox4x32_10(counter, (seed & _LOW, seed >> 32)).tolist()
    return low, high


def dropout_bits(
    row_keys: Tensor, positions: Tensor, width: int, *, layer: int, seed: int, step: int
) -> Tensor:
    """``[T, width]`` in ``[0, 2**16)``: the bits that decide on each number."""
    groups = torch.arange(-(-width // 8), device=positions.device)
    index = positions[:, None] * 2**9 + groups
    words = [(row_keys & _LOW)[:, None], (row_keys >> 32 & _LOW)[:, None], index]
    counter = torch.stack(
        [*(word.expand_as(index) for word in words), torch.full_like(index, step)], dim=-1
    )
    drawn = philox4x32_10(counter, layer_key(seed, layer))
    return torch.stack([drawn & 0xFFFF, drawn >> 16], dim=-1).flatten(1)[:, :width]


def keyed_dropout(
    values: Tensor,
    p: float,
    row_keys: Tensor,
    positions: Tensor,
    *,
    layer: int,
    seed: int,
    step: int = 0,
) -> Tensor:
    """The definition of :func:`atjt_ext.ops.keyed_dropout`, to the bit."""
    threshold = min(round(p * 2**16), 2**16 - 1)
    real = torch.float64 if values.dtype == torch.float64 else torch.float32
    scale = (torch.tensor(2.0**16, dtype=real) / (2**16 - threshold)).to(values.device)
    bits = dropout_bits(row_keys, positions, values.shape[1], layer=layer, seed=seed, step=step)
    kept = (values.to(real) * scale).to(values.dtype)
    return torch.where(bits < threshold, torch.zeros_like(kept), kept)
