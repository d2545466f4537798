"""A run of questions as tables and figures."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from rich import box
from rich.table import Table

from atjt_ext.experiment.figures import require_matplotlib
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

Run = dict[str, Any]

# Heading, key of an answer, how it is written.
_COMMON = [
    ("ps/element", "ps_per_element", "number"),
    ("GB/s", "gb_per_s", "number"),
    ("of a copy", "share_of_copy", "per cent"),
    ("error", "error", "power"),
    ("peak MB", "peak_bytes", "megabytes"),
]
_COLUMNS = {
    "cpu": [
        ("wall ms", "wall_ms", "number"),
        ("x", "wall_ratio", "number"),
        ("processor ms", "device_ms", "number"),
        *_COMMON,
    ],
    "cuda": [
        ("wall ms", "wall_ms", "number"),
        ("x", "wall_ratio", "number"),
        ("GPU ms", "device_ms", "number"),
        ("x", "device_ratio", "number"),
        *_COMMON,
    ],
}

# Told apart without colour too.
STYLES: dict[str, dict[str, str]] = {
    OURS: {"facecolor": "#1b6ca8", "hatch": ""},
    EAGER: {"facecolor": "#e9c46a", "hatch": "///"},
    COMPILED: {"facecolor": "#d1495b", "hatch": "..."},
    LIGER: {"facecolor": "#8ab17d", "hatch": "xxx"},
    LIGER_TUNED: {"facecolor": "#cfe3c8", "hatch": "xx"},
    TORCH_CHUNKED: {"facecolor": "#f4e4bc", "hatch": "\\\\\\"},
    CCE: {"facecolor": "#b8a9c9", "hatch": "++"},
    CCE_UNFILTERED: {"facecolor": "#e0d8ea", "hatch": "+"},
    LOOP: {"facecolor": "#cccccc", "hatch": "---"},
}


def title(run: Run) -> str:
    """What was asked, and with how many threads."""
    return f"{run['question']}, {place(run)}"


def place(run: Run) -> str:
    """``cuda``, or ``cpu`` and the number of threads."""
    if run["threads"] is None:
        return str(run["device"])
    return f"{run['device']}, {run['threads']} thread{'s' if run['threads'] > 1 else ''}"


def number(value: float) -> str:
    """Three digits that count."""
    if value == 0:
        return "0"
    digits = max(0, 2 - math.floor(math.log10(abs(value))))
    return f"{value:.{digits}f}"


_WRITE: dict[str, Callable[[float], str]] = {
    "number": number,
    "per cent": lambda value: f"{value:.0%}",
    "power": lambda value: f"{value:.0e}",
    "megabytes": lambda value: number(value / 1e6),
}


def headings(run: Run) -> list[str]:
    """What the columns of its table are called."""
    return ["contender", *(heading for heading, _, _ in _COLUMNS[run["device"]])]


def rows(run: Run) -> Iterator[list[str]]:
    """A row of cells for every contender that answered."""
    for name, answer in run["answers"].items():
        if remark(answer) is None:
            cells = [(answer[key], how) for _, key, how in _COLUMNS[run["device"]]]
            yield [name, *("" if value is None else _WRITE[how](value) for value, how in cells)]


def remark(answer: dict[str, Any]) -> str | None:
    """Why a contender has no numbers to show."""
    if "left_out" in answer:
        return f"left out, {answer['left_out']}"
    if "wrong" in answer:
        return f"WRONG RESULT, {answer['wrong']}"
    return None


def remarks(run: Run) -> list[str]:
    """A line about every contender without a row, and about the copy."""
    found = {name: remark(answer) for name, answer in run["answers"].items()}
    lines = [f"{name}: {text}" for name, text in found.items() if text is not None]
    return [f"a copy: {number(run['copy_gb_per_s'])} GB/s", *lines]


def table(run: Run) -> Table:
    """One question, a row per contender, for the terminal."""
    result = Table(
        title=title(run),
        title_justify="left",
        caption="\n".join(remarks(run)),
        caption_justify="left",
        box=box.SIMPLE_HEAD,
    )
    for heading in headings(run):
        justify: Any = "left" if heading == "contender" else "right"
        result.add_column(heading, justify=justify, no_wrap=heading == "contender")
    for row in rows(run):
        result.add_row(*row)
    return result


def markdown(record: dict[str, Any]) -> str:
    """The whole record for reading."""
    machine = record["before"]
    lines = ["# Benchmarks", ""]
    gpu = machine["gpu"]
    hardware = machine["processor"] if gpu is None else f"{machine['processor']}, {gpu['name']}"
    lines += [
        f"{hardware}; torch {machine['torch']}, Python {machine['python']}, atjt_ext "
        f"{machine['build']['version']} at {machine['commit']}; {machine['date']}. "
        f"Load before {machine['load']:.1f}, after {record['after']['load']:.1f}.",
        "",
        "Medians of contenders that took turns; x is the ratio to ours; GB/s count inputs and "
        "outputs once, beside those of a large copy in the same run.",
        "",
    ]
    lines += [f"Nothing on {device}: {why}.\n" for device, why in record["left_out"].items()]
    for run in record["runs"]:
        columns = headings(run)
        lines += [f"## {title(run)}", ""]
        lines.append(f"| {' | '.join(columns)} |")
        lines.append("|" + "---|" * len(columns))
        lines += [f"| {' | '.join(row)} |" for row in rows(run)]
        lines += ["", *(f"* {line}" for line in remarks(run)), ""]
    return "\n".join(lines)


def plot(folder: Path, runs: list[Run]) -> list[Path]:
    """A figure per device and number of threads: times beside ours, and speed beside a copy."""
    runs = [run for run in runs if any(answers(run, name) for name in STYLES)]
    written = []
    for where in dict.fromkeys(place(run) for run in runs):
        path = folder / f"bench-{where.replace(', ', '-').replace(' ', '-')}.png"
        _figure([run for run in runs if place(run) == where], where).savefig(path, dpi=150)
        written.append(path)
    return written


def _figure(runs: list[Run], where: str) -> Any:
    answered = [[name for name in STYLES if answers(run, name)] for run in runs]
    most = max(map(len, answered))
    figure = require_matplotlib()(
        figsize=(12, 1.5 + 0.16 * (most + 1) * len(runs)), layout="constrained"
    )
    ratios, shares = figure.subplots(1, 2, sharey=True)
    ratio_of = "wall_ratio" if runs[0]["device"] == "cpu" else "device_ratio"
    height = 1 / (most + 1)
    for name, colours in STYLES.items():
        there = [
            (y + (names.index(name) - (len(names) - 1) / 2) * height, answers(run, name))
            for y, (run, names) in enumerate(zip(runs, answered, strict=True))
            if name in names
        ]
        if not there:
            continue
        at = [y for y, _ in there]
        style = {"height": height, "edgecolor": "0.2", "linewidth": 0.5, **colours}
        shares.barh(at, [100 * one["share_of_copy"] for _, one in there], label=name, **style)
        if name != OURS:
            slower = [one[ratio_of] for _, one in there]
            bars = ratios.barh(at, [ratio - 1 for ratio in slower], left=1, **style)
            ratios.bar_label(bars, [number(ratio) for ratio in slower], padding=2, fontsize=7)
    ratios.set_yticks(range(len(runs)), [_two_lines(run) for run in runs])
    ratios.invert_yaxis()
    ratios.set(xscale="log", title=f"time / time of {OURS}", xlabel="right of 1: slower than ours")
    ratios.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    ratios.margins(x=0.12, y=0.01)
    ratios.axvline(1, color="0.2", linewidth=1)
    shares.set(title="% of the speed of a copy", xlabel="inputs and outputs counted once")
    shares.axvline(100, color="0.2", linestyle=":")
    for axis in (ratios, shares):
        axis.spines[["top", "right"]].set_visible(False)
        axis.grid(axis="x", alpha=0.25)
        axis.set_axisbelow(True)
    figure.legend(loc="outside upper right", ncols=len(STYLES), frameon=False, title=where)
    return figure


def _two_lines(run: Run) -> str:
    op, _, what = run["question"].partition(" ")
    return f"{op}\n{what}"


def answers(run: Run, name: str) -> dict[str, Any]:
    """A contender's answer; nothing if it gave none, or a wrong one."""
    answer: dict[str, Any] = run["answers"].get(name, {})
    return answer if answer and remark(answer) is None else {}
