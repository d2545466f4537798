"""Seeds and steps: numbers, or tensors that the kernels read on the device."""

from __future__ import annotations

import torch
from torch import Tensor


def number_or_tensor(
    name: str, value: int | Tensor, bits: int, device: torch.device
) -> tuple[int, Tensor | None]:
    """The number as the schemas' signed int, or 0 and the tensor.

    Raises:
        ValueError: a number outside ``[0, 2**bits)``, or no 0-d int64 tensor on ``device``.
    """
    if isinstance(value, Tensor):
        if value.dim() != 0 or value.dtype != torch.int64 or value.device != device:
            got = f"shape {tuple(value.shape)}, {value.dtype} on {value.device}"
            raise ValueError(f"{name} must be a number or 0-d int64 on {device}, got {got}")
        return 0, value
    if not 0 <= value < 2**bits:
        raise ValueError(f"{name} must be in [0, 2**{bits}), got {value}")
    return value if value < 2**63 else value - 2**64, None
