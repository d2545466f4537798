"""What every benchmark shares: the number of threads, and what a run is recorded with."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch


@pytest.fixture(params=[1, 2], ids=["1 thread", "2 threads"])
def threads(request: pytest.FixtureRequest) -> Iterator[int]:
    """The number of threads torch and the kernels use."""
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


@pytest.fixture
def record(benchmark: Any, threads: int) -> Any:
    """Notes bytes moved, GB/s, threads and versions beside the timing."""

    def note(bytes_moved: int) -> None:
        benchmark.extra_info |= {"bytes": bytes_moved, "threads": threads}
        benchmark.extra_info["torch"] = torch.__version__
        if benchmark.stats is not None:  # None with --benchmark-disable
            benchmark.extra_info["GB/s"] = bytes_moved / benchmark.stats.stats.median / 1e9

    return note
