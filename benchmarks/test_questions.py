"""Every question in pytest-benchmark: one contender at a time, its last result checked.

``--benchmark-disable`` runs every contender once, at a size that takes no time, on one thread.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from functools import cache
from statistics import median
from typing import Any

import pytest
import torch

from machine import facts, why_not
from question import Contender, Question, Result
from suite import DEVICES, questions
from timing import clock_of, copy_bandwidth

# torch.compile imports deprecated parts of torch.
_QUIET = pytest.mark.filterwarnings("ignore::DeprecationWarning:torch")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """One test for every question, number of threads and contender."""
    small = metafunc.config.getoption("benchmark_disable")
    cases = []
    for device in DEVICES:
        one_only = small or device == "cuda"
        for question in questions(device, small=small):
            for threads in [1] if one_only else sorted({1, os.cpu_count() or 1}):
                for name in question.contenders():
                    label = f"{device}-{question}-{threads}-{name}"
                    cases.append(pytest.param(question, threads, name, id=label, marks=_QUIET))
    metafunc.parametrize(("question", "num_threads", "name"), cases, indirect=["num_threads"])


@pytest.fixture
def num_threads(request: pytest.FixtureRequest) -> Iterator[int]:
    """The number of threads that torch and the kernels use."""
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


@cache
def _copy(device: str, num_threads: int) -> float:
    return copy_bandwidth(device)


def test_question(question: Question, num_threads: int, name: str, benchmark: Any) -> None:
    """Times a contender, records its speed and the machine, checks its last timed result."""
    reason = why_not(question.device)
    if reason is not None:
        pytest.skip(reason)
    question = question.fresh()
    torch.compiler.reset()  # the next question needs none of the compiled functions
    contender = question.contenders()[name]
    if isinstance(contender, str):
        pytest.skip(contender)
    benchmark.group = f"{question}, {_place(question, num_threads)}"
    result = benchmark.pedantic(
        _synchronised(question, contender),
        setup=contender.prepare,
        rounds=5 if contender.slow else 15,
        warmup_rounds=1 if contender.slow else 3,
    )
    error = question.check(name, result)
    del result
    if benchmark.stats is None:  # --benchmark-disable
        return
    copied = _copy(question.device, num_threads)
    speed = question.bytes_moved / _pace(benchmark, question, contender)
    known = facts()
    benchmark.extra_info |= {
        "bytes": question.bytes_moved,
        "GB/s": speed / 1e9,
        "GB/s of a copy": copied / 1e9,
        "share of a copy": speed / copied,
        "error": error,
        "peak bytes": clock_of(question.device).peak_bytes(contender),
        "threads": num_threads,
        "device": known["processor"] if question.device == "cpu" else known["gpu"]["name"],
        "torch": known["torch"],
        "python": known["python"],
        "atjt_ext": known["build"]["version"],
        "commit": known["commit"],
    }


def _place(question: Question, num_threads: int) -> str:
    return "cuda" if question.device == "cuda" else f"cpu, {num_threads} threads"


def _synchronised(question: Question, contender: Contender) -> Callable[[], Result]:
    if question.device == "cpu":
        return contender.run

    def run() -> Result:
        result = contender.run()
        torch.cuda.synchronize()
        return result

    return run


def _pace(benchmark: Any, question: Question, contender: Contender) -> float:
    """Seconds of a call on a CPU, or of the call's kernels on a GPU."""
    if question.device == "cpu":
        return float(benchmark.stats.stats.median)
    clock = clock_of(question.device)
    seconds = median(clock.measure(contender)[1] for _ in range(10))
    benchmark.extra_info["GPU ms"] = seconds * 1e3
    return seconds
