"""Compares every recipe with its baseline: over seeds, over users, corrected by Holm."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from ..evaluation.metrics import user_gains
from ..evaluation.statistics import crossed_bootstrap, holm, paired_t, sign_flip_p
from .recipes import ExperimentRecipe
from .store import CellResult

__all__ = ["Comparison", "compare"]

LEVEL = 0.05


@dataclass(frozen=True, slots=True)
class Comparison:
    """A recipe and its baseline on one file, model and noise.

    Differences are recipe minus baseline. Intervals are 95 % intervals: t over seeds, bootstrap
    over users and seeds, crossed. ``p_holm`` is p corrected by Holm over all comparisons of the
    report. One seed has no interval and no p over seeds.
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
    seeds_low: float | None
    seeds_high: float | None
    seeds_p: float | None  # paired t test
    users_low: float
    users_high: float
    users_p: float  # sign-flip test
    seeds_p_holm: float | None
    users_p_holm: float | None
    time_ratio: float  # seconds of weighing and training by the baseline's; median over seeds

    @property
    def verdict(self) -> str:
        """``helps`` or ``harms`` only if both tests, after correction, are below 0.05."""
        if self.seeds_p_holm is None or self.users_p_holm is None:
            return "one seed: no verdict"
        if max(self.seeds_p_holm, self.users_p_holm) < LEVEL:
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
    # With too few flips, the smallest possible p would exceed the level after correction.
    flips = max(10_000, 200 * len(found))
    compared = [_compared(*one, metric, flips) for one in found]
    over_seeds = holm([c.seeds_p for c in compared])
    over_users = holm([c.users_p for c in compared])
    return [
        replace(comparison, seeds_p_holm=seeds_p, users_p_holm=users_p)
        for comparison, seeds_p, users_p in zip(compared, over_seeds, over_users, strict=True)
    ]


def _compared(group: _Group, baseline: str, pairs: _Pairs, metric: str, flips: int) -> Comparison:
    before = np.stack([user_gains(base.ranks, metric) for _, _, base in pairs])
    differences = np.stack([user_gains(ours.ranks, metric) for _, ours, _ in pairs]) - before
    over_seeds = paired_t(differences.mean(axis=1))
    low, high = crossed_bootstrap(differences)
    return Comparison(
        *group,
        baseline,
        metric,
        seeds=tuple(seed for seed, _, _ in pairs),
        seed_baselines=tuple(before.mean(axis=1).tolist()),
        seed_differences=tuple(differences.mean(axis=1).tolist()),
        baseline_mean=float(before.mean()),
        difference=over_seeds.mean,
        seeds_low=over_seeds.low,
        seeds_high=over_seeds.high,
        seeds_p=over_seeds.p,
        users_low=low,
        users_high=high,
        users_p=sign_flip_p(differences, resamples=flips),
        seeds_p_holm=None,
        users_p_holm=None,
        time_ratio=float(np.median([_seconds(ours) / _seconds(base) for _, ours, base in pairs])),
    )


def _seconds(result: CellResult) -> float:
    return float(result.values["train_seconds"] + result.values["weighing_seconds"])
