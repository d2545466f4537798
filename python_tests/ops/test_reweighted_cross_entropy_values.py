"""reweighted_cross_entropy: losses and gradients against the definition, in every dtype."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

import emulator
from atjt_ext.ops import Reduction
from atjt_ext.ops import reweighted_cross_entropy as cross_entropy
from helpers.operators import arithmetic, assert_all_close, assert_all_equal
from helpers.weighted_rows import (
    DTYPES,
    HALVES,
    REDUCTIONS,
    by_definition,
    example,
    example_with_marks,
    need_memory,
    ours,
    relative_error,
    rounded_once,
)

# 1; around a vector of 16 and a warp; around a block of 256 threads; around the summation block of
# 1024; 26745 is MovieLens-20M with padding.
CLASSES = [1, 2, 15, 16, 17, 31, 33, 255, 257, 1023, 1025, 26_745]
# On CUDA: the last rows of a warp, of 256 threads, the first of more, and rows of several tiles.
LONG = {
    torch.float64: [192, 193, 1536, 1537, 9_001],
    torch.float32: [896, 897, 7168, 7169, 60_001],
    torch.bfloat16: [1792, 1793, 14_336, 14_337, 120_001],
    torch.float16: [1792, 1793, 14_336, 14_337, 120_001],
}


@pytest.mark.parametrize("classes", CLASSES)
def test_float64_equals_the_reference(device: torch.device, classes: int) -> None:
    arguments = example(9, classes, device)
    for options in ({}, {"label_smoothing": 0.1}):
        got = ours(*arguments, **options)
        assert_all_close(got, by_definition(*arguments, **options), rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("label_smoothing", [0.0, 0.1, 1.0])
@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_every_reduction_equals_the_reference(
    device: torch.device, reduction: Reduction, label_smoothing: float
) -> None:
    options: Any = {"reduction": reduction, "label_smoothing": label_smoothing}
    arguments = example(9, 33, device)
    got = ours(*arguments, **options)
    assert_all_close(got, by_definition(*arguments, **options), rtol=1e-12, atol=1e-13)


def assert_within_the_error_budget(
    logits: Tensor, targets: Tensor, weight: Tensor, dtype: torch.dtype, **options: Any
) -> None:
    """The error against float64 on the rounded inputs is at most torch's, plus a few units in the
    last place of the result or, for a small difference, of the numbers around 1 in it."""
    weight = weight.to(arithmetic(dtype)).double()
    truth = by_definition(logits, targets, weight, reduction="sum", **options)
    rounded = (logits.to(dtype), targets, weight.to(arithmetic(dtype)))
    found = ours(*rounded, reduction="sum", **options)
    torchs = by_definition(*rounded, reduction="sum", **options)
    kept = torch.where(targets == -100, 0, weight)
    sizes = [kept.sum(), kept.norm(), kept.count_nonzero().sqrt()]
    for got, peer, wanted, size in zip(found, torchs, truth, sizes, strict=True):
        # AVX2 adds in four float64 lanes and eight float32 lanes, AVX-512 in twice as many.
        unit = 1.5e-13 if dtype == torch.float64 else 5e-7
        if got.dtype in HALVES:  # the same rounding errors, by chance a little larger or smaller
            unit += 0.02 * torch.finfo(dtype).eps
        tolerance = unit * max(float(wanted.norm()), float(size))
        # An overflow in torch, e.g. of float16 sums, excuses no error.
        torchs_error = (peer.double() - wanted).norm().nan_to_num(nan=0.0, posinf=0.0)
        assert float((got.double() - wanted).norm()) <= float(torchs_error) + tolerance
    assert rounded_once(found[1], truth[1], slack=1e-6 * float(weight.max()))


@pytest.mark.parametrize("scale", [0.0, 1.0, 10.0, 40.0])
@pytest.mark.parametrize("classes", [33, 26_745])
@pytest.mark.parametrize("dtype", DTYPES)
def test_it_errs_no_more_than_torch(
    device: torch.device, dtype: torch.dtype, classes: int, scale: float
) -> None:
    rows = 4 if emulator.runs_cuda_kernels(device) else 16
    for label_smoothing in (0.0, 0.1):
        assert_within_the_error_budget(
            *example(rows, classes, device, dtype=dtype, scale=scale),
            dtype,
            label_smoothing=label_smoothing,
        )


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", ["ties", "confident", "confidently wrong", "large offset"])
def test_it_errs_no_more_than_torch_on_special_rows(
    device: torch.device, dtype: torch.dtype, case: str
) -> None:
    logits, targets, weight = example(8, 600, device, dtype=dtype)
    rows, kept = torch.arange(8, device=device), targets.clamp(min=0)
    if case == "ties":
        logits = logits.clamp(-1, 1).round()
    elif case == "confident":
        logits[rows, kept] = 16.0
    elif case == "confidently wrong":
        logits[rows, kept] = -30.0
    else:
        logits = (logits + (256 if dtype in HALVES else 1e5)).to(dtype).double()
    assert_within_the_error_budget(logits, targets, weight, dtype, label_smoothing=0.05)
    assert_within_the_error_budget(logits, targets, weight, dtype)


def assert_every_element_counts(
    logits: Tensor,
    given: Tensor,
    targets: Tensor,
    weight: Tensor,
    label_smoothings: tuple[float, ...] = (0.0, 0.9),
) -> None:
    """Every gradient entry of `given` (logits in the tested dtype and place) has all its digits."""
    weight = weight.to(arithmetic(given.dtype))
    unit = 1e-12 if given.dtype == torch.float64 else 3e-6
    for label_smoothing in label_smoothings:
        options: Any = {"reduction": "none", "label_smoothing": label_smoothing}
        exact = by_definition(logits, targets, weight.double(), **options)
        loss, grad, _ = ours(given, targets, weight, **options)
        torch.testing.assert_close(loss.double(), exact[0], rtol=unit / 3, atol=0)
        # An entry is its probability minus this.
        spread = (weight.double() * (label_smoothing / logits.shape[1]))[:, None]
        assert rounded_once(grad, exact[1], slack=unit * (exact[1].abs() + spread))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("size", range(5))
def test_rows_of_any_length_are_read_whole(
    device: torch.device, dtype: torch.dtype, size: int
) -> None:
    logits, targets, weight = example_with_marks(3, LONG[dtype][size], device, dtype=dtype)
    assert_every_element_counts(logits, logits.to(dtype), targets, weight)


@pytest.mark.parametrize("dtype", HALVES)
def test_half_precision_is_computed_in_float32_and_rounded_once(
    device: torch.device, dtype: torch.dtype
) -> None:
    logits, targets, weight = example(16, 1000, device, dtype=dtype)
    weight = weight.float().double()
    exact = by_definition(logits, targets, weight)
    got = ours(logits.to(dtype), targets, weight.float())
    assert [tensor.dtype for tensor in got] == [torch.float32, dtype, torch.float32]
    assert relative_error(got[0], exact[0]) < 5e-7
    assert relative_error(got[2], exact[2]) < 5e-7
    assert rounded_once(got[1], exact[1], slack=1e-7 / 16)


@pytest.mark.parametrize("offset", range(1, 8))
@pytest.mark.parametrize("dtype", DTYPES)
def test_rows_may_begin_anywhere_in_memory(
    device: torch.device, dtype: torch.dtype, offset: int
) -> None:
    # 2 * 1601 + 7 elements: rows that begin at all distances from a multiple of 16 bytes.
    logits, targets, weight = example_with_marks(3, 1601, device, dtype=dtype)
    base = torch.full((logits.numel() + 8,), float("nan"), dtype=dtype, device=device)
    view = base[offset : offset + logits.numel()].view(logits.shape)
    view.copy_(logits)
    assert view.data_ptr() % 16 == offset * view.element_size() % 16
    assert_every_element_counts(logits, view, targets, weight, label_smoothings=(0.0,))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_three_million_classes_cost_no_digits(device: torch.device, dtype: torch.dtype) -> None:
    logits, targets, weight = example_with_marks(1, 3_000_017, device, dtype=dtype)
    assert_every_element_counts(logits, logits.to(dtype), targets, weight)
    # One high logit among equal logits: a plain sum would round in one direction every time.
    logits = torch.full_like(logits, -1.3).to(dtype).double()
    logits[0, 7] = 0.0
    assert_every_element_counts(logits, logits.to(dtype), targets, weight, (0.0,))


def more_than_two_to_the_31_logits(device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """float16 logits, targets (ignored except in first and last row), and the last row."""
    rows, classes = 1_100, 2_000_003
    assert rows * classes > 2**31
    if device.type == "cpu":  # pages of zeros take no memory until they are written
        zeros = torch.from_numpy(np.zeros((rows, classes), dtype=np.uint16))
    else:
        zeros = torch.zeros(rows, classes, dtype=torch.uint16, device=device)
    logits = zeros.view(torch.float16)
    targets = torch.full((rows,), -100, device=device)
    for row in (0, rows - 1):
        logits[row, :2] = torch.tensor([14.0, 15.0])
        targets[row] = 1
    return logits, targets, logits[-1].double()


def test_more_than_two_to_the_31_logits(device: torch.device) -> None:
    if device.type == "cuda":
        need_memory(device, 6, "4.4 GB of logits")
    logits, targets, row = more_than_two_to_the_31_logits(device)
    losses = cross_entropy(logits, targets, reduction="none")
    assert losses[1:-1].eq(0).all()
    for loss in (losses[0], losses[-1]):
        torch.testing.assert_close(
            loss.double(), F.cross_entropy(row, targets[0]), rtol=6e-6, atol=0
        )


def test_the_gradient_of_more_than_two_to_the_31_logits(device: torch.device) -> None:
    if emulator.runs_cuda_kernels(device) and device.type == "cpu":
        pytest.skip("the emulator would take minutes to write 4.4 GB")
    need_memory(device, 11, "4.4 GB of logits and their gradient")
    if device.type == "cpu":
        start = time.perf_counter()
        torch.ones(2**25, dtype=torch.float16)
        seconds = 64 * (time.perf_counter() - start)
        if seconds > 10:
            pytest.skip(f"4.4 GB of new memory within 10 s: this machine needs {seconds:.0f} s")
    logits, targets, row = more_than_two_to_the_31_logits(device)
    loss = cross_entropy(logits.requires_grad_(), targets, reduction="sum")
    (grad,) = torch.autograd.grad(loss, logits)
    wanted = F.softmax(row, dim=0)
    wanted[1] -= 1
    for got in (grad[0], grad[-1]):
        assert rounded_once(got, wanted, slack=3e-6 * wanted.abs())
    assert not grad[len(grad) // 2].any()
    assert not grad[-2].any()


def test_every_instruction_set_computes_the_same(isa: str) -> None:
    for dtype in DTYPES:
        arguments = example(9, 1503, torch.device("cpu"), dtype=dtype)
        assert_within_the_error_budget(*arguments, dtype, label_smoothing=0.1)


@pytest.mark.parametrize("label_smoothing", [0.0, 0.2])
@pytest.mark.parametrize("reduction", ["none", "sum", "mean"])
def test_without_weights_it_is_torchs_cross_entropy(
    device: torch.device, reduction: Any, label_smoothing: float
) -> None:
    logits, targets, _ = example(20, 30, device)
    options = {"reduction": reduction, "label_smoothing": label_smoothing}
    got = cross_entropy(logits, targets, **options)
    torch.testing.assert_close(got, F.cross_entropy(logits, targets, **options))


def test_weighted_mean_knows_only_relative_weights(device: torch.device) -> None:
    logits, targets, weight = example(12, 9, device)
    loss, _, grad_weight = ours(logits, targets, weight, reduction="weighted_mean")
    scaled = cross_entropy(logits, targets, 7 * weight, reduction="weighted_mean")
    torch.testing.assert_close(scaled, loss)
    torch.testing.assert_close((weight * grad_weight).sum(), torch.zeros_like(loss))


@pytest.mark.parametrize("label_smoothing", [0.0, 0.3])
@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_rows_of_the_gradient_sum_to_zero(
    device: torch.device, reduction: Reduction, label_smoothing: float
) -> None:
    options: Any = {"reduction": reduction, "label_smoothing": label_smoothing}
    grad = ours(*example(12, 999, device), **options)[1]
    assert float(grad.sum(dim=1).abs().max()) < 1e-14


def test_adding_a_number_to_a_row_changes_nothing(device: torch.device) -> None:
    logits, targets, weight = example(8, 300, device)
    moved = logits + torch.arange(-4, 4, device=device).double()[:, None] * 64
    for label_smoothing in (0.0, 0.1):
        options: Any = {"reduction": "none", "label_smoothing": label_smoothing}
        got = ours(moved, targets, weight, **options)
        assert_all_close(got, ours(logits, targets, weight, **options), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_repeated_call_gives_the_same_bits(device: torch.device, dtype: torch.dtype) -> None:
    logits, targets, weight = example(5, 2000, device, dtype=dtype)
    arguments = (logits.to(dtype), targets, weight.to(arithmetic(dtype)))
    first = ours(*arguments, label_smoothing=0.1)
    for _ in range(3):
        again = ours(*arguments, label_smoothing=0.1)
        assert_all_equal(again, first)


@pytest.mark.usefixtures("num_threads")
@pytest.mark.parametrize("dtype", DTYPES)
def test_the_number_of_threads_changes_nothing(dtype: torch.dtype) -> None:
    logits, targets, weight = example(48, 2001, torch.device("cpu"), dtype=dtype)
    arguments = (logits.to(dtype), targets, weight.to(arithmetic(dtype)))
    results = []
    for threads in (1, 2, 3):
        torch.set_num_threads(threads)
        results.append(ours(*arguments))
    for result in results[1:]:
        assert_all_equal(result, results[0])


@pytest.mark.parametrize("offset", [0.0, 1e3, 1e5])
@pytest.mark.parametrize("reduction", ["none", "sum"])
@pytest.mark.parametrize("label_smoothing", [0.0, 0.1])
def test_a_large_offset_of_the_logits_costs_nothing(
    device: torch.device, reduction: Reduction, offset: float, label_smoothing: float
) -> None:
    torch.manual_seed(0)
    logits = (3 * torch.randn(8, 100) + offset).to(device)
    targets = torch.randint(100, (8,), device=device)
    ones = torch.ones(8, device=device)
    options: Any = {"reduction": reduction, "label_smoothing": label_smoothing}
    got = ours(logits, targets, ones, **options)
    exact = by_definition(logits.double(), targets, ones, **options)
    torch.testing.assert_close(got[0].double(), exact[0], rtol=1e-6, atol=0)
    assert float((got[1] - exact[1]).abs().max()) < 1e-6
