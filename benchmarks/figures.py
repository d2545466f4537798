"""The record of a run as figures: all contenders, and one loss over growing catalogues."""

from __future__ import annotations

import re
from collections import defaultdict
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from question import (
    CCE,
    CCE_UNFILTERED,
    COMPILED,
    EAGER,
    LIGER,
    LIGER_TUNED,
    LOOP,
    OURS,
    TORCH_CHUNKED,
)
from tables import Run, number, place, right_answer

# Colour, hatch and marker: readers without colour tell contenders apart by the latter two.
_STYLES = {
    OURS: ("#1b6ca8", "", "o"),
    EAGER: ("#e9c46a", "///", "s"),
    COMPILED: ("#d1495b", "...", "^"),
    LIGER: ("#8ab17d", "xxx", "v"),
    LIGER_TUNED: ("#cfe3c8", "xx", "D"),
    TORCH_CHUNKED: ("#f4e4bc", "\\\\\\", "<"),
    CCE: ("#b8a9c9", "++", ">"),
    CCE_UNFILTERED: ("#e0d8ea", "+", "p"),
    LOOP: ("#cccccc", "---", "x"),
}
_CATALOGUES = re.compile(r"(\w+) \[(\d+), (\d+)\] x \[(\d+), \d+\] (\w+)$")
_FEWEST = 3  # points that make a curve


def plot(folder: Path, runs: list[Run]) -> list[Path]:
    """Writes one figure per device and number of threads, and one per family of catalogues."""
    runs = [run for run in runs if any(right_answer(run, name) for name in _STYLES)]
    figures = {
        f"bench-{where}": contenders_figure([run for run in runs if place(run) == where], where)
        for where in dict.fromkeys(map(place, runs))
    }
    families: dict[tuple[str, ...], dict[int, Run]] = defaultdict(dict)
    for run in runs:
        if asked := _CATALOGUES.fullmatch(run["question"]):
            op, rows, width, items, dtype = asked.groups()
            families[op, rows, width, dtype, place(run)][int(items)] = run
    for (op, rows, width, dtype, where), by_items in families.items():
        if len(by_items) >= _FEWEST:
            heading = f"{op}, {rows} rows of width {width}, {dtype}, {where}"
            figures[f"catalogues-{rows}x{width}-{dtype}-{where}"] = catalogues_figure(
                dict(sorted(by_items.items())), heading
            )
    written = []
    for name, figure in figures.items():
        written.append(folder / f"{name.replace(', ', '-').replace(' ', '-')}.png")
        figure.savefig(written[-1], dpi=150)
    return written


def contenders_figure(runs: list[Run], where: str) -> Figure:
    """Times as ratios to ours, and speeds beside a copy, of all questions."""
    answered = [[name for name in _STYLES if right_answer(run, name)] for run in runs]
    most = max(map(len, answered))
    figure = Figure(figsize=(12, 1.5 + 0.16 * (most + 1) * len(runs)), layout="constrained")
    ratios, shares = figure.subplots(1, 2, sharey=True)
    ratio_of = "wall_ratio" if runs[0]["device"] == "cpu" else "device_ratio"
    height = 1 / (most + 1)
    for name, (colour, hatch, _) in _STYLES.items():
        there = [
            (y + (names.index(name) - (len(names) - 1) / 2) * height, right_answer(run, name))
            for y, (run, names) in enumerate(zip(runs, answered, strict=True))
            if name in names
        ]
        if not there:
            continue
        at = [y for y, _ in there]
        style = dict(height=height, facecolor=colour, hatch=hatch, edgecolor="0.2", linewidth=0.5)
        shares.barh(at, [100 * one["share_of_copy"] for _, one in there], label=name, **style)
        if name != OURS:
            slower = [one[ratio_of] for _, one in there]
            bars = ratios.barh(at, [ratio - 1 for ratio in slower], left=1, **style)
            ratios.bar_label(bars, [number(ratio) for ratio in slower], padding=2, fontsize=7)
    ratios.set_yticks(range(len(runs)), [run["question"].replace(" ", "\n", 1) for run in runs])
    ratios.invert_yaxis()
    ratios.set(xscale="log", title=f"time / time of {OURS}", xlabel="right of 1: slower than ours")
    ratios.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    ratios.margins(x=0.12, y=0.01)
    ratios.axvline(1, color="0.2", linewidth=1)
    shares.set(title="% of the speed of a copy", xlabel="inputs and outputs counted once")
    shares.axvline(100, color="0.2", linestyle=":")
    _tidy(ratios, shares, lines="x")
    figure.legend(loc="outside upper right", ncols=len(_STYLES), frameon=False, title=where)
    return figure


def catalogues_figure(by_items: dict[int, Run], heading: str) -> Figure:
    """Time and memory of a loss over the number of items in the catalogue."""
    figure = Figure(figsize=(11, 4.5), layout="constrained")
    time, memory = figure.subplots(1, 2)
    on_cpu = next(iter(by_items.values()))["device"] == "cpu"
    milliseconds = "wall_ms" if on_cpu else "device_ms"
    for name, (colour, _, marker) in _STYLES.items():
        for axis, key, unit in ((time, milliseconds, 1.0), (memory, "peak_bytes", 1e6)):
            values = {items: right_answer(run, name).get(key) for items, run in by_items.items()}
            points = {items: value / unit for items, value in values.items() if value}
            if points:
                style = dict(marker=marker, color=colour, markeredgecolor="0.2", label=name)
                axis.plot(points.keys(), points.values(), **style)
    time.set(title="forward and backward, ms")
    memory.set(title="peak memory beyond the inputs, MB")
    for axis in (time, memory):
        axis.set(xscale="log", yscale="log", xlabel="items in the catalogue")
    _tidy(time, memory, lines="both")
    time.legend(frameon=False)
    figure.suptitle(heading)
    return figure


def _tidy(*axes: Any, lines: str) -> None:
    for axis in axes:
        axis.spines[["top", "right"]].set_visible(False)
        axis.grid(axis=lines, alpha=0.25)
        axis.set_axisbelow(True)
