"""Seeds and steps: numbers, or tensors that the kernels read on the device."""

from __future__ import annotations

import torch
from torch import Tensor

from atjt_ext.ops._checks import require_integer


def number_or_tensor(
    name: str, value: int | Tensor, bits: int, device: torch.device
) -> tuple[int, Tensor | None]:
    """The number as the schemas' signed int, or 0 and the tensor.

    Raises:
        ValueError: a number outside ``[0, 2**bits)``, or no 0-d int64 tensor on ``device``.
        TypeError: neither an integer nor a tensor.
    """
    if isinstance(value, Tensor):
        if value.dim() != 0 or value.dtype != torch.int64 or value.device != device:
            got = f"shape {tuple(value.shape)}, {value.dtype} on {value.device}"
            raise ValueError(f"{name} must be a number or 0-d int64 on {device}, got {got}")
        return 0, value
    number = require_integer(name, value, 0, 2**bits, f"in [0, 2**{bits})")
    return number if number < 2**63 else number - 2**64, None
