"""The record of a run as tables, for the terminal and in Markdown."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

from rich import box
from rich.table import Table

Run = dict[str, Any]


def number(value: float) -> str:
    """Three significant digits."""
    if value == 0:
        return "0"
    digits = max(0, 2 - math.floor(math.log10(abs(value))))
    return f"{value:.{digits}f}"


# Heading, key of an answer, format.
_Column = tuple[str, str, Callable[[float], str]]
_TIMES: dict[str, list[_Column]] = {
    "cpu": [("processor ms", "device_ms", number)],
    "cuda": [("GPU ms", "device_ms", number), ("x", "device_ratio", number)],
}


def _columns(run: Run) -> list[_Column]:
    return [
        ("wall ms", "wall_ms", number),
        ("x", "wall_ratio", number),
        *_TIMES[run["device"]],
        ("ps/element", "ps_per_element", number),
        ("GB/s", "gb_per_s", number),
        ("of a copy", "share_of_copy", lambda value: f"{value:.0%}"),
        ("error", "error", lambda value: f"{value:.0e}"),
        ("peak MB", "peak_bytes", lambda value: number(value / 1e6)),
    ]


def place(run: Run) -> str:
    """``cuda``, or ``cpu`` and the number of threads."""
    if run["threads"] is None:
        return str(run["device"])
    return f"{run['device']}, {run['threads']} thread{'s' if run['threads'] > 1 else ''}"


def rows(run: Run) -> Iterator[list[str]]:
    """One row of cells for every contender with a right answer."""
    for name in run["answers"]:
        if answer := right_answer(run, name):
            cells = [(answer[key], write) for _, key, write in _columns(run)]
            yield [name, *("" if value is None else write(value) for value, write in cells)]


def right_answer(run: Run, name: str) -> dict[str, Any]:
    """A contender's answer; empty if there is none, or a wrong one."""
    answer: dict[str, Any] = run["answers"].get(name, {})
    return {} if {"left_out", "wrong"} & set(answer) else answer


def remarks(run: Run) -> list[str]:
    """The speed of a copy, and one line for every contender without a row."""
    lines = [f"a copy: {number(run['copy_gb_per_s'])} GB/s"]
    for name, answer in run["answers"].items():
        if "left_out" in answer:
            lines.append(f"{name}: left out, {answer['left_out']}")
        elif "wrong" in answer:
            lines.append(f"{name}: WRONG RESULT, {answer['wrong']}")
    return lines


def _headings(run: Run) -> list[str]:
    return ["contender", *(heading for heading, _, _ in _columns(run))]


def table(run: Run) -> Table:
    """One question for the terminal."""
    result = Table(
        title=f"{run['question']}, {place(run)}",
        title_justify="left",
        caption="\n".join(remarks(run)),
        caption_justify="left",
        box=box.SIMPLE_HEAD,
    )
    for heading in _headings(run):
        justify: Any = "left" if heading == "contender" else "right"
        result.add_column(heading, justify=justify, no_wrap=heading == "contender")
    for row in rows(run):
        result.add_row(*row)
    return result


def markdown(record: dict[str, Any]) -> str:
    """The whole record: the machine, then a table for every question."""
    machine = record["before"]
    gpu = machine["gpu"]
    hardware = machine["processor"] if gpu is None else f"{machine['processor']}, {gpu['name']}"
    lines = [
        "# Benchmarks",
        "",
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
        columns = _headings(run)
        lines += [f"## {run['question']}, {place(run)}", ""]
        lines += [f"| {' | '.join(columns)} |", "|" + "---|" * len(columns)]
        lines += [f"| {' | '.join(row)} |" for row in rows(run)]
        lines += ["", *(f"* {line}" for line in remarks(run)), ""]
    return "\n".join(lines)
