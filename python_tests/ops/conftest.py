"""Fixtures for the tests of operations."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from atjt_ext import _C, build_info


@pytest.fixture(params=build_info()["cpu_isas"])
def isa(request: pytest.FixtureRequest) -> Iterator[str]:
    """The CPU kernels use each instruction set in turn; skips those that the processor lacks."""
    try:
        _C.use_cpu_isa(request.param)
    except ValueError:
        pytest.skip(f"this processor lacks {request.param}")
    yield request.param
    _C.use_cpu_isa("auto")
