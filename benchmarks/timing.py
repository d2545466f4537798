"""Clocks, contenders taking turns, and the speed of a copy."""

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

# Calls per turn. One call a turn would charge a contender for the memory that the other one just
# gave back to the system; in a burst the page faults that count are those of its own making.
BURST = 4
FEWEST_TURNS, MOST_TURNS = 3, 30


@dataclass
class Times:
    """Seconds of every timed call."""

    wall: list[float] = field(default_factory=list)
    """What a user waits."""
    device: list[float] = field(default_factory=list)
    """CPU: processor time of all threads. CUDA: time on the GPU, between two events."""


class Clock(Protocol):
    """Times one call."""

    def measure(self, contender: Contender) -> tuple[float, float, Result]:
        """Wall seconds, device seconds, and the result of the call that was timed last."""

    def peak_bytes(self, contender: Contender) -> int | None:
        """Memory beyond the inputs that a call needs at most, if the device can tell."""


class CpuClock:
    """Wall time, and as a check against a busy machine the processor time of the process."""

    def measure(self, contender: Contender) -> tuple[float, float, Result]:
        if contender.prepare is not None:
            contender.prepare()
        start, device_start = time.perf_counter(), time.process_time()
        result = contender.run()
        stop, device_stop = time.perf_counter(), time.process_time()
        return stop - start, device_stop - device_start, result

    def peak_bytes(self, contender: Contender) -> int | None:
        """What the process holds at most, less what it held before: Linux only."""
        if contender.prepare is not None:
            contender.prepare()
        status, reset = Path("/proc/self/status"), Path("/proc/self/clear_refs")
        try:
            _give_free_memory_back()
            reset.write_text("5")  # the peak is now what is held at present
        except OSError:
            return None
        before = _kibibytes(status, "VmRSS")
        contender.run()
        return 1024 * max(0, _kibibytes(status, "VmHWM") - before)


def _give_free_memory_back() -> None:
    """Otherwise a call may use memory that counts as held already."""
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
        # Large: it empties the L2 cache, and it keeps the GPU busy until everything that a
        # contender launches is queued, so that the events see kernels and not the launching.
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
        if contender.prepare is not None:
            contender.prepare()
        self._filler.zero_()

    def peak_bytes(self, contender: Contender) -> int | None:
        if contender.prepare is not None:
            contender.prepare()
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
    """Let the contenders take turns, so that all meet the same machine.

    Args:
        contenders: by name.
        clock: times the calls.
        seconds: about how long all of it should last, within the limits of the turns.
        check: called for every contender with the result of its last timed call.
    """
    times = {name: Times() for name in contenders}
    one_turn = 0.0
    for contender in contenders.values():  # warms up
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
        result = ()  # the last one is gone before the next call
        wall, device, result = clock.measure(contender)
        times.wall.append(wall)
        times.device.append(device)
    return result


def copy_bandwidth(device: str, *, mebibytes: int | None = None, calls: int = 7) -> float:
    """Bytes per second of ``Tensor.copy_`` between two large tensors: what memory allows.

    Bytes read plus bytes written, over the median time, with torch's current number of threads.
    The tensors (256 MiB on a CPU, 1 GiB on a GPU) are larger than caches, and their memory is
    there before the clock starts.
    """
    if mebibytes is None:
        mebibytes = 256 if device == "cpu" else 1024
    source = torch.ones(mebibytes * 2**18, device=device)
    target = torch.zeros_like(source)
    copy, clock = Contender(lambda: (target.copy_(source),)), clock_of(device)
    clock.measure(copy)
    measured = [clock.measure(copy)[:2] for _ in range(calls)]
    return 2 * source.nbytes / median(wall if device == "cpu" else gpu for wall, gpu in measured)
