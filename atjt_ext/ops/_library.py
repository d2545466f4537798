"""The torch.library namespace ``torch.ops.atjt_ext``: registration of the operators.

The operators' names begin with an underscore: they have no gradients of their own. The public
functions add them through ``torch.autograd.Function``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

_library = torch.library.Library("atjt_ext", "DEF")


def register(schema: str, native: Callable[..., Any], fake: Callable[..., Any]) -> None:
    """Define ``torch.ops.atjt_ext.<name>``: ``native`` for CPU and CUDA, ``fake`` for tracing."""
    name = _library.define(schema)
    for device in ("CPU", "CUDA"):
        _library.impl(name, native, device)
    torch.library.register_fake(f"atjt_ext::{name}", fake, lib=_library)


def operator(name: str) -> Callable[..., Any]:
    """``torch.ops.atjt_ext.<name>``."""
    operator: Callable[..., Any] = getattr(torch.ops.atjt_ext, name)
    return operator


def contiguous(tensor: Tensor | None) -> Tensor | None:
    """An optional argument as the kernels take it."""
    return None if tensor is None else tensor.contiguous()


def refuse_second_derivative(name: str) -> None:
    """Raises RuntimeError under ``create_graph=True``; for the backward passes."""
    # once_differentiable is no help: it makes the gradient a constant of a larger loss.
    if torch.is_grad_enabled() and not torch.compiler.is_compiling():
        raise RuntimeError(f"{name} has no second derivative, so create_graph must be False")
