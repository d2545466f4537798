"""Mixed precision: the dtype of matrix products in training."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Literal

import torch
from torch import Tensor

__all__ = ["Precision", "autocast", "in_autocast_dtype", "widened"]

Precision = Literal["float32", "bfloat16"]


def autocast(precision: Precision, device: torch.device) -> AbstractContextManager[object]:
    """``torch.autocast`` to ``precision``; an empty context for float32."""
    if precision == "float32":
        return nullcontext()
    return torch.autocast(device.type, dtype=getattr(torch, precision))


def in_autocast_dtype(*tensors: Tensor) -> tuple[Tensor, ...]:
    """``tensors`` in autocast's dtype, for operators that torch's autocast does not know."""
    kind = tensors[0].device.type
    if not torch.is_autocast_enabled(kind):
        return tensors
    dtype = torch.get_autocast_dtype(kind)
    return tuple(tensor.to(dtype) for tensor in tensors)


def widened(tensor: Tensor) -> Tensor:
    """Half precision as float32, other dtypes unchanged: for sums and weights."""
    return tensor.float() if tensor.dtype in (torch.bfloat16, torch.float16) else tensor
