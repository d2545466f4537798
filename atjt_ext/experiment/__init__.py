"""Does weighing help? A grid of models, recipes, data, planted noise and seeds, with controls.

Public names load on first use: the command line reads the axes of a grid without torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .grid import GridOutcome as GridOutcome
    from .grid import run_grid as run_grid
    from .recipes import ExperimentRecipe as ExperimentRecipe
    from .recipes import recipe_names as recipe_names
    from .results import write_report as write_report
    from .settings import settings_by_model as settings_by_model
    from .spec import Cell as Cell
    from .spec import ExperimentSpec as ExperimentSpec
    from .spec import parse_noise as parse_noise

_HOMES = {
    "grid": "GridOutcome run_grid",
    "recipes": "ExperimentRecipe recipe_names",
    "results": "write_report",
    "settings": "settings_by_model",
    "spec": "Cell ExperimentSpec parse_noise",
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names.split()}

__all__ = sorted(_HOME_OF)


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_HOME_OF[name]}", __name__), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
