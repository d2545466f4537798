"""A contender's side of the race: it trains in its turns only. Imports numpy only.

The messages are lines of JSON on two pipes of their own, so that a library may print what it likes.
The orders are ``{"train": SECONDS}``, ``{"finish": true}`` and, by the end of the pipe, "stop".
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any, TextIO, TypeVar

import numpy as np
import numpy.typing as npt

from .job import Integers, Job

Export = Mapping[str, npt.NDArray[Any]]
"""What the judge ranks with: ``hidden [U, D]`` float32, the state after each user's history;
``items [V, D]`` float32; ``known [V]`` bool, false for items that the library cannot recommend."""

T = TypeVar("T")
_STATUS = Path("/proc/self/status")
_REPEATS = 3  # of the top-10 lists


def memory_mb() -> dict[str, float]:
    """Resident memory now and its peak since :func:`forget_peak`, in MB."""
    lines = dict(line.split(":", 1) for line in _STATUS.read_text().splitlines())
    return {
        name: int(lines[key].split()[0]) * 1024 / 1e6
        for name, key in (("now_mb", "VmRSS"), ("peak_mb", "VmHWM"))
    }


def forget_peak() -> None:
    """Starts a new peak of resident memory; OSError where the kernel does not let us."""
    Path("/proc/self/clear_refs").write_text("5")


class Turns:
    """Counts the seconds of training alone, and waits for the next turn after each.

    Args:
        orders: lines from the coordinator.
        answers: lines to the coordinator.
        exports: a folder that the coordinator reads from.
    """

    def __init__(self, orders: TextIO, answers: TextIO, exports: Path) -> None:
        self._orders, self._answers, self._exports = orders, answers, exports
        self._export: Callable[[], Export] | None = None
        self._steps_per_epoch = 1
        self._steps = 0
        self._turns = 0
        self._cpu = self._wall = 0.0
        self._turn = 0.0
        self._peak = 0.0
        self._born = time.process_time()

    def __deepcopy__(self, memo: dict[int, Any]) -> Turns:
        # RecTools copies its Lightning trainer, with all callbacks.
        return self

    def begin(
        self,
        export: Callable[[], Export],
        *,
        steps_per_epoch: int,
        targets_per_epoch: int,
        packages: tuple[str, ...],
    ) -> None:
        """Call it right before the first step. Returns when the first turn begins.

        Args:
            export: what the judge needs of the present model; called between turns.
            steps_per_epoch: how many calls of :meth:`step_done` make an epoch.
            targets_per_epoch: how many items are predicted in an epoch.
            packages: the distributions whose versions the record holds.
        """
        self._export, self._steps_per_epoch = export, steps_per_epoch
        self._say(
            targets_per_epoch=targets_per_epoch,
            setup_cpu=time.process_time() - self._born,
            before_mb=memory_mb()["now_mb"],
            versions={"python": sys.version.split()[0]}
            | {name: metadata.version(name) for name in packages},
        )
        if self._wait():
            raise SystemExit("told to finish before the first turn")

    def step_done(self) -> bool:
        """Call it after each step of training; true once training shall end."""
        self._steps += 1
        cpu = time.process_time() - self._cpu_at
        if cpu < self._turn:
            return False
        self._cpu += cpu
        self._wall += time.perf_counter() - self._wall_at
        self._peak = max(self._peak, memory_mb()["peak_mb"])
        self._turns += 1
        self._say(
            cpu=self._cpu,
            wall=self._wall,
            epochs=self._steps / self._steps_per_epoch,
            peak_mb=self._peak,
            export=self._written({}),
        )
        return self._wait()

    def finish(self, recommend: Callable[[], T], as_codes: Callable[[T], Integers]) -> None:
        """Times the top-10 lists of all users and reports them, after training.

        Args:
            recommend: the library's own way from histories to lists, seen items excluded.
            as_codes: its result as item codes ``[U, 10]``, 0 where a list is shorter; not timed.
        """
        cpu, wall = [], []
        forget_peak()
        for _ in range(_REPEATS):
            cpu_at, wall_at = time.process_time(), time.perf_counter()
            found = recommend()
            cpu.append(time.process_time() - cpu_at)
            wall.append(time.perf_counter() - wall_at)
        peak = memory_mb()["peak_mb"]
        self._say(
            top10_cpu=cpu,
            top10_wall=wall,
            top10_peak_mb=peak,
            export=self._written({"lists": as_codes(found)}),
        )

    def _written(self, more: Export) -> str:
        assert self._export is not None, "begin comes first"
        path = self._exports / f"{os.getpid()}-{self._turns}{'-end' if more else ''}.npz"
        arrays: dict[str, Any] = {**self._export(), **more}
        np.savez(path, **arrays)
        return str(path)

    def _say(self, **message: Any) -> None:
        self._answers.write(json.dumps(message) + "\n")
        self._answers.flush()

    def _wait(self) -> bool:
        """Waits for an order and starts the clocks; true if training shall end."""
        line = self._orders.readline()
        if not line:
            raise SystemExit("the race was stopped")
        order = json.loads(line)
        if "finish" in order:
            return True
        self._turn = float(order["train"])
        forget_peak()
        self._cpu_at, self._wall_at = time.process_time(), time.perf_counter()
        return False


def connect() -> tuple[Job, Turns]:
    """The job and the turns of this process, from its arguments: JOB, and two file descriptors."""
    path, orders, answers = sys.argv[1:]
    job = Job.read(Path(path))
    turns = Turns(os.fdopen(int(orders)), os.fdopen(int(answers), "w"), Path(job.exports))
    return job, turns
