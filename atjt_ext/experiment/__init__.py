"""Does weighing help? A grid of models, recipes, data, planted noise and seeds, with controls."""

from .grid import GridOutcome, run_grid
from .recipes import ExperimentRecipe, recipe_names
from .report import write_report
from .settings import settings_by_model
from .spec import Cell, ExperimentSpec, parse_noise

__all__ = [
    "Cell",
    "ExperimentRecipe",
    "ExperimentSpec",
    "GridOutcome",
    "parse_noise",
    "recipe_names",
    "run_grid",
    "settings_by_model",
    "write_report",
]
