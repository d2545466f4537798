"""Writes the results of a grid: results.json, results.md and plots."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from ..data.files import write_text_atomically
from ..evaluation.auc import mean_of_known
from ..evaluation.metrics import SAMPLED_METRICS, SHOWN_METRICS
from ..evaluation.statistics import shown_p
from .comparison import Comparison, compare
from .gain_map import gain_maps, map_table
from .plots import plot_differences, plot_gain_maps
from .store import CellResult

__all__ = ["write_report"]

_KEY = ("file", "model", "noise", "recipe")
_HEADS = {
    "file": "data",
    "interaction_AUC": "interactions",
    "within_popularity_AUC": "within popularity",
    "popularity_AUC": "rarity alone",
    "sequence_AUC": "users",
    "held_out_AUC": "artificial",
    "mean_clean": "w clean",
    "mean_noise": "w noise",
    "paper_HR@5": "paper's HR@5",
    "paper_NDCG@5": "paper's NDCG@5",
}
"""Heads of columns that differ from the key in results.json."""
_AREAS = (
    "interaction_AUC",
    "within_popularity_AUC",
    "popularity_AUC",
    "sequence_AUC",
    "held_out_AUC",
)
_WEIGHTS = ("mean_clean", "mean_noise", "std")


def write_report(
    results: Sequence[CellResult],
    folder: str | Path,
    *,
    metric: str,
    against: str | None = None,
    figures: bool = True,
) -> list[Comparison]:
    """Writes ``results.json``, ``results.md`` and, with ``figures``, ``results.png``.

    A grid over shares of noisy users and of their items also gets ``gain_map.png``.

    Args:
        results: finished cells of one grid.
        folder: folder to write to.
        metric: the metric to compare.
        against: a recipe with which a second table compares all others; None writes no such table.
        figures: draw the plots.

    Returns:
        The comparisons with the baselines.

    Raises:
        ImportError: ``figures`` without matplotlib; the other files are written.
    """
    folder = Path(folder)
    comparisons = compare(results, metric)
    others = compare(results, metric, against=against) if against else []
    document: dict[str, Any] = {
        "metric": metric,
        "comparisons": [one.as_dict() for one in comparisons],
        "against": [one.as_dict() for one in others],
        "means": _means(results, fmean, test=SHOWN_METRICS),
        "sampled": _means(results, _mean_if_any, sampled_test=SAMPLED_METRICS),
        "detection": _means(
            [one for one in results if one.values["detection"]],
            mean_of_known,
            counted=False,
            detection=_AREAS,
            weights=_WEIGHTS,
        ),
        "cells": [{"cell": r.cell.as_dict(), **r.values} for r in results],
    }
    write_text_atomically(
        folder / "results.json", json.dumps(document, indent=2, allow_nan=False) + "\n"
    )
    write_text_atomically(folder / "results.md", _markdown(comparisons, others, document))
    drawing, mapping = folder / "results.png", folder / "gain_map.png"
    for earlier in (drawing, mapping):
        earlier.unlink(missing_ok=True)  # drawn from other comparisons
    if figures and comparisons:
        plot_differences(drawing, comparisons)
        if maps := gain_maps(comparisons):
            plot_gain_maps(mapping, maps, metric=metric)
    return comparisons


def _means(
    results: Sequence[CellResult],
    mean: Callable[[Iterable[Any]], float | None],
    *,
    counted: bool = True,
    **parts: Sequence[str],
) -> list[dict[str, Any]]:
    """Means over a recipe's seeds of the values that ``parts`` name in each part of a cell."""
    groups: dict[tuple[str, ...], list[CellResult]] = {}
    for result in results:
        key = tuple(getattr(result.cell, name) for name in _KEY)
        groups.setdefault(key, []).append(result)
    return [
        dict(zip(_KEY, key, strict=True))
        | ({"seeds": len(members)} if counted else {})
        | {
            name: mean(one.values[part].get(name) for one in members)
            for part, names in parts.items()
            for name in names
        }
        for key, members in groups.items()
    ]


def _mean_if_any(values: Iterable[float | None]) -> float | None:
    """The mean of the known values: sampled metrics can be None."""
    known = [value for value in values if value is not None]
    return fmean(known) if known else None


def _markdown(
    comparisons: Sequence[Comparison], others: Sequence[Comparison], document: dict[str, Any]
) -> str:
    lines = [
        f"# {document['metric']}: every recipe against its baseline",
        "",
        _how_judged(comparisons),
        "",
        *_comparisons(comparisons, "baseline"),
    ]
    if not comparisons:
        lines += ["", "No recipe has finished along with its baseline."]
    if others:
        against = others[0].baseline
        text = (
            f"Differences are recipe minus {against}; p (Holm) is corrected over this table alone."
        )
        lines += _section(f"Against {against}", text, _comparisons(others, against))
    lines += _by_seed(comparisons)
    if maps := gain_maps(comparisons):
        tables = [line for one in maps for line in ("", *map_table(one))][1:]
        text = "Difference in per cent of the baseline, and its 95 % interval; none with one seed."
        lines += _section("Where the gain is", text, tables)
    names = (*_KEY, "seeds", *SHOWN_METRICS)
    lines += _section("Full ranking", "Means over seeds.", _table(document["means"], names, 4))
    lines += _section(
        "The paper's sampled protocol",
        "Test targets against 63 negatives, drawn by popularity^0.75 from the items that the user "
        "never has. Means over seeds. HR@5 and NDCG@5 by their standard definitions, and by those "
        "of the paper's code.",
        _table(document["sampled"], (*_KEY, "seeds", *SAMPLED_METRICS), 4),
    )
    if detections := document["detection"]:
        lines += _section(
            "Detection of the planted noise",
            "AUC for interactions; for interactions of similar popularity; for interactions by "
            "rarity alone; for users; and for artificial noise on users outside the training "
            "folds. Then the mean weights of clean and of noisy interactions.",
            _table(detections, (*_KEY, *_AREAS, *_WEIGHTS[:2]), 3),
        )
    return "\n".join(lines) + "\n"


def _how_judged(comparisons: Sequence[Comparison]) -> str:
    """What the figures of the table of comparisons mean."""
    family = sum(c.p_holm is not None for c in comparisons)
    text = (
        "A difference is recipe minus baseline, on the same seed and planted noise. Full ranking, "
        "seen items excluded. The 95 % interval and p belong to one test over seeds and users: the "
        "interval excludes 0 exactly where p is below 0.05. p (Holm) is corrected over the "
        f"{family} comparison{'' if family == 1 else 's'} of this table"
    )
    alone = family < len(comparisons)
    text += (
        " with two or more seeds. With one seed, interval and p cover users only." if alone else "."
    )
    return f"{text} *helps* and *harms* need p (Holm) below 0.05."


def _section(title: str, text: str, table: list[str]) -> list[str]:
    return ["", f"## {title}", "", text, "", *table]


def _comparisons(comparisons: Sequence[Comparison], baseline: str) -> list[str]:
    """A table of comparisons as lines of Markdown; ``baseline`` heads the baseline's column."""
    rows: list[dict[str, Any]] = []
    for c in comparisons:
        relative = f" ({100 * c.difference / c.baseline_mean:+.1f} %)" if c.baseline_mean else ""
        cells = {
            **{name: getattr(c, name) for name in _KEY},
            "seeds": len(c.seeds),
            baseline: c.baseline_mean,
            "difference": f"{c.difference:+.4f}{relative}",
            "95 % interval": _interval(c.low, c.high),
            "p": shown_p(c.p),
            "p (Holm)": shown_p(c.p_holm),
            "time": f"{c.time_ratio:.1f} x",
            "verdict": c.verdict,
        }
        rows.append(cells)
    names = ("seeds", baseline, "difference", "95 % interval", "p", "p (Holm)", "time", "verdict")
    return _table(rows, (*_KEY, *names), 4)


def _by_seed(comparisons: Sequence[Comparison]) -> list[str]:
    """A section with every seed's difference, as lines of Markdown; none for one seed."""
    seeds = sorted({seed for c in comparisons for seed in c.seeds})
    if len(seeds) < 2:
        return []
    rows = []
    for c in comparisons:
        found = zip(c.seeds, c.seed_differences, c.seed_baselines, strict=True)
        shares = dict.fromkeys(f"seed {seed}" for seed in seeds) | {
            f"seed {seed}": f"{100 * difference / base:+.1f} %" if base else f"{difference:+.4f}"
            for seed, difference, base in found
        }
        rows.append({**{name: getattr(c, name) for name in _KEY}, **shares})
    table = _table(rows, (*_KEY, *(f"seed {seed}" for seed in seeds)), 1)
    return _section("By seed", "Differences in per cent of that seed's baseline.", table)


def _table(rows: Iterable[dict[str, Any]], names: Sequence[str], digits: int) -> list[str]:
    """The columns ``names`` of ``rows`` as lines of Markdown; a file is shown by its name alone."""
    heads = [_HEADS.get(name, name) for name in names]
    lines = [f"| {' | '.join(heads)} |", f"|{'---|' * len(heads)}"]
    for row in rows:
        values = [Path(row[name]).name if name == "file" else row[name] for name in names]
        cells = [
            "-" if one is None else f"{one:.{digits}f}" if isinstance(one, float) else str(one)
            for one in values
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def _interval(low: float | None, high: float | None) -> str:
    return "-" if low is None or high is None else f"[{low:+.4f}, {high:+.4f}]"
