"""Compares every recipe with its baseline: one test over seeds and users, corrected by Holm."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from ..evaluation.metrics import user_gains
from ..evaluation.statistics import clustered_mean, holm
from .recipes import ExperimentRecipe
from .store import CellResult

__all__ = ["Comparison", "compare"]

LEVEL = 0.05


@dataclass(frozen=True, slots=True)
class Comparison:
    """A recipe and its baseline on one file, model and noise.

    Differences are recipe minus baseline. Interval and p are those of
    :func:`~atjt_ext.evaluation.statistics.clustered_mean`: the 95 % interval excludes 0 exactly
    where p is below 0.05. ``p_holm`` is p corrected by Holm over the comparisons of the report
    that have two or more seeds. With one seed, interval and p cover users only, and there is no
    ``p_holm``; with one user as well, there is neither.
    """

    file: str
    model: str
    noise: str
    recipe: str
    baseline: str
    metric: str
    seeds: tuple[int, ...]  # those that both have finished
    seed_baselines: tuple[float, ...]  # the baseline's metric, for each seed
    seed_differences: tuple[float, ...]
    baseline_mean: float  # over seeds
    difference: float  # mean over seeds
    low: float | None
    high: float | None
    p: float | None
    p_holm: float | None
    seed_error: float | None  # standard error from seeds alone; None for one seed
    user_error: float | None  # standard error from users alone; None for one user
    degrees: float | None  # of freedom
    time_ratio: float  # seconds of weighing and training by the baseline's; median over seeds

    @property
    def verdict(self) -> str:
        """``helps`` or ``harms`` only if p after correction is below 0.05.

        One seed gets no verdict: its p does not cover other seeds.
        """
        if self.p_holm is None:
            return "one seed: no verdict"
        if self.p_holm < LEVEL:
            return "helps" if self.difference > 0 else "harms"
        return "no difference shown"

    def as_dict(self) -> dict[str, Any]:
        return {**asdict(self), "verdict": self.verdict}


_Group = tuple[str, str, str, str]  # file, model, noise, recipe
_Pairs = list[tuple[int, CellResult, CellResult]]  # seed, the recipe's cell, the baseline's


def compare(
    results: Iterable[CellResult], metric: str, *, against: str | None = None
) -> list[Comparison]:
    """Compares every recipe that shares at least one finished seed with its baseline.

    The results must come from one grid: cells with the same coordinates and other settings would
    overwrite each other.

    Args:
        results: finished cells.
        metric: e.g. ``NDCG@10``.
        against: a recipe that replaces the baseline of every other recipe; baselines themselves are
            then not compared. None: each recipe has its own baseline.
    """
    groups: dict[_Group, dict[int, CellResult]] = {}
    for one in results:
        cell = one.cell
        group = cell.file, cell.model, cell.noise, cell.recipe
        groups.setdefault(group, {})[cell.seed] = one
    found: list[tuple[_Group, str, _Pairs]] = []
    for (file, model, noise, recipe), seeds in groups.items():
        own = ExperimentRecipe.named(recipe).baseline
        if own is None or recipe == against:
            continue
        baseline = against or own
        others = groups.get((file, model, noise, baseline), {})
        if pairs := [(seed, one, others[seed]) for seed, one in seeds.items() if seed in others]:
            found.append(((file, model, noise, recipe), baseline, pairs))
    compared = [_compared(*one, metric) for one in found]
    corrected = holm([c.p if len(c.seeds) > 1 else None for c in compared])
    return [replace(c, p_holm=p) for c, p in zip(compared, corrected, strict=True)]


def _compared(group: _Group, baseline: str, pairs: _Pairs, metric: str) -> Comparison:
    before = np.stack([user_gains(base.ranks, metric) for _, _, base in pairs])
    differences = np.stack([user_gains(ours.ranks, metric) for _, ours, _ in pairs]) - before
    found = clustered_mean(differences)
    low, high = found.interval() or (None, None)
    return Comparison(
        *group,
        baseline,
        metric,
        seeds=tuple(seed for seed, _, _ in pairs),
        seed_baselines=tuple(before.mean(axis=1).tolist()),
        seed_differences=tuple(differences.mean(axis=1).tolist()),
        baseline_mean=float(before.mean()),
        difference=found.mean,
        low=low,
        high=high,
        p=found.p,
        p_holm=None,
        seed_error=found.seed_error,
        user_error=found.user_error,
        degrees=found.degrees,
        time_ratio=float(np.median([_seconds(ours) / _seconds(base) for _, ours, base in pairs])),
    )


def _seconds(result: CellResult) -> float:
    return float(result.values["train_seconds"] + result.values["weighing_seconds"])
