"""Mixed precision: the dtype of matrix products in training."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from functools import cache
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

__all__ = ["Precision", "autocast", "in_autocast_dtype", "usable_precision", "widened"]

Precision = Literal["float32", "bfloat16"]


def autocast(precision: Precision, device: torch.device) -> AbstractContextManager[object]:
    """``torch.autocast`` to ``precision``; an empty context for float32."""
    if precision == "float32":
        return nullcontext()
    return torch.autocast(device.type, dtype=getattr(torch, precision))


def usable_precision(precision: Precision, device: torch.device) -> Precision:
    """``precision``, or float32 on a processor without instructions for bfloat16 products: torch
    would make each of them of conversions, several times slower than in float32."""
    if precision == "bfloat16" and device.type == "cpu" and not _multiplies_bfloat16():
        return "float32"
    return precision


# x86 names the instructions of AVX-512 and AMX, Arm those of its vectors.
_BFLOAT16_FLAGS = {"avx512_bf16", "amx_bf16", "bf16"}


@cache
def _multiplies_bfloat16(cpuinfo: str = "/proc/cpuinfo") -> bool:
    try:
        lines = Path(cpuinfo).read_text("utf-8", "replace").splitlines()
    except OSError:  # no Linux: the instructions are unknown
        return False
    flags = (line.partition(":") for line in lines)
    return any(
        name.strip().lower() in ("flags", "features")
        and not _BFLOAT16_FLAGS.isdisjoint(found.split())
        for name, _, found in flags
    )


def in_autocast_dtype(*tensors: Tensor) -> tuple[Tensor, ...]:
    """``tensors`` in autocast's dtype, for operators that torch's autocast does not know.

    On a CPU in float32: the operators compute in it there, and would only convert.
    """
    kind = tensors[0].device.type
    if not torch.is_autocast_enabled(kind):
        return tensors
    if kind == "cpu":
        return tuple(map(widened, tensors))
    dtype = torch.get_autocast_dtype(kind)
    return tuple(tensor.to(dtype) for tensor in tensors)


def widened(tensor: Tensor) -> Tensor:
    """Half precision as float32, other dtypes unchanged: for sums and weights."""
    return tensor.float() if tensor.dtype in (torch.bfloat16, torch.float16) else tensor
