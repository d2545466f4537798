"""linear_reweighted_cross_entropy: losses and gradients against the definition."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

import emulator
from atjt_ext.ops import Reduction
from atjt_ext.ops import linear_reweighted_cross_entropy as linear_loss
from helpers.linear_rows import OPTIONS, Rows, assert_close, dtypes, exact, example, finest, ours
from helpers.operators import arithmetic, assert_all_equal, skip_without_kernel
from helpers.weighted_rows import DTYPES, HALVES, REDUCTIONS, need_memory, relative_error

# Rows, classes and widths around 1, vectors, warps and the tiles of the kernels.
SHAPES = [
    *[(1, 1, 1), (1, 2, 1), (3, 1, 5), (5, 7, 3), (9, 33, 16), (31, 65, 17), (33, 130, 32)],
    *[(17, 129, 64), (65, 70, 40), (130, 40, 8), (9, 50, 96), (5, 40, 128), (5, 33, 200)],
    *[(3, 20, 256)],
]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_every_shape_equals_the_reference(
    device: torch.device, shape: tuple[int, int, int]
) -> None:
    dtype = finest(device)
    rows = example(*shape, device)
    for options in OPTIONS:
        wanted = exact(rows, reduction="sum", **options)
        # With a single class the gradient is a rounding error.
        assert_close(ours(rows.to(dtype), reduction="sum", **options), wanted, dtype, slack=1e-6)


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_every_reduction_equals_the_reference(
    device: torch.device, reduction: Reduction, options: dict[str, Any]
) -> None:
    dtype, rows = finest(device), example(9, 33, 5, device)
    options = {"reduction": reduction, **options}
    assert_close(ours(rows.to(dtype), **options), exact(rows, **options), dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("spread", [0.0, 1.0, 8.0])
def test_every_dtype_errs_by_its_rounding_only(
    device: torch.device, dtype: torch.dtype, spread: float
) -> None:
    skip_without_kernel(device, dtype)
    rows = example(33, 150, 24, device, dtype=dtype, spread=spread).to(dtype)
    for options in OPTIONS:
        got = ours(rows, reduction="sum", **options)
        # Label smoothing adds the rounding error of the mean over the catalogue.
        slack = 1e-6 if dtype != torch.float64 else 1e-13
        assert_close(got, exact(rows, reduction="sum", **options), dtype, slack=slack)
        single = arithmetic(dtype)
        wanted_dtypes = [single, single, dtype, dtype, single, single]
        assert [tensor.dtype for tensor in got] == wanted_dtypes


def test_without_weights_and_bias_it_is_torchs_cross_entropy(device: torch.device) -> None:
    hidden, table, targets, _, _ = example(20, 30, 8, device).to(finest(device))
    for reduction, label_smoothing in itertools.product(("none", "sum", "mean"), (0.0, 0.2)):
        options: Any = {"reduction": reduction, "label_smoothing": label_smoothing}
        got = linear_loss(hidden, table, targets, **options)
        torch.testing.assert_close(got, F.cross_entropy(hidden @ table.T, targets, **options))


@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_no_weights_are_weights_of_one_to_the_bit(
    device: torch.device, reduction: Reduction
) -> None:
    hidden, table, targets, weight, _ = example(20, 30, 8, device).to(torch.float32)
    for sample_weight in (None, torch.ones_like(weight)):
        got = linear_loss(hidden, table, targets, sample_weight, reduction=reduction)
        assert torch.equal(got, linear_loss(hidden, table, targets, reduction=reduction))


def test_leading_dimensions_are_rows(device: torch.device) -> None:
    rows = example(12, 9, 4, device).to(finest(device))
    hidden, table, targets, weight, bias = rows
    grid = Rows(hidden.view(2, 3, 2, 4), table, targets.view(2, 3, 2), weight.view(2, 3, 2), bias)
    for reduction in REDUCTIONS:
        flat, shaped = ours(rows, reduction=reduction), ours(grid, reduction=reduction)
        assert shaped.loss.shape == ((2, 3, 2) if reduction == "none" else ())
        assert shaped.lse.shape == (2, 3, 2)
        for got, wanted in zip(shaped, flat, strict=True):
            assert torch.equal(got.reshape(wanted.shape), wanted)
    one = linear_loss(hidden[0], table, targets[0])
    assert torch.equal(one, linear_loss(hidden[:1], table, targets[:1]))


# --- digits that rounding could take ----------------------------------------------------------


def table_gradient(
    device: torch.device,
    classes: int,
    *,
    target: int = 0,
    logit: float = 0.0,
    dtypes: tuple[torch.dtype, torch.dtype] = (torch.float32, torch.float32),
    factor: float = 1.0,
) -> Tensor:
    """Table gradient of one row with hidden state 1: the target has this logit, others have 0."""
    hidden = torch.ones(1, 1, dtype=dtypes[0], device=device)
    table = torch.zeros(classes, 1, dtype=dtypes[1], device=device)
    table[target] = logit
    loss = linear_loss(hidden, table.requires_grad_(), torch.tensor([target], device=device))
    return torch.autograd.grad(loss * factor, table)[0]


@pytest.mark.parametrize("gap", [3.0, 8.0, 12.0])
def test_a_confident_row_keeps_the_digits_of_its_table_gradient(
    device: torch.device, gap: float
) -> None:
    # One row, its target ahead of nine others: p - 1 = -9 / (9 + e^gap).
    grad = table_gradient(device, 10, target=4, logit=gap)
    others = 1 / (9 + math.exp(gap))
    wanted = torch.full((10, 1), others, dtype=torch.float64)
    wanted[4] = -9 * others
    # A loss of 9 e^-gap is computed from a sum near 1.
    tolerance = 2e-7 / (9 * others) + 1e-6
    torch.testing.assert_close(grad.double().cpu(), wanted, rtol=tolerance, atol=0)


@pytest.mark.parametrize("dtype", HALVES)
def test_of_a_row_that_is_its_own_target_half_precision_rounds_the_small_rest(
    device: torch.device, dtype: torch.dtype
) -> None:
    # p of the target is 1 - 1e-4, which the half types round to 1.
    grad = table_gradient(device, 10, target=4, logit=11.5, dtypes=(dtype, dtype))
    wanted = -9 / (9 + math.exp(11.5))
    assert float(grad[4]) == pytest.approx(wanted, rel=2e-2)


def test_small_float16_factors_do_not_underflow(device: torch.device) -> None:
    # p / N is 1e-9: too small for float16, but not for the float32 gradient.
    dtypes = (torch.float16, torch.float32)
    grad = table_gradient(device, 10_000, dtypes=dtypes, factor=1e-5)
    wanted = torch.full((9999, 1), 1e-9, device=device)
    torch.testing.assert_close(grad[1:], wanted, rtol=1e-3, atol=0)
    torch.testing.assert_close(grad[0].item(), -1e-5, rtol=1e-3, atol=0)


def test_a_loss_scaled_up_saves_float16_gradients_from_underflow(device: torch.device) -> None:
    dtypes = (torch.float16, torch.float16)
    grad = table_gradient(device, 10_000, dtypes=dtypes, factor=65_536 * 1e-5)
    wanted = torch.full((9999, 1), 65_536 * 1e-9, dtype=torch.float64, device=device)
    torch.testing.assert_close(grad[1:].double(), wanted, rtol=1e-3, atol=0)


@pytest.mark.parametrize("upstream", [1e-30, 1e-6, 1.0, 1e6, 1e30])
def test_an_upstream_gradient_of_any_size_scales_float16_gradients(
    device: torch.device, upstream: float
) -> None:
    rows = example(9, 20, 4, device, dtype=torch.float16)
    hidden, table, targets, _, _ = rows.to(torch.float16)
    table = table.float().requires_grad_()
    loss = linear_loss(hidden, table, targets)
    plain, scaled = (
        torch.autograd.grad(loss, table, torch.full_like(loss, size), retain_graph=True)[0]
        for size in (1.0, upstream)
    )
    # On CUDA, factors multiply probabilities before the rounding to float16: a factor that is no
    # power of two changes the rounding.
    limit = 5e-4 if emulator.runs_cuda_kernels(device) else 1e-6
    assert relative_error(scaled.double() / upstream, plain.double()) < limit


def test_a_common_offset_of_the_bias_changes_nothing(device: torch.device) -> None:
    rows = example(9, 20, 4, device)
    dtype = finest(device)
    moved = rows._replace(bias=rows.bias + 64)
    for options in ({"reduction": "none"}, {"reduction": "sum", "label_smoothing": 0.1}):
        got, wanted = ours(moved.to(dtype), **options), exact(rows, **options)
        lse = torch.where(rows.targets == -100, 0, got.lse - 64)
        assert_close(got._replace(lse=lse), wanted, dtype, slack=1e-5)


def test_logits_far_apart_neither_overflow_nor_vanish(device: torch.device) -> None:
    rows = example(9, 40, 8, device, spread=300.0).to(finest(device))
    got = ours(rows, reduction="none")
    assert_close(got, exact(rows, reduction="none"), finest(device), slack=1e-4)


# --- the same in every run --------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
def test_twenty_runs_give_the_same_bits(device: torch.device, dtype: torch.dtype) -> None:
    skip_without_kernel(device, dtype)
    rows = example(20, 30, 8, device, dtype=dtype).to(dtype)
    first = ours(rows, label_smoothing=0.1, z_loss=0.01)
    for _ in range(20):
        again = ours(rows, label_smoothing=0.1, z_loss=0.01)
        assert_all_equal(again, first)


@pytest.mark.usefixtures("num_threads")
@pytest.mark.parametrize("dtype", DTYPES)
def test_the_number_of_threads_changes_nothing(dtype: torch.dtype) -> None:
    rows = example(70, 300, 16, torch.device("cpu"), dtype=dtype).to(dtype)
    found = []
    for threads in (1, 2, 3):
        torch.set_num_threads(threads)
        found.append(ours(rows))
    for one in found[1:]:
        assert_all_equal(one, found[0])


def test_every_instruction_set_computes_the_same(isa: str) -> None:
    cpu = torch.device("cpu")
    for dtype in dtypes(cpu):
        rows = example(19, 203, 33, cpu, dtype=dtype).to(dtype)
        assert_close(ours(rows, reduction="sum"), exact(rows, reduction="sum"), dtype)


# --- catalogues beyond 32 bits ----------------------------------------------------------------


def untouched(classes: int, width: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """A table of zeros. On the CPU, pages without writes take no memory."""
    if device.type == "cuda":
        return torch.zeros(classes, width, dtype=dtype, device=device)
    size = np.uint32 if dtype == torch.float32 else np.uint16
    return torch.from_numpy(np.zeros((classes, width), dtype=size)).view(dtype)


def assert_right_among_zeros(
    classes: int, width: int, dtype: torch.dtype, device: torch.device
) -> None:
    """Few rows against a table of zeros with a handful of items: results in closed form."""
    table = untouched(classes, width, dtype, device)
    items = torch.tensor([0, classes // 2, classes - 2, classes - 1], device=device)
    generator = torch.Generator().manual_seed(0)
    hidden = torch.randn(4, width, generator=generator).to(device, dtype)
    embeddings = 10 * torch.randn(4, width, generator=generator) / width**0.5
    table[items] = embeddings.to(device, dtype)
    targets = items[torch.tensor([3, 1, 0, 3], device=device)]
    hidden.requires_grad_()
    table.requires_grad_()
    losses, lse = linear_loss(hidden, table, targets, reduction="none", return_lse=True)
    grad_hidden, grad_table = torch.autograd.grad(losses.sum(), (hidden, table))

    x, w = hidden.detach().double(), table.detach()[items].double()
    logits = x @ w.T
    sums = logits.exp().sum(1) + (classes - 4)
    p = logits.exp() / sums[:, None]
    hits = (targets[:, None] == items).double()
    torch.testing.assert_close(lse.double(), sums.log(), rtol=1e-6, atol=0)
    at_target = (logits * hits).sum(1)
    torch.testing.assert_close(losses.double(), sums.log() - at_target, rtol=1e-6, atol=1e-6)
    tolerance = {torch.float32: 1e-5, torch.bfloat16: 1e-2, torch.float16: 2e-3}[dtype]
    assert relative_error(grad_hidden, (p - hits) @ w) < tolerance
    assert relative_error(grad_table[items], (p - hits).T @ x) < tolerance
    elsewhere = (x / sums[:, None]).sum(0)
    for item in (1, classes // 2 + 1, classes - 3):
        assert relative_error(grad_table[item], elsewhere) < tolerance
    # sum_v dW_v = 0 fails if a block, i.e. millions of equal rows, is missing or written twice.
    blocks = grad_table.split(2**20)
    total = torch.stack([block.sum(0, dtype=torch.float32).double() for block in blocks]).sum(0)
    size = float(x.norm())
    assert float(total.norm()) < (1e-4 if dtype == torch.float32 else 2e-2) * size


def test_ten_million_items(device: torch.device) -> None:
    if emulator.runs_cuda_kernels(device) and device.type == "cpu":
        pytest.skip("the emulator would take hours")
    need_memory(device, 2, "a table of ten million items and its gradient")
    assert_right_among_zeros(10_000_000, 4, torch.float32, device)


def test_a_table_of_more_than_two_to_the_31_numbers(device: torch.device) -> None:
    if emulator.runs_cuda_kernels(device) and device.type == "cpu":
        pytest.skip("the emulator would take hours")
    need_memory(device, 11, "a table of 2^31 numbers and its gradient")
    classes, width = 8_400_001, 256
    assert classes * width > 2**31
    assert_right_among_zeros(classes, width, torch.bfloat16, device)
