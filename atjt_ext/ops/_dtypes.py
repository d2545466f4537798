"""Dtypes that the kernels read and compute in."""

from __future__ import annotations

import torch
from torch import Tensor

DTYPES = (torch.float32, torch.float64, torch.bfloat16, torch.float16)


def arithmetic(dtype: torch.dtype) -> torch.dtype:
    """The dtype of losses, scores and weights for inputs of ``dtype``."""
    return torch.float64 if dtype == torch.float64 else torch.float32


def autocast_dtype(hidden: Tensor) -> torch.dtype | None:
    """The dtype to which torch casts the operands of a linear layer now; None for no cast."""
    kind = hidden.device.type
    # Devices by name, because torch.compile in torch 2.6 cannot trace is_autocast_available. The
    # kernels have no others.
    if hidden.dtype == torch.float64 or kind not in ("cpu", "cuda"):
        return None
    return torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else None


def autocast_operands(hidden: Tensor, item_embeddings: Tensor) -> tuple[Tensor, Tensor]:
    """Both tensors, cast by ``torch.autocast`` like the operands of a linear layer."""
    dtype = autocast_dtype(hidden)
    if dtype is None:
        return hidden, item_embeddings
    return hidden.to(dtype), item_embeddings.to(dtype)
