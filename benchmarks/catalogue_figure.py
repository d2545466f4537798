"""Time and memory of the whole-catalogue loss as the catalogue grows."""

from __future__ import annotations

import re
from collections import defaultdict
from pathlib import Path
from typing import Any

from atjt_ext.experiment.figures import require_matplotlib
from report import STYLES, Run, answers, place

_QUESTION = re.compile(r"(\w+) \[(\d+), (\d+)\] x \[(\d+), \d+\] (\w+)$")
_FEWEST = 3  # points that make a curve
_MARKERS = "os^vD<>px"


def plot_catalogues(folder: Path, runs: list[Run]) -> list[Path]:
    """A figure for every number of rows, width and dtype that met three catalogues or more."""
    families: dict[tuple[str, ...], dict[int, Run]] = defaultdict(dict)
    for run in runs:
        asked = _QUESTION.fullmatch(run["question"])
        if asked is not None:
            op, rows, width, classes, dtype = asked.groups()
            families[op, rows, width, dtype, place(run)][int(classes)] = run
    written = []
    for (op, rows, width, dtype, where), by_classes in families.items():
        if len(by_classes) < _FEWEST:
            continue
        heading = f"{op}, {rows} rows of width {width}, {dtype}, {where}"
        name = f"catalogues-{rows}x{width}-{dtype}-{where}".replace(", ", "-").replace(" ", "-")
        path = folder / f"{name}.png"
        _figure(dict(sorted(by_classes.items())), heading).savefig(path, dpi=150)
        written.append(path)
    return written


def _figure(by_classes: dict[int, Run], heading: str) -> Any:
    figure = require_matplotlib()(figsize=(11, 4.5), layout="constrained")
    time, memory = figure.subplots(1, 2)
    on_cpu = next(iter(by_classes.values()))["device"] == "cpu"
    milliseconds = "wall_ms" if on_cpu else "device_ms"
    for marker, (name, style) in zip(_MARKERS, STYLES.items(), strict=True):
        for axis, key, unit in ((time, milliseconds, 1.0), (memory, "peak_bytes", 1e6)):
            points = {
                classes: answers(run, name)[key] / unit
                for classes, run in by_classes.items()
                if answers(run, name).get(key)
            }
            if points:
                axis.plot(
                    points.keys(), points.values(), marker=marker, label=name,
                    color=style["facecolor"], markeredgecolor="0.2",
                )  # fmt: skip
    time.set(title="forward and backward, ms")
    memory.set(title="peak memory beyond the inputs, MB")
    for axis in (time, memory):
        axis.set(xscale="log", yscale="log", xlabel="items in the catalogue")
        axis.spines[["top", "right"]].set_visible(False)
        axis.grid(alpha=0.25)
    time.legend(frameon=False)
    figure.suptitle(heading)
    return figure
