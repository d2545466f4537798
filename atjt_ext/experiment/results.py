"""The results of a grid as one table: results.json, results.md, and figures."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from ..data.files import write_text_atomically
from ..evaluation.auc import mean_of_known
from ..evaluation.metrics import SAMPLED_METRICS, SHOWN_METRICS
from ..evaluation.statistics import shown_p
from .comparison import Comparison, compare
from .plots import plot_differences
from .gain_map import GainMap, gain_maps, map_table, plot_gain_maps
from .store import CellResult

__all__ = ["write_report"]

_KEY = ("file", "model", "noise", "recipe")
_HEAD = ("data", "model", "noise", "recipe")
_DETECTION = (
    "interaction_AUC",
    "within_popularity_AUC",
    "popularity_AUC",
    "sequence_AUC",
    "held_out_AUC",
)


def write_report(
    results: Sequence[CellResult],
    folder: str | Path,
    *,
    metric: str,
    against: str | None = None,
    figures: bool = True,
) -> list[Comparison]:
    """Writes ``results.json``, ``results.md`` and, unless told not to, ``results.png``.

    A grid over shares of noisy users and of their items also gets ``gain_map.png``. Where
    ``against`` names a recipe, the others are compared with that one as well.

    Returns:
        The comparisons with the baselines.

    Raises:
        ImportError: figures without matplotlib.
    """
    folder = Path(folder)
    comparisons = compare(results, metric)
    others = compare(results, metric, against=against) if against else []
    document: dict[str, Any] = {
        "metric": metric,
        "comparisons": [comparison.as_dict() for comparison in comparisons],
        "against": [comparison.as_dict() for comparison in others],
        "means": _means(results, "test", SHOWN_METRICS),
        "sampled": _means(results, "sampled_test", SAMPLED_METRICS),
        "detection": _detections(results),
        "cells": [{"cell": r.cell.as_dict(), **r.values} for r in results],
    }
    write_text_atomically(
        folder / "results.json", json.dumps(document, indent=2, allow_nan=False) + "\n"
    )
    maps = gain_maps(comparisons)
    write_text_atomically(
        folder / "results.md", _markdown(comparisons, others, maps, document, metric)
    )
    drawing, mapping = folder / "results.png", folder / "gain_map.png"
    for earlier in (drawing, mapping):
        earlier.unlink(missing_ok=True)  # it would show other comparisons
    if figures and comparisons:
        plot_differences(drawing, comparisons)
        if maps:
            plot_gain_maps(mapping, maps, metric=metric)
    return comparisons


def _groups(results: Sequence[CellResult]) -> Iterator[tuple[dict[str, Any], list[CellResult]]]:
    """What the seeds of a recipe have in common, and their results."""
    groups: dict[tuple[str, str, str, str], list[CellResult]] = {}
    for result in results:
        cell = result.cell
        groups.setdefault((cell.file, cell.model, cell.noise, cell.recipe), []).append(result)
    for key, members in groups.items():
        yield dict(zip(_KEY, key, strict=True)), members


def _detections(results: Sequence[CellResult]) -> list[dict[str, Any]]:
    """For each recipe that judges interactions, means over seeds; None where no seed has one."""
    rows = []
    for row, members in _groups([result for result in results if result.values["detection"]]):
        for part, names in (
            ("detection", _DETECTION),
            ("weights", ("mean_clean", "mean_noise", "std")),
        ):
            for name in names:
                row[name] = mean_of_known(m.values[part].get(name) for m in members)
        rows.append(row)
    return rows


def _means(results: Sequence[CellResult], part: str, names: Sequence[str]) -> list[dict[str, Any]]:
    """For each recipe, means over seeds of the metrics in a ``part`` of the results."""
    return [
        row
        | {"seeds": len(members)}
        | {name: fmean(m.values[part][name] for m in members) for name in names}
        for row, members in _groups(results)
    ]


def _markdown(
    comparisons: Sequence[Comparison],
    others: Sequence[Comparison],
    maps: Sequence[GainMap],
    document: dict[str, Any],
    metric: str,
) -> str:
    lines = [f"# {metric}: every recipe against its baseline", ""]
    lines += [
        "Differences are recipe minus baseline on the same seed and planted noise. Full "
        "ranking, seen items excluded. Intervals hold 95 %; p is corrected by Holm over the "
        f"{len(comparisons)} comparisons here. *helps* and *harms* need both tests below 0.05.",
        "",
        *_comparisons(comparisons, "baseline"),
    ]
    if not comparisons:
        lines += ["", "No recipe has finished along with its baseline."]
    if others:
        against = others[0].baseline
        lines += [
            "",
            f"## Against {against}",
            "",
            f"The same, recipe minus {against}; p is corrected over this table alone.",
            "",
            *_comparisons(others, against),
        ]
    lines += _by_seed(comparisons)
    if maps:
        lines += [
            "",
            "## Where the gain is",
            "",
            "Difference in per cent of the baseline, and its 95 % interval over seeds.",
        ]
        for one in maps:
            lines += ["", *map_table(one)]
    lines += [
        "",
        "## Full ranking",
        "",
        "Means over seeds.",
        "",
        *_table(
            (*_HEAD, "seeds", *SHOWN_METRICS),
            document["means"],
            (*_KEY, "seeds", *SHOWN_METRICS),
            4,
        ),
        "",
        "## The paper's sampled protocol",
        "",
        "Test targets against 63 negatives drawn by popularity^0.75 among items that the user has "
        "nowhere; means over seeds. HR@5 and NDCG@5 by their standard definitions, and by those of "
        "the paper's code.",
        "",
        *_table(
            (*_HEAD, "seeds", "AUC", "HR@5", "NDCG@5", "paper's HR@5", "paper's NDCG@5"),
            document["sampled"],
            (*_KEY, "seeds", *SAMPLED_METRICS),
            4,
        ),
    ]
    if detections := document["detection"]:
        lines += [
            "",
            "## What the weights know of the planted noise",
            "",
            "AUCs: of interactions; the same among interactions alike in popularity; of rarity "
            "alone; of users; of the artificial task on users not trained on. Weights: means on "
            "what is clean and what is noise.",
            "",
            *_table(
                (
                    *_HEAD,
                    "interactions",
                    "within popularity",
                    "rarity alone",
                    "users",
                    "artificial",
                    "w clean",
                    "w noise",
                ),
                detections,
                (*_KEY, *_DETECTION, "mean_clean", "mean_noise"),
                3,
            ),
        ]
    return "\n".join(lines) + "\n"


def _comparisons(comparisons: Sequence[Comparison], baseline: str) -> list[str]:
    """Lines of Markdown; ``baseline`` heads the column of what is compared with."""
    lines = [
        f"| data | model | noise | recipe | seeds | {baseline} | difference | over seeds | p | "
        "over users | p | time | verdict |",
        f"|{'---|' * 13}",
    ]
    for c in comparisons:
        relative = f" ({100 * c.difference / c.baseline_mean:+.1f} %)" if c.baseline_mean else ""
        cells = (
            Path(c.file).name,
            c.model,
            c.noise,
            c.recipe,
            str(len(c.seeds)),
            _number(c.baseline_mean),
            f"{c.difference:+.4f}{relative}",
            _interval(c.seeds_low, c.seeds_high),
            shown_p(c.seeds_p_holm),
            _interval(c.users_low, c.users_high),
            shown_p(c.users_p_holm),
            f"{c.time_ratio:.1f} x",
            c.verdict,
        )
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def _by_seed(comparisons: Sequence[Comparison]) -> list[str]:
    """Lines of Markdown: the differences of every seed, where there are several."""
    seeds = sorted({seed for c in comparisons for seed in c.seeds})
    if len(seeds) < 2:
        return []
    rows = []
    for c in comparisons:
        found = zip(c.seeds, c.seed_differences, c.seed_baselines, strict=True)
        shares = dict.fromkeys(map(str, seeds)) | {
            str(seed): f"{100 * difference / base:+.1f} %" if base else f"{difference:+.4f}"
            for seed, difference, base in found
        }
        rows.append({**{name: getattr(c, name) for name in _KEY}, **shares})
    columns = [str(seed) for seed in seeds]
    table = _table((*_HEAD, *(f"seed {seed}" for seed in seeds)), rows, (*_KEY, *columns), 1)
    return ["", "## By seed", "", "Differences in per cent of that seed's baseline.", "", *table]


def _table(
    head: Sequence[str], rows: Iterable[dict[str, Any]], names: Sequence[str], digits: int
) -> list[str]:
    """Lines of Markdown; files by their names alone."""
    lines = [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}"]
    for row in rows:
        cells = [
            Path(row[name]).name
            if name == "file"
            else str(row[name])
            if isinstance(row[name], str | int)
            else _number(row[name], digits)
            for name in names
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def _number(value: float | None, digits: int = 4) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def _interval(low: float | None, high: float | None) -> str:
    return "-" if low is None or high is None else f"[{low:+.4f}, {high:+.4f}]"
