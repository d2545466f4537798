"""RECOGNISE: noise models, one file each. A class is imported on first use."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .bidirectional import BidirectionalNoiseModel as BidirectionalNoiseModel
    from .target_attention import TargetAttentionNoiseModel as TargetAttentionNoiseModel

_HOMES = {
    "BidirectionalNoiseModel": "bidirectional",
    "TargetAttentionNoiseModel": "target_attention",
}

__all__ = list(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value = getattr(import_module(f".{_HOMES[name]}", __name__), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
