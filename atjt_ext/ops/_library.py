"""The torch.library namespace of the package: one schema, one native call, one fake per operator.

Operators are underscored: they are not differentiable by themselves. The public functions are.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

_library = torch.library.Library("atjt_ext", "DEF")


def register(schema: str, native: Callable[..., Any], fake: Callable[..., Any]) -> None:
    """Define ``torch.ops.atjt_ext.<name>``: ``native`` for CPU and CUDA, ``fake`` for tracing."""
    name = _library.define(schema)
    for device in ("CPU", "CUDA"):
        _library.impl(name, native, device)
    torch.library.register_fake(f"atjt_ext::{name}", fake, lib=_library)
