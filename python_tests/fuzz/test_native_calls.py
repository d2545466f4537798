"""Calls of every function of ``_C`` with bad numbers, sizes, strides and memory: none may crash.

A call returns, or raises one of the errors that a caller can expect. It writes its outputs and
nothing else. ``make sanitize`` runs the same calls under AddressSanitizer and UBSan.
"""

from __future__ import annotations

import math
import os
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import emulator
from atjt_ext import _C
from atjt_ext.ops import _row_losses
from helpers.native_calls import MAKERS, Call, Generator, right_call

LONG = os.environ.get("HYPOTHESIS_PROFILE") == "long"
CALLS = 400 if LONG else 30
"""For each function and device; there are twenty functions."""

REFUSALS = (ValueError, TypeError, OverflowError, BufferError, IndexError)

INTEGERS = [-(2**63), -(2**40), -100, -1, 0, 1, 2, 3, 127, 2**31 - 1, 2**31, 2**32, 2**40, 2**62]
INTEGERS += [2**63 - 1, 2**63, 2**64, 10**30]
NUMBERS = [
    math.nan,
    math.inf,
    -math.inf,
    -1e-300,
    5e-324,
    0.0,
    0.5,
    1.0,
    1 + 1e-9,
    3.0,
    -2.0,
    1e308,
]
DTYPES = [torch.int32, torch.int64, torch.float32, torch.float64, torch.float16, torch.bfloat16]
DTYPES += [torch.bool, torch.uint8, torch.int8, torch.complex64]
THINGS = [None, 3, 2.5, "text", [1, 2], object(), torch.zeros(2, device="meta"), np.zeros(2, "O")]


def pick(rng: Generator, options: Any) -> Any:
    return options[rng.integers(len(options))]


# ---- tensors ------------------------------------------------------------------------------------


def other_size(rng: Generator, tensor: Tensor) -> Tensor:
    shape = list(tensor.shape) or [1]
    shape[rng.integers(len(shape))] = pick(rng, [0, 1, 2, 5, 129])
    return tensor.new_zeros(shape)


def endless(rng: Generator, tensor: Tensor) -> Tensor:
    """Sizes without memory behind them: no elements, or one element that is repeated."""
    many = pick(rng, [2**31, 2**40, 2**62])
    shape = [many, 0] if tensor.dim() == 2 else [many]
    if rng.random() < 0.5:
        shape = shape[::-1]
    return tensor.new_zeros([min(n, 1) for n in shape]).expand(shape)


def other_values(rng: Generator, tensor: Tensor) -> Tensor:
    """Some of the values, or all, are bad ones."""
    if tensor.dtype.is_floating_point:
        bad = torch.tensor(pick(rng, NUMBERS), dtype=tensor.dtype)
    elif tensor.dtype == torch.bool:
        return torch.from_numpy(np.full([*tensor.shape, 1], 255, np.uint8).view(np.bool_))[..., 0]
    else:
        limits = torch.iinfo(tensor.dtype)
        fitting = [n for n in INTEGERS if limits.min <= n <= limits.max]
        bad = torch.tensor(pick(rng, fitting), dtype=tensor.dtype)
    at = torch.from_numpy(np.asarray(rng.random(tensor.shape) < pick(rng, [0.2, 1.0])))
    return torch.where(at, bad, tensor)


def other_layout(rng: Generator, tensor: Tensor) -> Any:
    kind = rng.integers(6)
    if kind == 0:
        return tensor.transpose(0, -1) if tensor.dim() else tensor[None]
    if kind == 1:
        return tensor.repeat_interleave(2, -1)[..., ::2] if tensor.dim() else tensor
    if tensor.dtype == torch.bfloat16:
        return tensor.flatten()
    array = tensor.numpy()
    if kind == 2:
        return array[::-1] if array.ndim else array
    if kind == 3:
        return array.astype(array.dtype.newbyteorder())
    if kind == 4:  # not aligned
        raw = np.zeros(array.nbytes + 1, np.uint8)[1:]
        return raw.view(array.dtype).reshape(array.shape)
    array = array.copy()
    array.flags.writeable = False
    return array


def changed(rng: Generator, value: Any, others: list[Tensor]) -> Any:
    """Something else in place of an argument."""
    if rng.random() < 0.05:
        return pick(rng, THINGS)
    if isinstance(value, list):
        kept = value[: rng.integers(len(value) + 1)]
        return [changed(rng, one, others) for one in kept] + kept * int(rng.integers(3))
    if isinstance(value, bool | str):
        return pick(rng, THINGS)
    if isinstance(value, int):
        return pick(rng, INTEGERS)
    if isinstance(value, float):
        return pick(rng, NUMBERS)
    if not isinstance(value, Tensor):  # None
        return pick(rng, [*others, 0, 0.5, torch.zeros(())])
    kind = rng.integers(7)
    if kind == 0:
        return value.to(pick(rng, DTYPES))
    if kind == 1:
        return endless(rng, value)
    if kind == 2:
        return other_layout(rng, value)
    if kind == 3:  # memory of another argument
        memory = pick(rng, others)
        size = value.numel() * value.element_size()
        if memory.dim() == 0 or memory.numel() * memory.element_size() < size or not size:
            return memory
        flat = memory.reshape(-1).view(torch.uint8)[:size].view(value.dtype)
        return flat.reshape(value.shape)
    return other_size(rng, value) if kind == 4 else other_values(rng, value)


# ---- calls --------------------------------------------------------------------------------------


def tensors_of(arguments: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, value in arguments.items():
        for one in value if isinstance(value, list) else [value]:
            if isinstance(one, Tensor | np.ndarray):
                yield name, one


def bytes_of(tensor: Any) -> bytes | None:
    """The contents; None without memory to compare."""
    if isinstance(tensor, np.ndarray):
        return tensor.tobytes() if tensor.dtype != object else None
    if tensor.device.type == "meta" or not 0 < tensor.numel() <= 1 << 22:
        return None
    copy = torch.empty(tensor.numel(), dtype=tensor.dtype).copy_(tensor.detach().flatten())
    return copy.view(torch.uint8).numpy().tobytes()


def bad_call(function: str, seed: int) -> Call:
    rng = np.random.default_rng([zlib.crc32(function.encode()), seed])
    call = right_call(function, rng)
    tensors = [one for _, one in tensors_of(call.arguments)] or [torch.zeros(2)]
    for name in rng.permutation(list(call.arguments))[: rng.choice([0, 1, 1, 1, 2, 3])]:
        call.arguments[str(name)] = changed(rng, call.arguments[str(name)], tensors)
    return call


def in_place(call: Call) -> bool:
    """The one overlap that is allowed: the gradient is written over the logits."""
    logits, gradient = (call.arguments.get(name) for name in ("logits", "grad_logits"))
    both = isinstance(logits, Tensor) and isinstance(gradient, Tensor)
    return both and (logits.data_ptr(), logits.shape) == (gradient.data_ptr(), gradient.shape)


def check(native: Any, call: Call) -> bool:
    """Whether the call was accepted. Nothing but its outputs may have changed."""
    inputs = [
        (name, one)
        for name, one in tensors_of(call.arguments)
        if name not in call.outputs and not (name == "logits" and in_place(call))
    ]
    before = [bytes_of(one) for _, one in inputs]
    try:
        getattr(native, call.function)(**call.arguments)
        accepted = True
    except REFUSALS:
        accepted = False
    for (name, one), was in zip(inputs, before, strict=True):
        assert bytes_of(one) == was, f"{call.function} has written to {name}"
    return accepted


def test_every_function_has_calls() -> None:
    functions = {name for name, one in vars(_C).items() if callable(one) and name[:2] != "__"}
    assert set(MAKERS) == functions


@pytest.mark.parametrize("function", MAKERS)
def test_no_call_crashes(device: torch.device, function: str, tmp_path: Path) -> None:
    native = _row_losses._C  # the module that `device` chose
    accepted = 0
    for seed in range(CALLS):
        call = bad_call(function, seed)
        (tmp_path / "last call").write_text(f"bad_call({function!r}, {seed})\n{call.arguments}")
        accepted += check(native, call)
    if emulator.runs_cuda_kernels(device):
        return  # some dtypes and widths have no CUDA kernel
    assert accepted > 0
    assert accepted < CALLS or not bad_call(function, 0).arguments


@pytest.mark.parametrize("function", MAKERS)
def test_a_right_call_is_accepted(device: torch.device, function: str) -> None:
    native = _row_losses._C
    for seed in range(CALLS // 10):
        call = right_call(function, np.random.default_rng(seed))
        without_kernel = emulator.runs_cuda_kernels(device) and any(
            one.dtype == torch.float64 for _, one in tensors_of(call.arguments)
        )
        assert check(native, call) or without_kernel, f"{function}, seed {seed}: refused"
