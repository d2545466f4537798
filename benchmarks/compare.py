"""Contenders side by side in one process, taking turns: where the quoted ratios come from.

    python benchmarks/compare.py [--rounds 10] [--threads 1 2] [--json benchmarks/results/cpu.json]

Taking turns, all meet the same machine: its clock, its neighbours, its memory. Wall time and, as a
check against a busy machine, processor time.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
from pathlib import Path
from statistics import median
from typing import Any

import torch

import atjt_ext
from contenders import Sampler, WeightedLoss

# Calls per turn. One call a turn would charge a contender for the memory that the other one just
# gave back to the system; in a burst the page faults that count are those of its own making.
BURST = 5

# (question, contenders left out): a Python loop would only stretch the run.
QUESTIONS = [(Sampler(), {"python loop"}), (WeightedLoss(), {"torch.compile"})]


def processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor()


def compare(question: Any, leave_out: set[str], threads: int, rounds: int) -> dict[str, Any]:
    """Medians in milliseconds and ratios to the first contender."""
    torch.set_num_threads(threads)
    contenders = {k: v for k, v in question.contenders().items() if k not in leave_out}
    wall: dict[str, list[float]] = {name: [] for name in contenders}
    cpu: dict[str, list[float]] = {name: [] for name in contenders}
    for run in contenders.values():
        question.check(run())
    for turn in range(rounds + 1):
        for name, run in contenders.items():
            for _ in range(BURST):
                start, cpu_start = time.perf_counter(), time.process_time()
                result = run()
                stop, cpu_stop = time.perf_counter(), time.process_time()
                del result
                if turn >= 1:
                    wall[name].append((stop - start) * 1e3)
                    cpu[name].append((cpu_stop - cpu_start) * 1e3)
    ours = next(iter(contenders))
    rows = {
        name: {
            "wall_ms": round(median(wall[name]), 3),
            "cpu_ms": round(median(cpu[name]), 3),
            "wall_ratio": round(median(wall[name]) / median(wall[ours]), 2),
            "cpu_ratio": round(median(cpu[name]) / median(cpu[ours]), 2),
        }
        for name in contenders
    }
    return {"question": repr(question), "threads": threads, "rounds": rounds, "results": rows}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()

    record: dict[str, Any] = {
        "processor": processor(),
        "processors": os.cpu_count(),
        "load_before": os.getloadavg(),
        "torch": torch.__version__,
        "python": platform.python_version(),
        "build": atjt_ext.build_info(),
        "runs": [],
    }
    for question, leave_out in QUESTIONS:
        for threads in options.threads:
            run = compare(question, leave_out, threads, options.rounds)
            record["runs"].append(run)
            print(f"\n{run['question']}, {threads} threads")
            for name, row in run["results"].items():
                print(
                    f"  {name:14} {row['wall_ms']:9.3f} ms  x{row['wall_ratio']:<6} "
                    f"processor {row['cpu_ms']:9.3f} ms  x{row['cpu_ratio']}"
                )
    record["load_after"] = os.getloadavg()
    print(f"\nload average before and after: {record['load_before'][0]}, {record['load_after'][0]}")
    if options.json is not None:
        options.json.write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
