"""From a big file to a leave-one-out split: seconds, CPU seconds and peak memory of each step.

    python benchmarks/big_file.py --rows 20_000_000 --file build/ratings.csv

If the file does not exist, the script first writes random ratings in the layout of MovieLens'
``ratings.csv``. Users' lengths are log-normal and items follow a power law, as in MovieLens-20M
(138,000 users, 27,000 items); as many rare items are added for the 5-core to remove. Linux only.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import polars as pl

_USERS, _ITEMS = 138_000, 27_000
_USERS_AT_ONCE = 5_000


def write_ratings(path: Path, rows: int, *, seed: int = 0) -> None:
    """Writes about ``rows`` ratings, grouped by user, 5,000 users at a time."""
    rng = np.random.default_rng(seed)
    users = max(1, _USERS * rows // 20_000_000)
    shares = rng.lognormal(4.2, 1.2, users)
    lengths = np.maximum(1, shares / shares.sum() * rows).astype(np.int64)
    popularity = np.arange(1, _ITEMS + 1) ** -0.9
    limits = np.cumsum(popularity / popularity.sum())
    ids = rng.permutation(200_000)[:_ITEMS] + 1
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        file.write(b"userId,movieId,rating,timestamp\n")
        for first in range(0, users, _USERS_AT_ONCE):
            own = lengths[first : first + _USERS_AT_ONCE]
            total = int(own.sum())
            items = ids[np.minimum(np.searchsorted(limits, rng.random(total)), _ITEMS - 1)]
            rare = rng.random(total) < 0.002
            items[rare] = 300_000 + rng.integers(0, _ITEMS, int(rare.sum()))
            starts = np.repeat(rng.integers(800_000_000, 1_500_000_000, len(own)), own)
            pl.DataFrame(
                {
                    "user": np.repeat(np.arange(first, first + len(own)) + 1, own),
                    "item": items,
                    "rating": rng.integers(1, 11, total) / 2,
                    "time": starts + rng.integers(0, 10_000_000, total),
                }
            ).write_csv(file, include_header=False)


def measure(path: Path) -> None:
    """Reads, filters, orders and splits; prints a line per step."""
    from atjt_ext.data import k_core, leave_one_out, read_interactions, to_sequences

    clock = (time.perf_counter(), time.process_time())

    def report(step: str, result: str) -> None:
        nonlocal clock
        now = (time.perf_counter(), time.process_time())
        wall, cpu = (after - before for after, before in zip(now, clock, strict=True))
        print(f"{step:16} {wall:6.1f} s {cpu:6.1f} CPU s  peak {_peak():5.2f} GiB  {result}")
        clock = now

    report("import", "")
    interactions = read_interactions(path)
    report("read", f"{len(interactions):,} interactions")
    interactions = k_core(interactions, 5)
    report("k_core", f"{len(interactions):,} interactions")
    sequences = to_sequences(interactions)
    report("to_sequences", f"{sequences.num_users:,} users, {sequences.num_items:,} items")
    split = leave_one_out(sequences)
    report("leave_one_out", f"{split.train.num_interactions:,} to train on")


def _peak() -> float:
    """Peak resident memory of this process in GiB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    kib = next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))
    return kib / 2**20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--rows", type=int, default=20_000_000)
    parser.add_argument("--file", type=Path, default=Path("build/ratings.csv"))
    parser.add_argument("--measure", action="store_true", help="only measure, in this process")
    options = parser.parse_args()
    if options.measure:
        measure(options.file)
        return
    if not options.file.exists():
        write_ratings(options.file, options.rows)
    # In another process, whose peak memory does not include the writing.
    command = [sys.executable, __file__, "--measure", "--file", str(options.file)]
    subprocess.run(command, check=True)


if __name__ == "__main__":
    main()
