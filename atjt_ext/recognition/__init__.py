"""RECOGNISE, beyond the paper: which interactions do not go with the rest of their sequence?"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .co_occurrence.config import RecognitionConfig as RecognitionConfig
    from .co_occurrence.evidence import Evidence as Evidence
    from .co_occurrence.recogniser import NoiseRecogniser as NoiseRecogniser
    from .co_occurrence.recogniser import RecognisedNoise as RecognisedNoise
    from .co_occurrence.recogniser import recognise_noise as recognise_noise

# Loaded on first use: the names of noise models and their options need no torch.
_HOMES = {
    "Evidence": "co_occurrence.evidence",
    "NoiseRecogniser": "co_occurrence.recogniser",
    "RecognisedNoise": "co_occurrence.recogniser",
    "RecognitionConfig": "co_occurrence.config",
    "recognise_noise": "co_occurrence.recogniser",
}

__all__ = list(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value = getattr(import_module(f".{_HOMES[name]}", __name__), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
