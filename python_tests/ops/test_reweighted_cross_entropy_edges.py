"""reweighted_cross_entropy at the edges: ignored rows, nothing to average, infinities, NaN."""

from __future__ import annotations

import itertools
import math
from typing import Any

import pytest
import torch
import torch.nn.functional as F

import emulator
from atjt_ext.ops import Reduction
from atjt_ext.ops import reweighted_cross_entropy as cross_entropy
from helpers.weighted_rows import DTYPES, REDUCTIONS, example, ours

INF = float("inf")


@pytest.mark.parametrize("label_smoothing", [0.0, 0.1])
@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_ignored_rows_count_nowhere_whatever_they_hold(
    device: torch.device, reduction: Reduction, label_smoothing: float
) -> None:
    options: Any = {"reduction": reduction, "label_smoothing": label_smoothing}
    logits, targets, weight = example(8, 6, device)
    ignored = targets == -100
    logits[ignored] = float("nan")
    weight[ignored] = float("nan")
    loss, grad_logits, grad_weight = ours(logits, targets, weight, **options)
    assert not grad_logits[ignored].any()
    assert not grad_weight[ignored].any()
    kept = ours(logits[~ignored], targets[~ignored], weight[~ignored], **options)
    torch.testing.assert_close(loss if loss.dim() == 0 else loss[~ignored], kept[0])
    torch.testing.assert_close(grad_logits[~ignored], kept[1])
    torch.testing.assert_close(grad_weight[~ignored], kept[2])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("classes", [1, 7, 40, 2001])
def test_the_gradient_of_an_ignored_row_is_zero_everywhere(
    device: torch.device, dtype: torch.dtype, classes: int
) -> None:
    logits, targets, weight = example(4, classes, device)
    grad = ours(logits.to(dtype), targets, weight)[1]
    assert targets[1] == -100
    assert not grad[1].any()


def test_ignore_index_may_be_a_class(device: torch.device) -> None:
    logits, _, _ = example(4, 6, device)
    targets = torch.tensor([0, 3, 0, 5], device=device)
    got = cross_entropy(logits, targets, ignore_index=0)
    torch.testing.assert_close(got, F.cross_entropy(logits, targets, ignore_index=0))


# Weights that cancel leave nothing to average under weighted_mean only.
@pytest.mark.parametrize(
    ("case", "reduction"),
    [
        *itertools.product(["no rows", "all ignored", "zero weights"], REDUCTIONS),
        ("weights cancel", "weighted_mean"),
    ],
)
def test_nothing_to_average_gives_zero_loss_and_zero_gradients(
    device: torch.device, reduction: Reduction, case: str
) -> None:
    logits, targets, weight = example(0 if case == "no rows" else 4, 6, device)
    targets = targets.abs() % 6
    if case == "all ignored":
        targets = torch.full_like(targets, -100)
    if case == "zero weights":
        weight = torch.zeros_like(weight)
    if case == "weights cancel":
        weight = torch.tensor([1.0, -1.0, 2.0, -2.0], device=device).double()
    loss, grad_logits, grad_weight = ours(logits, targets, weight, reduction=reduction)
    assert not loss.any()
    assert not grad_logits.any()
    if case != "zero weights" or reduction == "weighted_mean":
        assert not grad_weight.any()


def test_the_only_class_costs_nothing(device: torch.device) -> None:
    logits, targets, weight = example(5, 1, device)
    for label_smoothing in (0.0, 0.1):
        loss, grad_logits, _ = ours(logits, targets, weight, label_smoothing=label_smoothing)
        assert loss == 0
        assert float(grad_logits.abs().max()) < 1e-16


@pytest.mark.parametrize("classes", [40, 2001])
@pytest.mark.parametrize("value", [float("nan"), INF])
@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_a_broken_row_stays_in_its_row(
    device: torch.device, reduction: Reduction, value: float, classes: int
) -> None:
    logits, targets, weight = example(5, classes, device)
    broken = logits.clone()
    broken[2, 7] = value
    for label_smoothing in (0.0, 0.1):
        options: Any = {"reduction": reduction, "label_smoothing": label_smoothing}
        got = ours(broken, targets, weight, **options)
        wanted = ours(logits, targets, weight, **options)
        others = torch.arange(5, device=device) != 2
        assert torch.equal(got[1][others], wanted[1][others])
        assert got[1][2].isnan().all()
        if reduction == "none":
            assert torch.equal(got[0][others], wanted[0][others])
        assert got[0].isnan().any()


@pytest.mark.parametrize("value", [float("nan"), -INF])
@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_a_row_of_weight_zero_counts_nowhere_even_if_its_loss_is_infinite(
    device: torch.device, reduction: Reduction, value: float
) -> None:
    logits, targets, weight = example(5, 40, device)
    targets[2] = 7
    weight[2] = 0
    broken = logits.clone()
    broken[2, 7] = value
    got = ours(broken, targets, weight, reduction=reduction)
    wanted = ours(logits, targets, weight, reduction=reduction)
    others = torch.arange(5, device=device) != 2
    torch.testing.assert_close(got[0], wanted[0], rtol=1e-12, atol=0)
    assert torch.equal(got[1][others], wanted[1][others])
    torch.testing.assert_close(got[2][others], wanted[2][others], rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("classes", [40, 2001])
def test_impossible_classes_have_no_probability(
    device: torch.device, classes: int, dtype: torch.dtype
) -> None:
    logits, _, _ = example(5, classes, device)
    # Whole vectors and whole threads of nothing but -inf.
    impossible = torch.arange(classes, device=device) % 3 == 0
    impossible[: classes // 2] = True
    targets = (~impossible).nonzero().flatten()[[0, 1, 5, -2, -1]]
    masked = logits.to(dtype).masked_fill(impossible, -INF).requires_grad_()
    loss = cross_entropy(masked, targets)
    loss.backward()
    assert masked.grad is not None
    wanted = F.cross_entropy(masked.double(), targets)
    torch.testing.assert_close(loss.double(), wanted, rtol=1e-6, atol=0)
    assert not masked.grad[:, impossible].any()


@pytest.mark.parametrize("classes", [40, 2001])
def test_infinities_mean_what_they_mean_to_torch(device: torch.device, classes: int) -> None:
    rows = torch.randn(7, classes, generator=torch.Generator().manual_seed(0)).double().to(device)
    targets = torch.full((7,), 3, device=device)
    rows[0, 3] = -INF  # an impossible target
    rows[1, 5] = -INF  # an impossible class: with smoothing, a part of the loss
    rows[2] = -INF
    rows[3, 3] = INF
    rows[4, 5] = INF
    rows[5, :] = -INF
    rows[5, 3] = 1.0  # a certain target
    for label_smoothing in (0.0, 0.1):
        options: Any = {"reduction": "none", "label_smoothing": label_smoothing}
        ours, theirs = rows.clone().requires_grad_(), rows.clone().requires_grad_()
        got = cross_entropy(ours, targets, **options)
        wanted = F.cross_entropy(theirs, targets, **options)
        torch.testing.assert_close(got, wanted, equal_nan=True)
        got.sum().backward()
        wanted.sum().backward()
        torch.testing.assert_close(ours.grad, theirs.grad, equal_nan=True)


def test_huge_logits_keep_the_small_loss_of_a_confident_row(device: torch.device) -> None:
    logits = torch.tensor([[1e4, 1e4 - 5.0, -1e4]], device=device)
    loss = cross_entropy(logits, torch.tensor([0], device=device))
    torch.testing.assert_close(loss.item(), math.log1p(math.exp(-5)), rtol=1e-5, atol=0)


def test_the_largest_numbers_do_not_overflow(device: torch.device) -> None:
    logits = torch.tensor([[3e38, -3e38, 0.0]], device=device).requires_grad_()
    loss = cross_entropy(logits, torch.tensor([0], device=device))
    (grad,) = torch.autograd.grad(loss, logits)
    assert loss.item() == 0
    assert grad.tolist() == [[0.0, 0.0, 0.0]]


def test_first_and_last_class_are_classes(device: torch.device) -> None:
    logits, _, _ = example(2, 1000, device)
    targets = torch.tensor([0, 999], device=device)
    got = cross_entropy(logits, targets, reduction="none")
    torch.testing.assert_close(got, F.cross_entropy(logits, targets, reduction="none"))


@pytest.mark.parametrize("classes", [30, 2001])
@pytest.mark.parametrize("target", [-1, "classes", 2**40])
def test_a_target_out_of_range_is_refused_or_makes_its_row_nan(
    device: torch.device, target: int | str, classes: int
) -> None:
    logits, targets, weight = example(10, classes, device)
    wrong = classes if isinstance(target, str) else target
    targets[6] = wrong
    if not emulator.runs_cuda_kernels(device):
        with pytest.raises(IndexError, match=rf"\[0, {classes}\).*got {wrong} in row 6"):
            cross_entropy(logits, targets)
        return
    loss, grad_logits, _ = ours(logits, targets, weight, reduction="none")
    assert loss.isnan().nonzero().tolist() == [[6]]
    assert grad_logits[6].isnan().all()
    assert grad_logits.isnan().any(dim=1).nonzero().tolist() == [[6]]
