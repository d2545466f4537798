"""Runs the cells of a grid that have not finished, one by one or several at once."""

from __future__ import annotations

import sys
import time
import traceback
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace
from multiprocessing import get_context
from pathlib import Path

import torch

from ..models.scoring import require_input_weight
from ..runs.config import RunConfig
from .recipes import ExperimentRecipe
from .run_cell import cell_settings, forget_data, run_cell
from .spec import Cell, ExperimentSpec
from .store import CellResult, CellStore

__all__ = ["GridOutcome", "run_grid"]


@dataclass(frozen=True, slots=True)
class GridOutcome:
    """What became of a grid.

    Attributes:
        results: the finished cells, in the order of the grid.
        failures: the others, and why.
        skipped: how many of the results had been there before.
    """

    results: list[CellResult]
    failures: dict[Cell, str]
    skipped: int


@dataclass(frozen=True, slots=True)
class _Job:
    cell: Cell
    path: Path
    spec: ExperimentSpec
    settings: RunConfig
    folder: Path
    device: str | None
    progress: bool


def run_grid(
    spec: ExperimentSpec,
    settings: Mapping[str, RunConfig],
    folder: str | Path,
    *,
    device: str | None = None,
    jobs: int = 1,
    threads: int | None = None,
    progress: bool = True,
) -> GridOutcome:
    """Runs what is missing and returns all that there is.

    A finished cell is a file; the same call again goes on after the last one. A cell that raises
    is told of and does not stop the others; a killed process loses the cells that it was at.

    Args:
        spec: the axes.
        settings: data, model and trainer options that the recipes share, by base model; see
            :func:`atjt_ext.experiment.settings_by_model`.
        folder: of the grid; one folder may hold grids that overlap.
        device: None is the CPU.
        jobs: cells at once, each in a process of its own where more than one.
        threads: torch threads of each cell; None leaves torch's choice. CPU results may differ in
            the last bits between numbers of threads, so keep to one.
        progress: a line per cell on stderr (and per epoch, where one cell runs at a time).

    Raises:
        ValueError: an option out of range, a base model without settings, or weights on inputs of
        one that takes none. DataError: a file that can't be read or split.
    """
    for name, value in (("jobs", jobs), ("threads", 1 if threads is None else threads)):
        if value < 1:
            raise ValueError(f"{name} must be at least 1, got {value}")
    _check_models(spec, settings)
    forget_data()
    store = CellStore(folder)
    paths = {
        cell: store.path(cell, cell_settings(cell, spec, settings[cell.model]))
        for cell in spec.cells()
    }
    todo = [
        _Job(cell, path, spec, settings[cell.model], Path(folder), device, progress and jobs == 1)
        for cell, path in paths.items()
        if not path.exists()
    ]
    failures: dict[Cell, str] = {}
    started = time.perf_counter()
    run = _in_turn(todo, threads) if jobs == 1 else _at_once(todo, jobs, threads)
    for done, (cell, failure) in enumerate(run, start=1):
        if failure is not None:
            failures[cell] = failure
        if progress:
            elapsed = time.perf_counter() - started
            left = elapsed / done * (len(todo) - done)
            print(
                f"[{done}/{len(todo)}] {cell}: {failure or 'done'} "
                f"({elapsed / 60:.1f} min, about {left / 60:.1f} to go)",
                file=sys.stderr,
            )
    # As asked for now: a file may have been called otherwise when its cell was computed.
    results = [
        replace(store.read(path), cell=cell) for cell, path in paths.items() if path.exists()
    ]
    return GridOutcome(results, failures, len(paths) - len(todo))


def _check_models(spec: ExperimentSpec, settings: Mapping[str, RunConfig]) -> None:
    on_inputs = [
        name for name in spec.recipes if ExperimentRecipe.named(name).acts_on in ("inputs", "both")
    ]
    of_column = [name for name in spec.recipes if ExperimentRecipe.named(name).source == "column"]
    for name in spec.models:
        column = settings[name].data.weight_column if name in settings else None
        if of_column and not column:
            raise ValueError(f"{', '.join(of_column)}: weight_column must name the weights' column")
        if column and not of_column:
            raise ValueError(f"weight_column={column} is used by recipes like column-both alone")
        if name not in settings or settings[name].model.name != name:
            raise ValueError(f"settings must hold those of the model {name}, got {list(settings)}")
        if on_inputs:
            try:
                require_input_weight(settings[name].model.build(2, max_length=2, num_users=1))
            except TypeError as error:
                raise ValueError(
                    f"recipes on inputs ({', '.join(on_inputs)}) do not go with the model {name}: "
                    f"{error}; take those on targets, or drop"
                ) from error


def _work(job: _Job) -> str | None:
    """Runs and keeps a cell; why it could not be, if so."""
    try:
        result = run_cell(
            job.cell, job.spec, job.settings, device=job.device, progress=job.progress
        )
        CellStore(job.folder).write(job.path, result)
    except Exception as error:  # one cell's failure is its own; it is reported
        traceback.print_exc()
        return f"{type(error).__name__}: {error}"
    return None


def _in_turn(jobs: list[_Job], threads: int | None) -> Iterator[tuple[Cell, str | None]]:
    before = torch.get_num_threads()
    if threads is not None:
        torch.set_num_threads(threads)
    try:
        for job in jobs:
            yield job.cell, _work(job)
    finally:
        torch.set_num_threads(before)


def _start(threads: int | None) -> None:
    if threads is not None:
        torch.set_num_threads(threads)


def _at_once(
    jobs: list[_Job], processes: int, threads: int | None
) -> Iterator[tuple[Cell, str | None]]:
    # spawn: a forked process inherits torch's threads, and CUDA not at all.
    with ProcessPoolExecutor(
        processes,
        mp_context=get_context("spawn"),
        initializer=_start,
        initargs=(threads,),
    ) as pool:
        running: dict[Future[str | None], Cell] = {
            pool.submit(_work, job): job.cell for job in jobs
        }
        for future in as_completed(running):
            try:
                yield running[future], future.result()
            except BrokenProcessPool:
                yield running[future], "a process was killed; run the same command again"
