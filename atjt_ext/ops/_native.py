"""The compiled module ``_C``, its version and its build options."""

from __future__ import annotations

import sys
from importlib import import_module, metadata
from importlib.machinery import PathFinder
from importlib.util import module_from_spec
from types import ModuleType
from typing import TypedDict


def _native_module() -> ModuleType:
    """``atjt_ext._C`` from this package or, in a checkout, from the installed package.

    In a checkout Python imports these sources rather than the installed ones, but
    ``pip install .`` compiles the module into the installed package only.
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
    """Result of :func:`build_info`."""

    version: str
    cuda_architectures: list[str] | None
    cuda_toolkit: str | None
    openmp: bool
    cpu_isas: list[str]
    cpu_isa: str
    gpu_usable: bool


def build_info() -> BuildInfo:
    """Build options of the native module, and the hardware that it can use.

    Asks the CUDA driver for the number of devices, but creates no context on a device.

    Returns:
        * ``version``: of the package
        * ``cuda_architectures``, ``cuda_toolkit``: ``None`` in a build without CUDA kernels
        * ``openmp``: whether CPU kernels use several threads
        * ``cpu_isas``: instruction sets compiled in; ``cpu_isa``: the set that kernels run on
        * ``gpu_usable``: CUDA kernels are compiled in and the driver reports a device
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
