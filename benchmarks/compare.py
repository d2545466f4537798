"""All questions to all contenders in one process: the source of the quoted ratios.

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

from figures import plot
from machine import facts, why_not
from question import OURS, Contender, Question, Result, WrongResultError
from suite import DEVICES, questions
from tables import markdown, table
from timing import Clock, Times, clock_of, copy_bandwidth, take_turns


def ask(question: Question, clock: Clock, *, seconds: float) -> dict[str, Any]:
    """The answers of all contenders to a question, with torch's current number of threads."""
    torch.compiler.reset()  # the next question needs none of the compiled functions
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
    """Warms the contender up. Returns the reason if it does not fit the device."""
    try:
        clock.measure(contender)
    except torch.OutOfMemoryError:
        torch.cuda.empty_cache()
        return "out of device memory"
    return None


def summarise(
    question: Question, times: dict[str, Times], copy: float
) -> dict[str, dict[str, Any]]:
    """Medians, their ratios to ours, and bytes per second beside those of a copy."""
    summary: dict[str, dict[str, Any]] = {}
    for name, one in times.items():
        wall, device = median(one.wall), median(one.device)
        seconds = wall if question.device == "cpu" else device
        speed = question.bytes_moved / seconds
        summary[name] = {
            "calls": len(one.wall),
            "wall_ms": wall * 1e3,
            "wall_ms_quartiles": [quartile * 1e3 for quartile in quantiles(one.wall)[::2]],
            "device_ms": device * 1e3,
            "wall_ratio": wall / median(times[OURS].wall),
            "device_ratio": device / median(times[OURS].device),
            "ps_per_element": seconds / question.elements * 1e12,
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
    parser.add_argument("--only", default="", help="ask questions whose title contains this")
    parser.add_argument(
        "--seconds", type=float, default=2.0, help="for each question, without compiling"
    )
    parser.add_argument("--small", action="store_true", help="tiny inputs: tests the script")
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
    figures = plot(options.out, record["runs"])
    written = [options.out / "bench.json", options.out / "bench.md", *figures]
    console.print(f"written: {', '.join(map(str, written))}")
    troubles = [] if record["runs"] else [f"nothing was asked on {', '.join(options.device)}"]
    for run in record["runs"]:
        answers = run["answers"]
        troubles += [f"wrong: {one['wrong']}" for one in answers.values() if "wrong" in one]
        if "left_out" in answers[OURS]:
            reason = answers[OURS]["left_out"]
            troubles.append(f"missing: {OURS} in {run['question']}: {reason}")
    for trouble in troubles:
        console.print(f"[bold red]{trouble}[/]")
    return 1 if troubles else 0


if __name__ == "__main__":
    raise SystemExit(main())
