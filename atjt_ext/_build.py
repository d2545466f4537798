"""What this installation was compiled with, and what it can run on."""

from __future__ import annotations

import sys
from typing import TypedDict

try:
    from atjt_ext import _C
except ImportError as error:
    raise ImportError(
        "atjt_ext has no compiled module for this Python "
        f"({sys.version_info.major}.{sys.version_info.minor}); build it with: pip install ."
    ) from error

version: str = _C.build_facts()["version"]


class BuildInfo(TypedDict):
    """The answer of :func:`build_info`."""

    version: str
    cuda_architectures: list[str] | None
    cuda_toolkit: str | None
    openmp: bool
    cpu_isas: list[str]
    cpu_isa: str
    gpu_usable: bool


def build_info() -> BuildInfo:
    """What the native module was compiled with, and what it finds on this machine.

    Asks the CUDA driver for the number of devices; creates no context on any of them.

    Returns:
        A dict of ``version``; ``cuda_architectures`` and ``cuda_toolkit``, both ``None`` in a
        build without CUDA kernels; ``openmp``; ``cpu_isas`` compiled in, and ``cpu_isa``, the one
        the CPU kernels run on; ``gpu_usable``: CUDA kernels are compiled in and the driver
        reports a device.
    """
    facts = _C.build_facts()
    architectures = facts["cuda_architectures"]
    return {
        "version": facts["version"],
        "cuda_architectures": None if architectures is None else architectures.split(","),
        "cuda_toolkit": facts["cuda_toolkit"],
        "openmp": facts["openmp"],
        "cpu_isas": facts["cpu_isas"],
        "cpu_isa": _C.cpu_isa(),
        "gpu_usable": _C.cuda_device_count() > 0,
    }
