"""The CUDA kernels on the host, for tests without a GPU. See README.md."""

from __future__ import annotations

import ctypes
import functools
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.machinery import ExtensionFileLoader
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import pytest
import torch

from emulator.build import build_module

ORDERS = ("ascending", "descending", "lockstep", "random")
"""Orders in which threads are resumed; runtime/device.h defines them."""

SANITIZE = bool(os.environ.get("ATJT_SANITIZE"))
"""Compile with AddressSanitizer and UBSan; Python must be started with their libraries."""


@functools.cache
def _build() -> Path | Exception:
    """A failed build is tried once, not for every test."""
    try:
        return build_module(sanitize=SANITIZE)
    except (RuntimeError, OSError) as error:
        return error


@functools.cache
def module() -> ModuleType:
    """The emulated ``_C``: CPU tensors go to the CUDA kernels."""
    path = _build()
    if isinstance(path, Exception):
        raise RuntimeError(f"the emulator does not compile: {path}")
    loader = ExtensionFileLoader("emulated._C", str(path))
    spec = spec_from_file_location("emulated._C", path, loader=loader)
    assert spec is not None
    emulated = module_from_spec(spec)
    loader.exec_module(emulated)
    return emulated


@functools.cache
def _controls() -> ctypes.CDLL:
    library = ctypes.CDLL(module().__file__)
    library.emulator_set_order.argtypes = [ctypes.c_int, ctypes.c_uint64]
    library.emulator_launches.restype = ctypes.c_uint64
    return library


def set_order(order: str | None = None, seed: int = 0) -> None:
    """Resume threads in one of ORDERS; ``None``: the order changes with each block and launch."""
    _controls().emulator_set_order(-1 if order is None else ORDERS.index(order), seed)


def set_multiprocessors(count: int) -> None:
    """The number of multiprocessors that the device reports."""
    _controls().emulator_set_multiprocessors(count)


def launches() -> int:
    """The number of kernels launched since the order was set."""
    return int(_controls().emulator_launches())


_active = False


def _use(patch: pytest.MonkeyPatch, *, cuda: bool) -> None:
    emulated = module()
    _controls().emulator_enable(cuda)
    set_order()
    set_multiprocessors(4)
    for name, part in list(sys.modules.items()):
        if name.startswith("atjt_ext.ops.") and hasattr(part, "_C"):
            patch.setattr(part, "_C", emulated)


@contextmanager
def emulated_cuda() -> Iterator[None]:
    """In this context the ops run the CUDA kernels on CPU tensors."""
    global _active
    with pytest.MonkeyPatch.context() as patch:
        _use(patch, cuda=True)
        _active = True
        try:
            yield
        finally:
            _active = False


@contextmanager
def sanitized_cpu() -> Iterator[None]:
    """In this context the ops run the emulated module's CPU kernels, built with sanitizers."""
    with pytest.MonkeyPatch.context() as patch:
        _use(patch, cuda=False)
        yield


def runs_cuda_kernels(device: torch.device) -> bool:
    """Whether the ops run CUDA kernels on tensors of this device: on a GPU, or emulated."""
    return device.type == "cuda" or _active
