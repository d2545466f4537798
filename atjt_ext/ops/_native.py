"""What this installation was compiled with, and what it can run on."""

from __future__ import annotations

import sys
from importlib import import_module, metadata
from importlib.machinery import PathFinder
from importlib.util import module_from_spec
from types import ModuleType
from typing import TypedDict


def _native_module() -> ModuleType:
    """The compiled module beside this file or, in a checkout, that of the installed package.

    In a checkout Python finds these sources before the installed ones, but ``pip install .`` puts
    the compiled module beside the latter only.
    """
    name = "atjt_ext._C"
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        try:
            installed = metadata.distribution("atjt_ext").locate_file("atjt_ext")
        except metadata.PackageNotFoundError:
            installed = None
        spec = None if installed is None else PathFinder.find_spec(name, [str(installed)])
        if spec is None or spec.loader is None:
            raise ImportError(
                "atjt_ext has no compiled module for this Python "
                f"({sys.version_info.major}.{sys.version_info.minor}); build it with: pip install ."
            ) from error
        module = module_from_spec(spec)
        sys.modules[name] = module
        spec.loader.exec_module(module)
        sys.modules["atjt_ext"]._C = module  # type: ignore[attr-defined]  # as an import would
        return module


_C = _native_module()

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
