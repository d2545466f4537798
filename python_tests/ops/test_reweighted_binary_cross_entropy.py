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
from atjt_ext import _C, build_info
from atjt_ext.ops import Reduction, reference, reweighted_binary_cross_entropy
from helpers.binary_rows import SHAPES, example, single
from helpers.weighted_rows import (
    DTYPES,
    HALVES,
    REDUCTIONS,
    gradients,
    need_memory,
    relative_error,
    rounded_once,
)


@pytest.mark.parametrize("soft", [False, True])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_float64_equals_the_reference(
    device: torch.device, reduction: Reduction, shape: tuple[int, ...], soft: bool
) -> None:
    for label_smoothing in (0.0, 0.1):
        options: Any = {"reduction": reduction, "label_smoothing": label_smoothing}
        arguments = example(shape, device, soft=soft)
        got = gradients(reweighted_binary_cross_entropy, *arguments, **options)
        wanted = gradients(reference.reweighted_binary_cross_entropy, *arguments, **options)
        assert got[0].shape == wanted[0].shape
        for a, b in zip(got, wanted, strict=True):
            torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-14)


def assert_within_the_error_budget(
    logits: Tensor, targets: Tensor, weight: Tensor, dtype: torch.dtype, **options: Any
) -> None:
    """Against float64 on the rounded inputs: right to the last digits, whatever torch does."""
    truth = gradients(reference.reweighted_binary_cross_entropy, logits, targets, weight, **options)
    rounded = (logits.to(dtype), targets, weight.to(single(dtype)))
    ours = gradients(reweighted_binary_cross_entropy, *rounded, **options)
    torchs = gradients(reference.reweighted_binary_cross_entropy, *rounded, **options)
    unit = 1e-14 if dtype == torch.float64 else 5e-7
    for got, peer, wanted in zip(ours, torchs, truth, strict=True):
        allowed = unit + (0.02 * torch.finfo(dtype).eps if got.dtype in HALVES else 0)
        torchs_error = relative_error(peer, wanted)
        # Where torch overflows, that excuses nothing.
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
            *example((300, 7), device, dtype=dtype, scale=scale),
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
    ones = torch.ones(4, device=device, dtype=single(dtype))
    loss, grad, _ = gradients(
        reweighted_binary_cross_entropy, logits, targets, ones, reduction="none"
    )
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
    logits, targets, weight = example((50, 21), device, dtype=dtype, soft=soft)
    exact = gradients(reference.reweighted_binary_cross_entropy, logits, targets.double(), weight)
    got = gradients(reweighted_binary_cross_entropy, logits.to(dtype), targets, weight.float())
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
    # On the CPU pages of zeros that nobody writes to take no memory. Those of a gradient would.
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
    torch.testing.assert_close(losses, wanted, rtol=1e-6, atol=0)


@pytest.mark.parametrize("isa", build_info()["cpu_isas"])
def test_every_instruction_set_computes_the_same(isa: str) -> None:
    try:
        _C.use_cpu_isa(isa)
    except ValueError:
        pytest.skip(f"this processor lacks {isa}")
    try:
        for dtype in DTYPES:
            arguments = example((101, 13), torch.device("cpu"), dtype=dtype, soft=True)
            assert_within_the_error_budget(*arguments, dtype, reduction="sum")
    finally:
        _C.use_cpu_isa("auto")


@pytest.mark.parametrize("reduction", ["none", "sum", "mean"])
def test_without_weights_it_is_torchs(device: torch.device, reduction: Any) -> None:
    logits, targets, _ = example((20, 30), device, soft=True)
    got = reweighted_binary_cross_entropy(logits, targets, reduction=reduction)
    wanted = F.binary_cross_entropy_with_logits(logits, targets.double(), reduction=reduction)
    torch.testing.assert_close(got, wanted)


@pytest.mark.parametrize("shape", [(30,), (30, 2), (30, 50)])
def test_a_column_of_two_is_the_softmax_of_two_classes(
    device: torch.device, shape: tuple[int, ...]
) -> None:
    logits, targets, _ = example(shape, device)
    pairs = torch.stack([torch.zeros_like(logits), logits], dim=-1).flatten(0, -2)
    wanted = F.cross_entropy(pairs, targets.long().flatten())
    torch.testing.assert_close(reweighted_binary_cross_entropy(logits, targets), wanted)


@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_no_weights_are_weights_of_one_to_the_bit(
    device: torch.device, reduction: Reduction
) -> None:
    logits, targets, weight = example((20, 3), device)
    assert torch.equal(
        reweighted_binary_cross_entropy(logits, targets, reduction=reduction),
        reweighted_binary_cross_entropy(
            logits, targets, torch.ones_like(weight), reduction=reduction
        ),
    )


@pytest.mark.parametrize("classes", [1, 3, 40])
def test_an_integer_weight_is_a_repeated_row(device: torch.device, classes: int) -> None:
    logits, targets, _ = example((12, classes), device)
    weight = torch.arange(12, device=device) % 4  # 0: the row is dropped
    got = gradients(
        reweighted_binary_cross_entropy, logits, targets, weight.double(),
        reduction="weighted_mean",
    )  # fmt: skip
    rows = torch.arange(12, device=device).repeat_interleave(weight)
    repeated = logits[rows].requires_grad_()
    wanted = reweighted_binary_cross_entropy(repeated, targets[rows])
    torch.testing.assert_close(got[0], wanted.detach())
    (grads,) = torch.autograd.grad(wanted, repeated)
    torch.testing.assert_close(got[1], torch.zeros_like(logits).index_add_(0, rows, grads))
    torch.testing.assert_close((weight * got[2]).sum(), torch.zeros_like(got[0]))


def test_the_other_side_of_a_question_has_the_same_loss(device: torch.device) -> None:
    logits, targets, weight = example((40, 3), device, soft=True)
    got = gradients(reweighted_binary_cross_entropy, logits, targets, weight)
    other = gradients(reweighted_binary_cross_entropy, -logits, 1 - targets, weight)
    torch.testing.assert_close(other[0], got[0])
    torch.testing.assert_close(other[1], -got[1], rtol=1e-6, atol=1e-9)


def test_the_loss_of_a_batch_is_that_of_its_parts(device: torch.device) -> None:
    logits, targets, weight = example((1200, 3), device)
    whole = gradients(reweighted_binary_cross_entropy, logits, targets, weight, reduction="sum")
    parts = [
        gradients(reweighted_binary_cross_entropy, *part, reduction="sum")
        for part in zip(*(tensor.split(500) for tensor in (logits, targets, weight)), strict=True)
    ]
    torch.testing.assert_close(whole[0], sum(part[0] for part in parts))
    assert torch.equal(whole[1], torch.cat([part[1] for part in parts]))


@pytest.mark.parametrize("shape", [(6,), (4, 3), (2, 40)])
@pytest.mark.parametrize("label_smoothing", [0.0, 0.2])
@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_gradcheck_in_logits_and_weights(
    device: torch.device, reduction: Reduction, label_smoothing: float, shape: tuple[int, ...]
) -> None:
    logits, targets, weight = example(shape, device, soft=True)

    def loss(logits: Tensor, weight: Tensor) -> Tensor:
        return reweighted_binary_cross_entropy(
            logits, targets, weight, reduction=reduction, label_smoothing=label_smoothing
        )

    assert torch.autograd.gradcheck(loss, (logits.requires_grad_(), weight.requires_grad_()))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_the_loss_is_the_same_without_gradients(
    device: torch.device, reduction: Reduction, dtype: torch.dtype
) -> None:
    logits, targets, weight = example((50, 7), device)
    logits = logits.to(dtype)
    plain = reweighted_binary_cross_entropy(logits, targets, weight, reduction=reduction)
    tracked = reweighted_binary_cross_entropy(
        logits.requires_grad_(), targets, weight, reduction=reduction
    )
    assert torch.equal(plain, tracked)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("reduction", ["sum", "weighted_mean"])
def test_an_upstream_gradient_scales_the_gradient(
    device: torch.device, reduction: Reduction, dtype: torch.dtype
) -> None:
    logits, targets, weight = example((31, 3), device, dtype=dtype)
    logits, weight = logits.to(dtype).requires_grad_(), weight.requires_grad_()
    loss = reweighted_binary_cross_entropy(logits, targets, weight, reduction=reduction)
    grads = torch.autograd.grad(-2.5 * loss, (logits, weight))
    wanted = gradients(
        reference.reweighted_binary_cross_entropy,
        logits.double(), targets, weight, reduction=reduction,
    )  # fmt: skip
    eps = torch.finfo(dtype).eps
    torch.testing.assert_close(grads[0].double(), -2.5 * wanted[1], rtol=2 * eps, atol=1e-6)
    torch.testing.assert_close(grads[1], -2.5 * wanted[2], rtol=1e-5, atol=1e-6)
