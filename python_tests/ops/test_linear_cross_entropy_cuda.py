"""The CUDA kernels of the whole-catalogue loss: tiles, splits, layouts, precision.

test_linear_cross_entropy_kernels.py tests the properties that hold on every device.
"""

from __future__ import annotations

import math
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import emulator
from emulator.build import build_program
from helpers.catalogue_kernels import Catalogue
from helpers.catalogue_precision import (
    PRECISIONS,
    check_both,
    check_forward,
    check_gradient,
    error,
    exact_logits,
    forward,
    gradient,
    problem,
    product_limit,
)
from helpers.operators import assert_all_equal

# Rows, classes and width; 130 rows are two blocks.
SHAPES = [(1, 1, 1), (1, 5, 7), (17, 70, 31), (3, 130, 33), (35, 65, 64), (130, 40, 32)]
SHAPES += [(5, 200, 96), (20, 33, 128), (9, 40, 256)]


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: "x".join(map(str, shape)))
def test_both_passes_agree_with_float64(
    cuda: torch.device, shape: tuple[int, int, int], precision: str
) -> None:
    # A single row has no average over roundings: most seeds exceed the limit there.
    p = problem(precision, *shape, seed=28)
    limit = 1e-6 if precision == "float32" else 5e-4
    check_both(cuda, p, limit_of_gradients=limit)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_every_option_together(cuda: torch.device, precision: str) -> None:
    check_both(cuda, problem(precision, 20, 75, 40, bias=True, rows_counted=13, scale=0.6))


@pytest.mark.parametrize("scale", [-2.0, 0.0])
def test_any_scale_will_do(cuda: torch.device, scale: float) -> None:
    check_both(cuda, problem("float32", 5, 70, 16, bias=True, scale=scale))


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("spread", [1e-3, 10.0, 300.0])
def test_logits_of_any_size(cuda: torch.device, precision: str, spread: float) -> None:
    check_forward(cuda, problem(precision, 9, 150, 24, spread=spread, seed=3))


def test_the_largest_logit_may_come_last(cuda: torch.device) -> None:
    # Rising logits: sums are rescaled many times, in each row at other times.
    for precision in PRECISIONS:
        p = problem(precision, 6, 260, 32, spread=0.1)
        p = replace(p, bias=torch.arange(260.0) / 4)
        got, wanted = forward(cuda, p), exact_logits(p)
        losses = wanted.logsumexp(1) - wanted.gather(1, p.targets[:, None])[:, 0]
        assert error(got.losses, losses) < 1e-6
        assert got.mean_embedding is not None
        # float32 holds a logit of 64 to 4e-6.
        limit = max(2 * product_limit(p), 2e-5)
        assert error(got.mean_embedding, wanted.softmax(1) @ p.table.double()) < limit


def confident(precision: str, margin: float) -> Catalogue:
    """A problem in which the target's logit leads by about the margin."""
    p = problem(precision, 12, 100, 64, seed=1)
    p.hidden[:] = p.table[p.targets] * (margin / 64)
    return p


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("margin", [8.0, 32.0])
def test_a_sure_row_keeps_the_digits_of_what_is_left(
    cuda: torch.device, precision: str, margin: float
) -> None:
    p = confident(precision, margin)
    got, logits = forward(cuda, p), exact_logits(p)
    at_target = torch.arange(len(logits)), p.targets
    others = logits - logits[at_target][:, None]
    others[at_target] = -math.inf
    losses = others.logsumexp(1).exp().log1p()
    assert losses.min() < 1e-2
    assert error(got.losses / losses, torch.ones(len(losses))) < 2e-5  # of each row
    # Without the target, p - 1 and the rest of the mean embedding have no digits in common.
    assert got.mean_embedding is not None
    rest = got.mean_embedding.double() - p.table[p.targets].double()
    wanted = logits.softmax(1)
    wanted[at_target] = (-losses).expm1()
    limit = 2e-3 if precision == "bfloat16" else 1e-3
    assert error(rest, wanted @ p.table.double()) < limit + 1e-6 / float(losses.max())
    check_gradient(cuda, p)


@pytest.mark.parametrize("precision", ["bfloat16", "float32"])
def test_both_passes_split(cuda: torch.device, precision: str) -> None:
    """More than 1024 classes split the catalogue in two; more than 1024 rows split the rows."""
    check_forward(cuda, problem(precision, 6, 1100, 16))
    check_gradient(cuda, problem(precision, 1100, 10, 16))


def test_blocks_without_rows_help_with_the_others(cuda: torch.device) -> None:
    # 300 rows are three blocks; two blocks without rows take a third of the catalogue each.
    p = problem("bfloat16", 300, 1600, 8, rows_counted=5)
    check_forward(cuda, p)
    check_gradient(cuda, replace(p, table=p.table[:9], targets=p.targets % 9 // 9))


@pytest.mark.emulator
@pytest.mark.parametrize("sanitize", [False, True], ids=["races", "sanitized"])
def test_sums_may_be_taken_off_after_every_tile(sanitize: bool) -> None:
    program = build_program(
        Path(emulator.__file__).parent / "programs" / "short_runs.cu", sanitize=sanitize
    )
    environment = {"ASAN_OPTIONS": "detect_leaks=0", "UBSAN_OPTIONS": "halt_on_error=1"}
    done = subprocess.run(
        [str(program)], capture_output=True, text=True, env=environment, timeout=60
    )
    assert (done.stdout, done.stderr) == ("right\n", "")


def test_nothing_is_wanted_but_losses(cuda: torch.device) -> None:
    check_forward(cuda, problem("bfloat16", 10, 70, 48), mean=False)


@pytest.mark.parametrize("precision", ["bfloat16", "float32"])
def test_rows_that_begin_anywhere(cuda: torch.device, precision: str) -> None:
    """Rows of at least 16 bytes without alignment to 16 bytes."""
    p = problem(precision, 7, 66, 32)

    def moved(x: Tensor) -> Tensor:
        return torch.cat([x.new_zeros(1), x.flatten()])[1:].view(x.shape)

    p = replace(p, hidden=moved(p.hidden), table=moved(p.table))
    check_both(cuda, p)


def test_a_target_that_is_no_class_makes_the_loss_nan(cuda: torch.device) -> None:
    p = problem("bfloat16", 6, 70, 16)
    p.targets[:] = torch.tensor([-3, 0, 4, 69, 70, 1 << 40])
    got = forward(cuda, p)
    assert got.losses.isnan().tolist() == [True, False, False, False, True, True]
    assert got.mean_embedding is not None
    wanted = exact_logits(p).softmax(1) @ p.table.double()
    assert error(got.mean_embedding, wanted) < 2e-3
    origins, ones = exact_logits(p).max(1).values.float(), torch.ones(6)
    grad, _ = gradient(cuda, p, origins, ones, 0 * ones)
    weights = (exact_logits(p) - origins[:, None].double()).exp()
    weights[[1, 2, 3], [0, 4, 69]] = 0
    assert error(grad, weights.T @ p.hidden.double()) < 2e-3


@pytest.mark.parametrize("where", ["hidden", "table"])
def test_nan_spreads(cuda: torch.device, where: str) -> None:
    for precision in PRECISIONS:
        p = problem(precision, 4, 70, 8)
        getattr(p, where)[2, 3] = math.nan
        got = forward(cuda, p)
        expected = [where == "table" or row == 2 for row in range(4)]
        assert got.losses.isnan().tolist() == expected
        assert got.sums.isnan().tolist() == expected


@pytest.mark.parametrize("rows_first", [True, False])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_what_becomes_of_the_sums(cuda: torch.device, dtype: torch.dtype, rows_first: bool) -> None:
    """Shift, unscale and accumulate, with one split and with two."""
    p = problem("bfloat16", *((600, 6) if rows_first else (6, 70)), 16)
    if rows_first:
        p = problem("bfloat16", 1100, 6, 16)
    origins = exact_logits(p).max(1).values.float()
    factors, target_factors = torch.rand(2, len(p.hidden), generator=torch.manual_seed(0))
    plain, plain_bias = gradient(cuda, p, origins, factors, target_factors)
    before, shift = torch.randn(p.table.shape).to(dtype), torch.randn(16)
    options: dict[str, Any] = {"into": before, "shift": shift, "unscale": 0.25}
    got, bias = gradient(cuda, p, origins, 4 * factors, target_factors, accumulate=True, **options)
    assert got.dtype == dtype
    limit = 1e-6 if dtype == torch.float32 else 4e-3
    assert error(got, plain + shift + before.float()) < limit
    assert error(bias, plain_bias) < 1e-6
    got, _ = gradient(cuda, p, origins, 4 * factors, target_factors, **options)
    assert error(got, plain + shift) < limit


def test_small_weights_of_float16_survive_by_their_scale(cuda: torch.device) -> None:
    p = problem("float16", 5, 64, 16)
    origins = exact_logits(p).max(1).values.float()
    factors = torch.full((5,), 1e-9)
    wanted, _ = gradient(
        cuda,
        replace(p, hidden=p.hidden.float(), table=p.table.float()),
        origins,
        factors,
        0 * factors,
    )
    got, _ = gradient(cuda, p, origins, 2.0**28 * factors, 0 * factors, unscale=2.0**-28)
    assert wanted.norm() > 0
    assert error(got, wanted) < 5e-4


def test_the_same_bits_again(cuda: torch.device) -> None:
    for p in (problem("bfloat16", 40, 1100, 16), problem("float32", 600, 30, 16)):
        one, two = forward(cuda, p), forward(cuda, p)
        assert_all_equal(one, two)
        factors = 1 / one.sums
        grads = [gradient(cuda, p, one.origins, factors, -factors) for _ in range(2)]
        assert torch.equal(grads[0][0], grads[1][0])
        assert torch.equal(grads[0][1], grads[1][1])


def test_no_rows_at_all(cuda: torch.device) -> None:
    p = problem("bfloat16", 0, 70, 16)
    assert len(forward(cuda, p).losses) == 0
    shift = torch.arange(16.0)
    none = torch.zeros(0)
    grad, grad_bias = gradient(cuda, p, none, none, none, shift=shift)
    assert torch.equal(grad, shift.expand(70, 16))
    assert not grad_bias.any()
    p = replace(problem("bfloat16", 5, 70, 16), rows_counted=0)
    check = forward(cuda, p)
    assert (check.losses.sum(), check.sums.sum()) == (0, 5)
    nan = torch.full((5,), math.nan)
    assert torch.equal(gradient(cuda, p, nan, nan, nan, shift=shift)[0], shift.expand(70, 16))
