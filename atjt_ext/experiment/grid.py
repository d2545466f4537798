"""Runs the unfinished cells of a grid, one by one or several at once."""

from __future__ import annotations

import sys
import time
import traceback
from collections.abc import Callable, Generator, Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch

from ..data.errors import is_out_of_memory, printable
from ..data.locks import exclusive
from ..models.registry import MODELS
from ..models.scoring import require_input_weight
from ..runs.config import RunConfig
from ..training.checkpoint import CheckpointError
from ..training.processes import require_one_process
from ..training.trouble import TrainingDivergedError
from .recipes import ExperimentRecipe
from .run_cell import cell_settings, forget_data, run_cell
from .settings import options_of
from .spec import Cell, ExperimentSpec
from .store import CellResult, CellStore
from .workers import run_at_once

__all__ = ["GridOutcome", "run_grid"]


@dataclass(frozen=True, slots=True)
class GridOutcome:
    """The finished cells of a grid in order, the reason why each other cell failed, and the number
    of cells that had finished before."""

    results: list[CellResult]
    failures: dict[Cell, str]
    skipped: int


# Their messages say what is wrong; of other errors the traceback is shown, too.
_EXPECTED = ValueError, OSError, ImportError, CheckpointError, TrainingDivergedError
_Jobs = Mapping[Cell, Callable[[], str | None]]  # returns an error as text


def run_grid(
    spec: ExperimentSpec,
    settings: Mapping[str, RunConfig | Mapping[str, Any]],
    folder: str | Path,
    *,
    device: str | None = None,
    jobs: int = 1,
    threads: int | None = None,
    progress: bool = True,
) -> GridOutcome:
    """Runs the missing cells and returns all finished ones.

    A finished cell is a file, so the same call continues where an earlier one stopped. A cell that
    raises is reported and does not stop the others; a killed process loses its unfinished cells.

    Args:
        spec: the axes.
        settings: options that the recipes share, by base model, as
            :func:`atjt_ext.experiment.settings_by_model` returns them; or a config, whose
            differences from the default recipe are shared.
        folder: folder of the grid; overlapping grids can share one, one after the other.
        device: None is the CPU.
        jobs: cells that run at the same time; more than 1 run in a process each.
        threads: torch threads per cell; None leaves the number to torch. CPU results can differ in
            the last bits between numbers of threads, so stay with one.
        progress: print a line per cell to stderr (and per epoch if ``jobs`` is 1).

    Raises:
        ValueError: an option is out of range or has no effect in any cell, a base model has no
            settings, weights act on inputs of a model that takes none, or this process is one of
            several under torchrun.
        DataError: a file can't be read or split.
        FolderInUseError: another process writes to the folder.
    """
    require_one_process("run_grid")
    for name, value in (("jobs", jobs), ("threads", 1 if threads is None else threads)):
        if value < 1:
            raise ValueError(f"{name} must be at least 1, got {value}")
    if lacking := [name for name in spec.models if name not in settings]:
        wanted = f"those of the model {lacking[0]}"
        raise ValueError(f"settings must hold {wanted}, got {list(settings)}")
    options = {name: options_of(settings[name], name) for name in spec.models}
    _check_models(spec, options)
    forget_data()
    store = CellStore(folder)
    made = {cell: cell_settings(cell, spec, options[cell.model]) for cell in spec.cells()}
    _check_effects(spec, options, made)
    with exclusive(store.folder, "an experiment"):
        paths: dict[Cell, Path] = {}
        finished: dict[Cell, CellResult] = {}
        todo: dict[Cell, Callable[[], str | None]] = {}
        shown = progress and jobs == 1
        for cell, values in made.items():
            found = store.find(cell, values)
            paths[cell] = found or store.path(cell, values)
            if found is not None:  # a damaged file is refused now, not after hours
                finished[cell] = store.read(found)
            else:
                own = options[cell.model]
                todo[cell] = partial(_work, cell, spec, own, store, paths[cell], device, shown)
        failures = _run(todo, jobs, threads, progress=progress)
        finished |= {cell: store.read(paths[cell]) for cell in todo if paths[cell].exists()}
        # With the file's name of today: the cell may have run when the file had another name.
        results = [replace(finished[cell], cell=cell) for cell in paths if cell in finished]
    return GridOutcome(results, failures, len(paths) - len(todo))


def _run(todo: _Jobs, jobs: int, threads: int | None, *, progress: bool) -> dict[Cell, str]:
    """Runs the cells; returns why some failed."""
    failures: dict[Cell, str] = {}
    started = time.perf_counter()
    run = _in_turn(todo, threads) if jobs == 1 else run_at_once(todo, jobs, threads)
    # closing: a signal in this loop must end the workers now, not when the traceback is freed.
    with closing(run):
        for done, (cell, failure) in enumerate(run, start=1):
            if failure is not None:
                failures[cell] = failure
            if progress:
                elapsed = time.perf_counter() - started
                left = elapsed / done * (len(todo) - done)
                line = (
                    f"[{done}/{len(todo)}] {cell}: {failure or 'done'} "
                    f"({elapsed / 60:.1f} min, about {left / 60:.1f} to go)"
                )
                print(printable(line), file=sys.stderr)
    return failures


def _check_effects(
    spec: ExperimentSpec,
    options: Mapping[str, Mapping[str, Any]],
    settings: Mapping[Cell, dict[str, Any]],
) -> None:
    """Refuses an option that no cell uses."""
    used = [
        pair
        for values in settings.values()
        for part in (values, *values.values(), *values["config"].values())
        if isinstance(part, dict)
        for pair in part.items()
    ]
    for name, value in (pair for own in options.values() for pair in own.items()):
        # A noise model's name stands in a part of its own.
        if name != "noise_model" and (name, value) not in used:
            recipes = ", ".join(spec.all_recipes)
            raise ValueError(f"{name}={value} has no effect under the recipes {recipes}")


def _check_models(spec: ExperimentSpec, options: Mapping[str, Mapping[str, Any]]) -> None:
    recipes = [ExperimentRecipe.named(name) for name in spec.recipes]
    on_inputs = [one.name for one in recipes if one.acts_on in ("inputs", "both")]
    of_column = [one.name for one in recipes if one.source == "column"]
    for name in spec.models:
        column = options[name].get("weight_column")
        if of_column and not column:
            raise ValueError(f"{', '.join(of_column)}: weight_column must name the weights' column")
        if column and not of_column:
            raise ValueError(f"weight_column={column} is used only by recipes like column-both")
        if on_inputs:
            try:
                require_input_weight(MODELS[name]().build(2, max_length=2, num_users=1))
            except TypeError as error:
                raise ValueError(
                    f"recipes on inputs ({', '.join(on_inputs)}) do not fit the model {name}: "
                    f"{error}; use recipes on targets, or drop"
                ) from error


def _work(
    cell: Cell,
    spec: ExperimentSpec,
    options: Mapping[str, Any],
    store: CellStore,
    path: Path,
    device: str | None,
    progress: bool,
) -> str | None:
    """Runs and stores a cell; returns the error as text, or None."""
    try:
        store.write(path, run_cell(cell, spec, options, device=device, progress=progress))
    except Exception as error:  # reported; the other cells go on
        if not isinstance(error, _EXPECTED) and not is_out_of_memory(error):
            print(printable(traceback.format_exc(), keep="\n"), file=sys.stderr)
        return f"{type(error).__name__}: {error}"
    return None


def _in_turn(jobs: _Jobs, threads: int | None) -> Generator[tuple[Cell, str | None], None, None]:
    before = torch.get_num_threads()
    torch.set_num_threads(threads or before)
    try:
        for cell, job in jobs.items():
            yield cell, job()
    finally:
        torch.set_num_threads(before)
