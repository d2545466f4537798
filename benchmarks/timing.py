"""Clocks for one call, turns of contenders, and the bandwidth of a copy."""

from __future__ import annotations

import ctypes
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Protocol

import torch

from question import Contender, Result

# Calls per turn. With one call a turn, a contender would pay the page faults for memory that the
# other contender has just returned to the system; in a burst it pays its own.
BURST = 4
FEWEST_TURNS, MOST_TURNS = 3, 30


@dataclass
class Times:
    """Seconds of every timed call."""

    wall: list[float] = field(default_factory=list)
    """Time that a user waits."""
    device: list[float] = field(default_factory=list)
    """CPU: processor time of all threads. CUDA: time between two events on the GPU."""


class Clock(Protocol):
    """Measures one call."""

    def measure(self, contender: Contender) -> tuple[float, float, Result]:
        """Wall seconds, device seconds, and the result of the last timed call."""

    def peak_bytes(self, contender: Contender) -> int | None:
        """Peak memory of a call beyond its inputs; ``None`` where the system cannot report it."""


class CpuClock:
    """Wall time and, to recognise a busy machine, processor time of the process."""

    def measure(self, contender: Contender) -> tuple[float, float, Result]:
        _prepare(contender)
        start, device_start = time.perf_counter(), time.process_time()
        result = contender.run()
        stop, device_stop = time.perf_counter(), time.process_time()
        return stop - start, device_stop - device_start, result

    def peak_bytes(self, contender: Contender) -> int | None:
        """Peak resident memory less resident memory before the call; on Linux only."""
        _prepare(contender)
        status, reset = Path("/proc/self/status"), Path("/proc/self/clear_refs")
        try:
            _give_free_memory_back()
            reset.write_text("5")  # sets the peak to the present size
        except OSError:
            return None
        before = _kibibytes(status, "VmRSS")
        contender.run()
        return 1024 * max(0, _kibibytes(status, "VmHWM") - before)


def _prepare(contender: Contender) -> None:
    if contender.prepare is not None:
        contender.prepare()


def _give_free_memory_back() -> None:
    """Returns free memory to the system, so that a call's memory counts as new."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is None:
        raise OSError("no malloc_trim")
    trim(0)


def _kibibytes(status: Path, name: str) -> int:
    (line,) = (line for line in status.read_text().splitlines() if line.startswith(name))
    return int(line.split()[1])


class CudaClock:
    """Time between events on a busy stream, then wall time on an idle one; both with a cold L2."""

    def __init__(self) -> None:
        # Filling it empties the L2 cache. It also keeps the GPU busy until the contender has queued
        # all its kernels, so that the events measure kernels and not launches.
        self._filler = torch.empty(2**30, dtype=torch.int8, device="cuda")

    def measure(self, contender: Contender) -> tuple[float, float, Result]:
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        self._get_ready(contender)
        begin.record()
        result = contender.run()
        end.record()
        torch.cuda.synchronize()
        device = begin.elapsed_time(end) / 1e3
        del result

        self._get_ready(contender)
        torch.cuda.synchronize()
        start = time.perf_counter()
        result = contender.run()
        torch.cuda.synchronize()
        return time.perf_counter() - start, device, result

    def _get_ready(self, contender: Contender) -> None:
        _prepare(contender)
        self._filler.zero_()

    def peak_bytes(self, contender: Contender) -> int | None:
        _prepare(contender)
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        contender.run()
        torch.cuda.synchronize()
        return torch.cuda.max_memory_allocated() - before


def clock_of(device: str) -> Clock:
    """The clock for ``"cpu"`` or ``"cuda"``."""
    return CpuClock() if device == "cpu" else CudaClock()


def take_turns(
    contenders: Mapping[str, Contender],
    clock: Clock,
    *,
    seconds: float,
    check: Callable[[str, Result], None],
) -> dict[str, Times]:
    """Times contenders in turns, so that all meet the same load of the machine.

    Args:
        contenders: by name.
        clock: measures the calls.
        seconds: the approximate total time, within FEWEST_TURNS and MOST_TURNS.
        check: takes a contender's name and the result of its last timed call.
    """
    times = {name: Times() for name in contenders}
    one_turn = 0.0
    for contender in contenders.values():  # a warm-up, too
        start = time.perf_counter()
        clock.measure(contender)
        one_turn += _calls(contender) * (time.perf_counter() - start)
    turns = max(FEWEST_TURNS, min(MOST_TURNS, int(seconds / one_turn)))
    for turn in range(turns):
        for name, contender in contenders.items():
            result = _burst(contender, clock, times[name])
            if turn == turns - 1:
                check(name, result)
            del result
    return times


def _calls(contender: Contender) -> int:
    return 1 if contender.slow else BURST


def _burst(contender: Contender, clock: Clock, times: Times) -> Result:
    result: Result = ()
    for _ in range(_calls(contender)):
        result = ()  # frees the last result before the next call
        wall, device, result = clock.measure(contender)
        times.wall.append(wall)
        times.device.append(device)
    return result


def copy_bandwidth(device: str, *, mebibytes: int | None = None, calls: int = 7) -> float:
    """Bytes per second of ``Tensor.copy_`` between two large tensors: the memory bandwidth.

    Counts bytes read plus bytes written, over the median time, with torch's current number of
    threads. The tensors (256 MiB on a CPU, 1 GiB on a GPU) are larger than caches and touched
    before the clock starts.
    """
    if mebibytes is None:
        mebibytes = 256 if device == "cpu" else 1024
    source = torch.ones(mebibytes * 2**18, device=device)
    target = torch.zeros_like(source)
    copy, clock = Contender(lambda: (target.copy_(source),)), clock_of(device)
    clock.measure(copy)
    measured = [clock.measure(copy)[:2] for _ in range(calls)]
    return 2 * source.nbytes / median(wall if device == "cpu" else gpu for wall, gpu in measured)
