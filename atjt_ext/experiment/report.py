"""The results of a grid as one table: results.json, results.md, and figures."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..checkpoint import write_atomically
from .comparison import Comparison, compare
from .figures import plot_differences
from .store import CellResult

__all__ = ["write_report"]

_SAMPLED = ("AUC", "HR@5", "NDCG@5", "paper_HR@5", "paper_NDCG@5")
_DETECTION = (
    "interaction_AUC",
    "within_popularity_AUC",
    "popularity_AUC",
    "sequence_AUC",
    "held_out_AUC",
)


def write_report(
    results: Sequence[CellResult], folder: str | Path, *, metric: str, figures: bool = True
) -> list[Comparison]:
    """Writes ``results.json``, ``results.md`` and, unless told not to, ``results.png``.

    Raises:
        ImportError: figures without matplotlib.
    """
    folder = Path(folder)
    comparisons = compare(results, metric)
    document: dict[str, Any] = {
        "metric": metric,
        "comparisons": [comparison.as_dict() for comparison in comparisons],
        "sampled": _sampled(results),
        "detection": _detections(results),
        "cells": [{"cell": r.cell.as_dict(), **r.values} for r in results],
    }
    _write(folder / "results.json", json.dumps(document, indent=2, allow_nan=False) + "\n")
    _write(folder / "results.md", _markdown(comparisons, document, metric))
    if figures and comparisons:
        plot_differences(folder / "results.png", comparisons)
    return comparisons


def _write(path: Path, text: str) -> None:
    def write(temporary: Path) -> None:
        temporary.write_text(text, encoding="utf-8")

    write_atomically(path, write)


def _detections(results: Sequence[CellResult]) -> list[dict[str, Any]]:
    """For each recipe that judges interactions, means over seeds; None where no seed has one."""
    groups: dict[tuple[str, str, str, str], list[CellResult]] = {}
    for result in results:
        cell = result.cell
        if result.values["detection"]:
            groups.setdefault((cell.file, cell.model, cell.noise, cell.recipe), []).append(result)
    rows = []
    for (file, model, noise, recipe), members in groups.items():
        row: dict[str, Any] = {"file": file, "model": model, "noise": noise, "recipe": recipe}
        for part, names in (
            ("detection", _DETECTION),
            ("weights", ("mean_clean", "mean_noise", "std")),
        ):
            for name in names:
                known = [m.values[part].get(name) for m in members]
                known = [value for value in known if value is not None]
                row[name] = float(np.mean(known)) if known else None
        rows.append(row)
    return rows


def _sampled(results: Sequence[CellResult]) -> list[dict[str, Any]]:
    """The paper's sampled protocol: for each recipe, means over seeds."""
    groups: dict[tuple[str, str, str, str], list[CellResult]] = {}
    for result in results:
        cell = result.cell
        groups.setdefault((cell.file, cell.model, cell.noise, cell.recipe), []).append(result)
    return [
        {"file": file, "model": model, "noise": noise, "recipe": recipe, "seeds": len(members)}
        | {
            name: float(np.mean([m.values["sampled_test"][name] for m in members]))
            for name in _SAMPLED
        }
        for (file, model, noise, recipe), members in groups.items()
    ]


def _markdown(comparisons: Sequence[Comparison], document: dict[str, Any], metric: str) -> str:
    lines = [f"# {metric}: every recipe against its baseline", ""]
    lines += [
        "Differences are recipe minus baseline on the same seed, noise and random numbers. Full "
        "ranking, seen items excluded. Intervals hold 95 %; p is corrected by Holm over the "
        f"{len(comparisons)} comparisons here. *helps* and *harms* need both tests below 0.05.",
        "",
        "| data | model | noise | recipe | seeds | baseline | difference | over seeds | p | "
        "over users | p | time | verdict |",
        "|---|---|---|---|---|---|---|---|---|---|---|---|---|",
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
            _number(c.seeds_p_holm, 3),
            _interval(c.users_low, c.users_high),
            _number(c.users_p_holm, 3),
            f"{c.time_ratio:.1f} x",
            c.verdict,
        )
        lines.append(f"| {' | '.join(cells)} |")
    if not comparisons:
        lines += ["", "No recipe has finished along with its baseline."]
    lines += [
        "",
        "## The paper's sampled protocol",
        "",
        "Test targets against 63 negatives drawn by popularity^0.75; means over seeds. HR@5 and "
        "NDCG@5 by their standard definitions, and by those of the paper's code.",
        "",
        "| data | model | noise | recipe | seeds | AUC | HR@5 | NDCG@5 | paper's HR@5 | "
        "paper's NDCG@5 |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for row in document["sampled"]:
        cells = (
            Path(row["file"]).name,
            row["model"],
            row["noise"],
            row["recipe"],
            str(row["seeds"]),
            *(_number(row[name]) for name in _SAMPLED),
        )
        lines.append(f"| {' | '.join(cells)} |")
    if detections := document["detection"]:
        lines += [
            "",
            "## What the weights know of the planted noise",
            "",
            "AUCs: of interactions; the same among interactions alike in popularity; of rarity "
            "alone; of users; of the artificial task on users not trained on. Weights: means on "
            "what is clean and what is noise.",
            "",
            "| data | model | noise | recipe | interactions | within popularity | rarity alone | "
            "users | artificial | w clean | w noise |",
            "|---|---|---|---|---|---|---|---|---|---|---|",
        ]
        for row in detections:
            names = (*_DETECTION, "mean_clean", "mean_noise")
            cells = (
                Path(row["file"]).name,
                row["model"],
                row["noise"],
                row["recipe"],
                *(_number(row[name], 3) for name in names),
            )
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _number(value: float | None, digits: int = 4) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def _interval(low: float | None, high: float | None) -> str:
    return "-" if low is None or high is None else f"[{low:+.4f}, {high:+.4f}]"
