"""RECOMMEND: recommenders, one file each. A class is imported on first use."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .dcn import DCN as DCN
    from .din import DIN as DIN
    from .fearec import FEARec as FEARec
    from .gru4rec import GRU4Rec as GRU4Rec
    from .s3rec import PretrainingWeights as PretrainingWeights
    from .s3rec import S3Rec as S3Rec
    from .sasrec import SASRec as SASRec
    from .wide_deep import WideDeep as WideDeep

_HOMES = {
    "DCN": "dcn",
    "DIN": "din",
    "FEARec": "fearec",
    "GRU4Rec": "gru4rec",
    "PretrainingWeights": "s3rec",
    "S3Rec": "s3rec",
    "SASRec": "sasrec",
    "WideDeep": "wide_deep",
}

__all__ = list(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value = getattr(import_module(f".{_HOMES[name]}", __name__), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
