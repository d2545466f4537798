"""All questions, contenders side by side in one process: where the quoted ratios come from.

    python benchmarks/compare.py [--device cpu cuda] [--threads 1 2] [--only cross_entropy]

Writes bench.json, bench.md and a figure per device and number of threads into a folder, and ends
with an error if a contender's result was wrong.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Sequence
from pathlib import Path
from statistics import median, quantiles
from typing import Any

import torch
from rich.console import Console

from catalogue_figure import plot_catalogues
from machine import facts, why_not
from question import OURS, Contender, Question, Result, WrongResultError
from report import markdown, plot, table
from suite import DEVICES, questions
from timing import Clock, Times, clock_of, copy_bandwidth, take_turns


def ask(question: Question, clock: Clock, *, seconds: float) -> dict[str, Any]:
    """One question to all contenders, with torch's current number of threads."""
    torch.compiler.reset()  # a question's compiled functions are of no use to the next one
    copy = copy_bandwidth(question.device)
    answers: dict[str, dict[str, Any]] = {}
    present: dict[str, Contender] = {}
    for name, contender in question.contenders().items():
        reason = contender if isinstance(contender, str) else _first_call(contender, clock)
        if isinstance(reason, str):
            answers[name] = {"left_out": reason}
        else:
            assert isinstance(contender, Contender)
            present[name] = contender
            answers[name] = {"peak_bytes": clock.peak_bytes(contender)}

    if OURS not in present:
        answers |= {name: {"left_out": f"nothing to compare {name} with"} for name in present}
        present = {}

    def check(name: str, result: Result) -> None:
        try:
            answers[name]["error"] = question.check(name, result)
        except WrongResultError as wrong:
            answers[name]["wrong"] = str(wrong)

    times = take_turns(present, clock, seconds=seconds, check=check) if present else {}
    for name, statistics in summarise(question, times, copy).items():
        answers[name] |= statistics
    return {
        "question": str(question),
        "device": question.device,
        "threads": torch.get_num_threads() if question.device == "cpu" else None,
        "bytes": question.bytes_moved,
        "copy_gb_per_s": copy / 1e9,
        "answers": answers,
    }


def _first_call(contender: Contender, clock: Clock) -> str | None:
    """Compiles what compiles. The reason, if the contender does not fit the device."""
    try:
        clock.measure(contender)
    except torch.OutOfMemoryError:
        torch.cuda.empty_cache()
        return "out of device memory"
    return None


def summarise(
    question: Question, times: dict[str, Times], copy: float
) -> dict[str, dict[str, float | int | list[float]]]:
    """Medians, their ratios to ours, and bytes per second beside those of a copy."""
    summary: dict[str, dict[str, float | int | list[float]]] = {}
    for name, one in times.items():
        wall, device = median(one.wall), median(one.device)
        speed = question.bytes_moved / (wall if question.device == "cpu" else device)
        summary[name] = {
            "calls": len(one.wall),
            "wall_ms": wall * 1e3,
            "wall_ms_quartiles": [seconds * 1e3 for seconds in quantiles(one.wall)[::2]],
            "device_ms": device * 1e3,
            "wall_ratio": wall / median(times[OURS].wall),
            "device_ratio": device / median(times[OURS].device),
            "ps_per_element": (wall if question.device == "cpu" else device)
            / question.elements
            * 1e12,
            "gb_per_s": speed / 1e9,
            "share_of_copy": speed / copy,
        }
    return summary


def main(arguments: Sequence[str] | None = None) -> int:
    cores = os.cpu_count() or 1
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--device", nargs="+", choices=DEVICES, default=DEVICES)
    parser.add_argument("--threads", type=int, nargs="+", default=sorted({1, cores}))
    parser.add_argument("--only", default="", help="questions with this in their names")
    parser.add_argument("--seconds", type=float, default=2.0, help="for each, compiling apart")
    parser.add_argument("--small", action="store_true", help="try the machinery, not the machine")
    parser.add_argument("--out", type=Path, default=Path("build/bench"))
    options = parser.parse_args(arguments)

    console = Console()
    record: dict[str, Any] = {"before": facts(), "left_out": {}, "runs": []}
    for device in options.device:
        reason = why_not(device)
        if reason is not None:
            record["left_out"][device] = reason
            console.print(f"nothing is measured on {device}: {reason}")
            continue
        clock = clock_of(device)
        for asked in questions(device, small=options.small):
            if options.only not in str(asked):
                continue
            question = asked.fresh()
            for threads in options.threads if device == "cpu" else options.threads[:1]:
                torch.set_num_threads(threads)
                record["runs"].append(ask(question, clock, seconds=options.seconds))
                console.print(table(record["runs"][-1]))
    record["after"] = facts()

    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "bench.json").write_text(json.dumps(record, indent=1) + "\n")
    (options.out / "bench.md").write_text(markdown(record))
    figures = [*plot(options.out, record["runs"]), *plot_catalogues(options.out, record["runs"])]
    written = [options.out / "bench.json", options.out / "bench.md", *figures]
    console.print(f"written: {', '.join(map(str, written))}")
    wrong = [
        answer["wrong"]
        for run in record["runs"]
        for answer in run["answers"].values()
        if "wrong" in answer
    ]
    missing = [
        f"{OURS} in {run['question']}: {run['answers'][OURS]['left_out']}"
        for run in record["runs"]
        if "left_out" in run["answers"][OURS]
    ]
    for message in wrong:
        console.print(f"[bold red]wrong:[/] {message}")
    for message in missing:
        console.print(f"[bold red]missing:[/] {message}")
    if not record["runs"]:
        console.print(f"[bold red]nothing was asked[/] on {', '.join(options.device)}")
    return 1 if wrong or missing or not record["runs"] else 0


if __name__ == "__main__":
    raise SystemExit(main())
