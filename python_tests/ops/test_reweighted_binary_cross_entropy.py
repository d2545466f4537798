"""reweighted_binary_cross_entropy: values and gradients."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

import emulator
from atjt_ext.ops import Reduction
from atjt_ext.ops import reweighted_binary_cross_entropy as binary_loss
from helpers.operators import arithmetic, assert_all_close
from helpers.weighted_rows import (
    BINARY_SHAPES,
    DTYPES,
    HALVES,
    REDUCTIONS,
    binary_by_definition,
    binary_example,
    binary_ours,
    need_memory,
    relative_error,
    rounded_once,
)


@pytest.mark.parametrize("soft", [False, True])
@pytest.mark.parametrize("shape", BINARY_SHAPES)
@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_float64_equals_the_reference(
    device: torch.device, reduction: Reduction, shape: tuple[int, ...], soft: bool
) -> None:
    for label_smoothing in (0.0, 0.1):
        options: Any = {"reduction": reduction, "label_smoothing": label_smoothing}
        arguments = binary_example(shape, device, soft=soft)
        got = binary_ours(*arguments, **options)
        wanted = binary_by_definition(*arguments, **options)
        assert got[0].shape == wanted[0].shape
        assert_all_close(got, wanted, rtol=1e-12, atol=1e-14)


def assert_within_the_error_budget(
    logits: Tensor, targets: Tensor, weight: Tensor, dtype: torch.dtype, **options: Any
) -> None:
    """Against float64 on the rounded inputs: all digits are right, even where torch's are not."""
    truth = binary_by_definition(logits, targets, weight, **options)
    rounded = (logits.to(dtype), targets, weight.to(arithmetic(dtype)))
    ours = binary_ours(*rounded, **options)
    torchs = binary_by_definition(*rounded, **options)
    unit = 1e-14 if dtype == torch.float64 else 5e-7
    for got, peer, wanted in zip(ours, torchs, truth, strict=True):
        allowed = unit + (0.02 * torch.finfo(dtype).eps if got.dtype in HALVES else 0)
        torchs_error = relative_error(peer, wanted)
        # An overflow in torch excuses no error.
        excused = torchs_error if math.isfinite(torchs_error) else 0.0
        assert relative_error(got, wanted) <= excused + allowed
    assert relative_error(ours[0], truth[0]) <= unit
    assert relative_error(ours[2], truth[2]) <= unit
    assert rounded_once(ours[1], truth[1], slack=unit * float(truth[1].abs().max()))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("scale", [0.0, 1.0, 10.0, 40.0])
def test_it_errs_no_more_than_torch(device: torch.device, scale: float, dtype: torch.dtype) -> None:
    for label_smoothing in (0.0, 0.1):
        assert_within_the_error_budget(
            *binary_example((300, 7), device, dtype=dtype, scale=scale),
            dtype,
            reduction="sum",
            label_smoothing=label_smoothing,
        )


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("magnitude", [1e-3, 1.0, 8.0, 14.0])
def test_each_loss_and_gradient_keeps_its_digits(
    device: torch.device, magnitude: float, dtype: torch.dtype
) -> None:
    # Confidently right, where p - y would cancel to nothing, and confidently wrong.
    logits = torch.tensor([magnitude, -magnitude] * 2, device=device).to(dtype)
    targets = torch.tensor([True, False, False, True], device=device)
    ones = torch.ones(4, device=device, dtype=arithmetic(dtype))
    loss, grad, _ = binary_ours(logits, targets, ones, reduction="none")
    signed = torch.where(targets, -logits, logits).double()  # softplus of it is the loss
    unit = 2e-15 if dtype == torch.float64 else 6e-7
    torch.testing.assert_close(loss.double(), torch.log1p(signed.exp()), rtol=unit, atol=0)
    wanted = torch.where(targets, -1.0, 1.0) * signed.sigmoid()
    for got, exact in zip(grad, wanted, strict=True):  # each to its own digits
        assert rounded_once(got, exact, slack=unit * float(exact.abs()))


@pytest.mark.parametrize("dtype", HALVES)
@pytest.mark.parametrize("soft", [False, True])
def test_half_precision_is_computed_in_float32_and_rounded_once(
    device: torch.device, dtype: torch.dtype, soft: bool
) -> None:
    logits, targets, weight = binary_example((50, 21), device, dtype=dtype, soft=soft)
    exact = binary_by_definition(logits, targets.double(), weight)
    got = binary_ours(logits.to(dtype), targets, weight.float())
    assert [tensor.dtype for tensor in got] == [torch.float32, dtype, torch.float32]
    assert relative_error(got[0], exact[0]) < 5e-7
    assert relative_error(got[2], exact[2]) < 5e-7
    assert rounded_once(got[1], exact[1], slack=1e-10)


def test_more_than_two_to_the_31_logits(device: torch.device) -> None:
    on_cpu = device.type == "cpu"
    if on_cpu and emulator.runs_cuda_kernels(device):
        pytest.skip("the emulator would take minutes: no row may be ignored")
    if not on_cpu:
        need_memory(device, 12, "4.4 GB of logits, as much of a gradient and 2.2 GB of targets")
    rows, classes = 22_000, 100_003
    assert rows * classes > 2**31
    # On the CPU, pages of zeros take no memory until they are written. A gradient would write them.
    logits = torch.from_numpy(np.zeros((rows, classes), dtype=np.uint16)) if on_cpu else (
        torch.zeros(rows, classes, dtype=torch.uint16, device=device)
    )  # fmt: skip
    targets = torch.from_numpy(np.zeros((rows, classes), dtype=bool)) if on_cpu else (
        torch.zeros(rows, classes, dtype=torch.bool, device=device)
    )  # fmt: skip
    logits = logits.view(torch.bfloat16)
    logits[-1, -2:] = torch.tensor([10.0, -20.0])
    targets[-1, -1] = True
    wanted = torch.full((rows,), classes * math.log(2), device=device)
    wanted[-1] += 30 - 2 * math.log(2)
    ones, ops = torch.ones(rows, device=device), torch.ops.atjt_ext
    if on_cpu:
        losses = ops._reweighted_binary_cross_entropy(logits, targets, 0.0)
    else:
        losses, grad = ops._reweighted_binary_cross_entropy_with_gradient(
            logits, targets, ones, 0.0
        )
        assert grad[:-1].aminmax() == (0.5, 0.5)
        assert grad[-1, -3:].tolist() == [0.5, 1.0, -1.0]
    # With AVX2 each of eight float32 lanes adds 12,500 equal losses; a lost logit would be 1e-5.
    torch.testing.assert_close(losses, wanted, rtol=2e-6, atol=0)


def test_every_instruction_set_computes_the_same(isa: str) -> None:
    for dtype in DTYPES:
        arguments = binary_example((101, 13), torch.device("cpu"), dtype=dtype, soft=True)
        assert_within_the_error_budget(*arguments, dtype, reduction="sum")


@pytest.mark.parametrize("reduction", ["none", "sum", "mean"])
def test_without_weights_it_is_torchs(device: torch.device, reduction: Any) -> None:
    logits, targets, _ = binary_example((20, 30), device, soft=True)
    got = binary_loss(logits, targets, reduction=reduction)
    wanted = F.binary_cross_entropy_with_logits(logits, targets.double(), reduction=reduction)
    torch.testing.assert_close(got, wanted)


@pytest.mark.parametrize("shape", [(30,), (30, 2), (30, 50)])
def test_a_column_of_two_is_the_softmax_of_two_classes(
    device: torch.device, shape: tuple[int, ...]
) -> None:
    logits, targets, _ = binary_example(shape, device)
    pairs = torch.stack([torch.zeros_like(logits), logits], dim=-1).flatten(0, -2)
    wanted = F.cross_entropy(pairs, targets.long().flatten())
    torch.testing.assert_close(binary_loss(logits, targets), wanted)


def test_the_other_side_of_a_question_has_the_same_loss(device: torch.device) -> None:
    logits, targets, weight = binary_example((40, 3), device, soft=True)
    got = binary_ours(logits, targets, weight)
    other = binary_ours(-logits, 1 - targets, weight)
    torch.testing.assert_close(other[0], got[0])
    torch.testing.assert_close(other[1], -got[1], rtol=1e-6, atol=1e-9)
