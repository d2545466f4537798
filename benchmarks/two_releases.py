"""SASRec of two releases in turns: training steps, evaluation and lists, in processor seconds.

    python benchmarks/two_releases.py --old OLD/bin/python --file ml-100k.inter

Each release runs in its own process, with the Python of its own environment and one thread; this
script's Python is the new one. In every turn each process trains ``--steps`` steps, evaluates and
recommends once. Ratios are taken within a turn, so that other work on the machine hits both.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

# Runs under either release, so it uses what both have.
_WORKER = """
import json, sys, time
import torch
import torch._dynamo  # torch's optimizers import it in their first step
torch.set_num_threads(1)
import atjt_ext
from atjt_ext import JointTrainer, JointTrainerConfig, SASRec
from atjt_ext.data import leave_one_out, read_interactions, to_sequences

job = json.loads(sys.argv[1])
split = leave_one_out(to_sequences(read_interactions(job["file"])))
torch.manual_seed(0)
model = SASRec(split.train.num_items, **job["model"])
config = JointTrainerConfig.from_recipe(
    "equal_weights", epochs=100_000, patience=None, **job["training"]
)
trainer = JointTrainer(model, config=config)
one_step, done = trainer.step, 0

class Ended(Exception):
    pass

def timed(work):
    started = time.process_time()
    work()
    return time.process_time() - started

def wait():
    global started
    if not sys.stdin.readline():
        raise Ended
    started = time.process_time()

def step(*arguments, **options):
    global done
    result = one_step(*arguments, **options)
    done += 1
    if done % job["steps"] == 0:
        found = {"train": time.process_time() - started}
        found["evaluate"] = timed(lambda: trainer.evaluate(split.valid))
        found["recommend"] = timed(lambda: trainer.recommend(split.valid, k=10))
        model.train()
        print("turn", json.dumps(found), flush=True)
        wait()
    return result

trainer.step = step
print("ready", atjt_ext.__file__, flush=True)
wait()
try:
    trainer.fit(split.train, progress=False)
except Ended:
    pass
"""


class Release:
    """A process that trains with one release, a turn at a time."""

    def __init__(self, python: str, job: dict[str, Any]) -> None:
        self._python = python
        # Not where this script was started: a package there would hide the environment's own.
        command = [python, "-c", _WORKER, json.dumps(job)]
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parent / "results",
        )
        self.package = self._hear("ready").strip()

    def _hear(self, word: str) -> str:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.startswith(word):
                return line.removeprefix(word)
        self.end()
        raise SystemExit(f"{self._python} ended with {self._process.returncode}")

    def turn(self) -> dict[str, float]:
        """Processor seconds of one turn, by what they were spent on."""
        assert self._process.stdin is not None
        self._process.stdin.write("go\n")
        self._process.stdin.flush()
        found: dict[str, float] = json.loads(self._hear("turn"))
        return found

    def end(self) -> None:
        self._process.communicate()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--old", required=True, help="Python of the older release's environment")
    parser.add_argument("--new", default=sys.executable, help="Python of the newer one")
    parser.add_argument("--file", required=True, help="interactions")
    parser.add_argument("--steps", type=int, default=10, help="training steps in a turn")
    parser.add_argument("--turns", type=int, default=9)
    parser.add_argument("--model", type=json.loads, default={}, help="options of SASRec, JSON")
    parser.add_argument("--training", type=json.loads, default={}, help="of the trainer, JSON")
    options = parser.parse_args()
    job = {name: getattr(options, name) for name in ("steps", "model", "training")}
    job["file"] = str(Path(options.file).absolute())
    releases = [Release(python, job) for python in (options.old, options.new)]
    for release in releases:
        release.turn()  # the first steps allocate and import
    turns = [[release.turn() for release in releases] for _ in range(options.turns)]
    for release in releases:
        release.end()
    print(f"old: {releases[0].package}\nnew: {releases[1].package}\n")
    print("| work | old, s | new, s | old / new | quartiles |")
    print("|---|---|---|---|---|")
    for work in turns[0][0]:
        old, new = ([turn[i][work] for turn in turns] for i in range(2))
        ratios = sorted(a / b for a, b in zip(old, new, strict=True))
        low, middle, high = statistics.quantiles(ratios, n=4)
        print(
            f"| {work} | {statistics.median(old):.3f} | {statistics.median(new):.3f} | "
            f"{middle:.2f} | {low:.2f} to {high:.2f} |"
        )


if __name__ == "__main__":
    main()
