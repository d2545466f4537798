"""Running a model without training it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

__all__ = ["inference"]


@contextmanager
def inference(model: object) -> Iterator[None]:
    """Evaluation mode without gradients; afterwards every submodule has its own mode again.

    Args:
        model: an ``nn.Module``; for other objects only gradients are off.
    """
    modules = list(model.modules()) if isinstance(model, nn.Module) else []
    modes = [module.training for module in modules]
    if isinstance(model, nn.Module):
        model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        # One by one: a part that the user froze in evaluation mode stays there.
        for module, mode in zip(modules, modes, strict=True):
            module.training = mode
