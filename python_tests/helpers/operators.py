"""Tools for the tests of every operation: comparing, compiling, recording operators."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

import emulator

# torch.compile imports parts of torch that torch has deprecated, and onnxscript with an old torch.
COMPILES = pytest.mark.filterwarnings(
    "ignore::DeprecationWarning:torch", "ignore:'onnxscript:FutureWarning"
)


def arithmetic(dtype: torch.dtype) -> torch.dtype:
    """The dtype that kernels compute in."""
    return torch.float64 if dtype == torch.float64 else torch.float32


def skip_without_kernel(device: torch.device, dtype: torch.dtype, width: int = 1) -> None:
    """CUDA kernels over a catalogue take neither float64 nor more than 256 columns."""
    if emulator.runs_cuda_kernels(device) and (dtype == torch.float64 or width > 256):
        pytest.skip("no CUDA kernel for this dtype or width")


def assert_all_close(got: Iterable[Tensor], wanted: Iterable[Tensor], **options: Any) -> None:
    for a, b in zip(got, wanted, strict=True):
        torch.testing.assert_close(a, b, **options)


def assert_all_equal(got: Iterable[Tensor], wanted: Iterable[Tensor]) -> None:
    for a, b in zip(got, wanted, strict=True):
        assert torch.equal(a, b)


def compiled(function: Callable[..., Any], backend: Any = "aot_eager", **options: Any) -> Any:
    """The function without a graph break."""
    torch._dynamo.reset()  # torch gives up on a function that it compiled too often
    return torch.compile(function, fullgraph=True, backend=backend, **options)


@contextmanager
def no_waiting() -> Iterator[None]:
    """Within, a host that waits for the GPU raises."""
    before = torch.cuda.get_sync_debug_mode()
    torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode(before)


class Operators(TorchDispatchMode):
    """Records the operators that run, with shapes and dtypes of their results."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []
        self.shapes: list[list[tuple[int, ...]]] = []
        self.dtypes: list[list[torch.dtype]] = []

    @property
    def elements(self) -> int:
        """Size of the largest result."""
        return max(math.prod(shape) for shapes in self.shapes for shape in shapes)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        leaves = torch.utils._pytree.tree_leaves(result)
        tensors = [leaf for leaf in leaves if isinstance(leaf, Tensor)]
        self.names.append(func.name())
        self.shapes.append([tuple(tensor.shape) for tensor in tensors])
        self.dtypes.append([tensor.dtype for tensor in tensors])
        return result
