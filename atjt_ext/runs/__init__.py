"""Runs: from a config and a file of interactions to a folder with all results, and back.

| module | holds |
|---|---|
| ``config`` | everything that a run depends on, except the file; imports no torch |
| ``data`` | reading the file; splits and histories |
| ``build`` | the models of a run: fresh, pre-trained, or loaded |
| ``train``, ``evaluate`` | training and measuring a run |
| ``folder``, ``stored_sequences`` | the files of a run |
| ``recommendations``, ``export`` | top-k lists; models for other programs |
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .build import build_trainer as build_trainer
    from .build import load_models as load_models
    from .build import load_trainer as load_trainer
    from .build import trainer_for as trainer_for
    from .evaluate import compare_runs as compare_runs
    from .evaluate import evaluate_run as evaluate_run
    from .evaluate import sampled_test as sampled_test
    from .train import train_run as train_run

# Loaded on first use: configs need no torch.
_HOMES = {
    "build": "build_trainer load_models load_trainer trainer_for",
    "evaluate": "compare_runs evaluate_run sampled_test",
    "train": "train_run",
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names.split()}

__all__ = sorted(_HOME_OF)


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value = getattr(import_module(f".{_HOME_OF[name]}", __name__), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
