"""The C++ functions under the kernels that no op exposes, compiled for their tests."""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from helpers.compile_cpp import CSRC, FLAGS, Object, headers_of_csrc, link

_C_NAMES = {
    torch.float32: "float",
    torch.float64: "double",
    torch.float16: "Float16",
    torch.bfloat16: "BFloat16",
}


@functools.cache
def _library() -> ctypes.CDLL:
    source = Path(__file__).with_suffix(".cpp")
    parts = Object(source, [*FLAGS, "-O3", f"-I{CSRC}"], headers_of_csrc())
    return ctypes.CDLL(str(link([parts], "native_parts.so", ["-shared"])))


def _map(function: str, x: Tensor, result: Tensor) -> Tensor:
    assert x.is_contiguous()
    addresses = (ctypes.c_void_p(tensor.data_ptr()) for tensor in (x, result))
    getattr(_library(), function)(*addresses, ctypes.c_int64(x.numel()))
    return result


def elementary(name: str, x: Tensor) -> Tensor:
    """A function of exp.h or log1p.h, element by element, of float32 or float64."""
    return _map(f"{name}_{_C_NAMES[x.dtype]}", x, torch.empty_like(x))


def widen(x: Tensor) -> Tensor:
    """Half precision as float32, by half.h."""
    return _map(f"widen_{_C_NAMES[x.dtype]}", x, torch.empty(x.shape))


def narrow(x: Tensor, dtype: torch.dtype) -> Tensor:
    """float32 in half precision, by half.h."""
    return _map(f"narrow_{_C_NAMES[dtype]}", x, torch.empty(x.shape, dtype=dtype))


def combine_softmax_parts(a: tuple[float, float], b: tuple[float, float]) -> tuple[float, float]:
    """(maximum, sum) of two parts of a row as one."""
    whole = (ctypes.c_double * 2)()
    _library().combine_softmax_parts((ctypes.c_double * 4)(*a, *b), whole)
    return whole[0], whole[1]


def philox4x32_10(counter: Sequence[int], key: Sequence[int]) -> list[int]:
    """Four random words."""
    words = (ctypes.c_uint32 * 4)()
    _library().philox((ctypes.c_uint32 * 4)(*counter), (ctypes.c_uint32 * 2)(*key), words)
    return list(words)


class _Cutoff(ctypes.Structure):
    _fields_ = (("key", ctypes.c_uint32), ("ties", ctypes.c_int64))


def find_cutoff(keys: Sequence[int], k: int) -> tuple[int, int]:
    """(key, ties): the k smallest keys are those below key and the first ``ties`` equal to it."""
    found = _Cutoff()
    values = (ctypes.c_uint32 * len(keys))(*keys)
    _library().cutoff(values, ctypes.c_int64(len(keys)), ctypes.c_int64(k), ctypes.byref(found))
    return found.key, found.ties
