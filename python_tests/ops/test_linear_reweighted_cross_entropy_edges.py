"""linear_reweighted_cross_entropy at the edges: nothing to average, infinities, NaN, odd memory."""

from __future__ import annotations

import itertools
import math
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

import emulator
from atjt_ext.ops import Reduction, reference
from atjt_ext.ops import linear_reweighted_cross_entropy as linear_loss
from helpers.linear_rows import (
    Rows,
    assert_alike,
    assert_close,
    exact,
    example,
    finest,
    ours,
    results,
)
from helpers.operators import assert_all_equal
from helpers.weighted_rows import REDUCTIONS

INF, NAN = float("inf"), float("nan")
OPTIONS: list[dict[str, Any]] = [{}, {"label_smoothing": 0.1, "z_loss": 0.01}]
WITH_OPTIONS = pytest.mark.parametrize("options", OPTIONS, ids=str)


@WITH_OPTIONS
@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_ignored_rows_count_nowhere_whatever_they_hold(
    device: torch.device, reduction: Reduction, options: dict[str, Any]
) -> None:
    rows = example(9, 6, 3, device).to(finest(device))
    ignored = rows.targets == -100
    rows.hidden[ignored] = NAN
    rows.weight[ignored] = NAN
    got = ours(rows, reduction=reduction, **options)
    wanted = ours(rows.part(~ignored), reduction=reduction, **options)
    assert not got.hidden[ignored].any()
    assert not got.weight[ignored].any()
    assert not got.lse[ignored].any()
    loss = got.loss[~ignored] if reduction == "none" else got.loss
    torch.testing.assert_close(loss, wanted.loss)
    torch.testing.assert_close(got.lse[~ignored], wanted.lse)
    torch.testing.assert_close(got.hidden[~ignored], wanted.hidden)
    torch.testing.assert_close(got.weight[~ignored], wanted.weight)
    assert_alike(got, wanted, "table bias")


def test_the_lse_of_ignored_rows_sends_nothing_back(device: torch.device) -> None:
    hidden, table, targets, _, _ = example(9, 6, 3, device).to(finest(device))
    hidden.requires_grad_()
    _, lse = linear_loss(hidden, table, targets, return_lse=True)
    (grad,) = torch.autograd.grad(lse.sum(), hidden)
    assert not grad[targets == -100].any()
    assert grad[targets != -100].any(dim=1).all()


def test_ignore_index_may_be_a_class(device: torch.device) -> None:
    hidden, table, _, _, _ = example(4, 6, 3, device).to(finest(device))
    targets = torch.tensor([0, 3, 0, 5], device=device)
    got = linear_loss(hidden, table, targets, ignore_index=0)
    torch.testing.assert_close(got, F.cross_entropy(hidden @ table.T, targets, ignore_index=0))


# Weights that cancel leave nothing to average under weighted_mean only.
@WITH_OPTIONS
@pytest.mark.parametrize(
    ("case", "reduction"),
    [
        *itertools.product(["no rows", "all ignored", "zero weights"], REDUCTIONS),
        ("weights cancel", "weighted_mean"),
    ],
)
def test_nothing_to_average_gives_zero_loss_and_zero_gradients(
    device: torch.device, reduction: Reduction, case: str, options: dict[str, Any]
) -> None:
    rows = example(0 if case == "no rows" else 4, 6, 3, device).to(finest(device))
    rows.targets.abs_().remainder_(6)
    if case == "all ignored":
        rows.targets.fill_(-100)
    if case == "zero weights":
        rows.weight.zero_()
    if case == "weights cancel":
        rows.weight.copy_(torch.tensor([1.0, -1.0, 2.0, -2.0]))
    got = ours(rows, reduction=reduction, **options)
    assert not got.loss.any()
    assert got.table.shape == rows.table.shape
    for gradient in (got.hidden, got.table, got.bias):
        assert not gradient.any()
    if case != "zero weights" or reduction == "weighted_mean":
        assert not got.weight.any()


@WITH_OPTIONS
def test_the_only_class_costs_nothing_but_its_z_loss(
    device: torch.device, options: dict[str, Any]
) -> None:
    rows = example(5, 1, 3, device).to(finest(device))
    got = ours(rows, reduction="sum", **options)
    # lse minus the mean logit, and p - 1, consist of rounding errors.
    assert_close(got, exact(rows, reduction="sum", **options), finest(device), slack=1e-6)


@pytest.mark.parametrize("value", [NAN, INF])
@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_a_broken_row_stays_in_its_row_of_the_hidden_gradient(
    device: torch.device, reduction: Reduction, value: float
) -> None:
    rows = example(9, 40, 3, device).to(finest(device))
    wanted = ours(rows, reduction=reduction)
    rows.hidden[2, 1] = value
    got = ours(rows, reduction=reduction)
    others = torch.arange(9, device=device) != 2
    torch.testing.assert_close(got.hidden[others], wanted.hidden[others])
    assert got.hidden[2].isnan().all()
    assert got.table.isnan().any()
    assert got.loss.isnan().any()
    if reduction == "none":
        torch.testing.assert_close(got.loss[others], wanted.loss[others])


@WITH_OPTIONS
@pytest.mark.parametrize("value", [NAN, INF, -INF])
@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_a_row_of_weight_zero_counts_nowhere_whatever_it_holds(
    device: torch.device, reduction: Reduction, value: float, options: dict[str, Any]
) -> None:
    rows = example(9, 40, 3, device).to(finest(device))
    rows.weight[2] = 0
    wanted = ours(rows, reduction=reduction, **options)
    rows.hidden[2] = value
    got = ours(rows, reduction=reduction, **options)
    others = torch.arange(9, device=device) != 2
    torch.testing.assert_close(got.loss, wanted.loss)
    assert not got.hidden[2].any()
    assert_alike(got, wanted, "hidden table bias")
    torch.testing.assert_close(got.weight[others], wanted.weight[others])


def test_a_row_of_weight_zero_still_says_what_its_weight_would_do(device: torch.device) -> None:
    rows = example(9, 40, 3, device).to(finest(device))
    rows.weight[2] = 0
    assert_close(ours(rows, reduction="sum"), exact(rows, reduction="sum"), finest(device))
    assert ours(rows, reduction="sum").weight[2] > 0


def test_impossible_items_have_no_probability(device: torch.device) -> None:
    rows = example(5, 40, 3, device).to(finest(device))
    rows.bias[::3] = -INF
    rows.bias[:20] = -INF  # whole tiles of nothing else
    rows.targets.copy_(torch.tensor([20, 22, 23, 37, 38]))
    got, wanted = ours(rows), exact(rows)
    torch.testing.assert_close(got.loss.double(), wanted.loss)
    torch.testing.assert_close(got.hidden.double(), wanted.hidden, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(got.table.double(), wanted.table, rtol=1e-5, atol=1e-6)
    assert not got.table[:20].any()
    assert not got.bias[:20].any()


def test_an_impossible_target_costs_infinitely_much(device: torch.device) -> None:
    rows = example(3, 8, 3, device).to(finest(device))
    rows.targets.copy_(torch.tensor([0, 5, 2]))
    rows.bias[5] = -INF
    got = ours(rows, reduction="none")
    assert got.loss.isinf().tolist() == [False, True, False]
    assert got.table.isfinite().all()
    assert got.hidden.isfinite().all()


def test_first_and_last_item_are_items(device: torch.device) -> None:
    hidden, table, _, _, _ = example(2, 300, 3, device).to(finest(device))
    targets = torch.tensor([0, 299], device=device)
    got = linear_loss(hidden, table, targets, reduction="none")
    torch.testing.assert_close(got, F.cross_entropy(hidden @ table.T, targets, reduction="none"))


def test_huge_logits_keep_the_small_loss_of_a_confident_row(device: torch.device) -> None:
    table = torch.tensor([[1e4], [1e4 - 5.0], [-1e4]], device=device)
    loss = linear_loss(torch.ones(1, 1, device=device), table, torch.tensor([0], device=device))
    torch.testing.assert_close(loss.item(), math.log1p(math.exp(-5)), rtol=1e-5, atol=0)


def test_inputs_are_not_written_and_may_have_any_strides(device: torch.device) -> None:
    rows = example(24, 40, 8, device).to(finest(device))
    before = Rows(*(tensor.clone() for tensor in rows))
    hidden, table, targets, weight, bias = rows
    views = Rows(
        hidden.t()[::2].t()[::2], table.t()[::2].t()[::2], targets[::2] % 20, weight[::2], bias[::2]
    )
    wanted = Rows(*(view.contiguous() for view in views))
    assert not views.table.is_contiguous()

    def gradients(given: Rows) -> list[torch.Tensor]:
        leaves = [tensor.detach().requires_grad_() for tensor in given[:2] + given[3:]]
        loss = linear_loss(leaves[0], leaves[1], given.targets, leaves[2], bias=leaves[3])
        return [loss.detach(), *torch.autograd.grad(loss, leaves)]

    assert_all_equal(gradients(views), gradients(wanted))
    assert_all_equal(rows, before)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("width", [3, 5, 8])
def test_the_table_may_begin_anywhere_in_memory(
    device: torch.device, width: int, dtype: torch.dtype
) -> None:
    rows = example(9, 21, width, device, dtype=dtype).to(dtype)
    whole = torch.full((22, width), NAN, dtype=dtype, device=device)
    whole[1:] = rows.table

    def found(table: Tensor) -> tuple[Tensor, ...]:
        hidden, table = rows.hidden.clone().requires_grad_(), table.detach().requires_grad_()
        loss = linear_loss(hidden, table, rows.targets, reduction="sum")
        return loss.detach(), *torch.autograd.grad(loss, (hidden, table))

    # Without the padding row of a recommender's table.
    assert_all_equal(found(whole[1:]), found(rows.table))


@pytest.mark.parametrize("target", [-1, "classes", 2**40])
def test_a_target_out_of_range_is_refused_or_makes_its_row_nan(
    device: torch.device, target: int | str
) -> None:
    rows = example(10, 30, 3, device).to(finest(device))
    wrong = 30 if isinstance(target, str) else target
    rows.targets[6] = wrong
    if not emulator.runs_cuda_kernels(device):
        with pytest.raises(IndexError, match=rf"targets must be in \[0, 30\), got {wrong}$"):
            ours(rows)
        return
    got = ours(rows, reduction="none")
    assert got.loss.isnan().nonzero().tolist() == [[6]]
    assert got.hidden.isnan().any(dim=1).nonzero().tolist() == [[6]]
    assert got.hidden[6].isnan().all()
    assert got.table.isnan().all()


def test_the_definition_is_that_of_given_logits(device: torch.device) -> None:
    rows = example(9, 12, 3, device)
    hidden, table, targets, weight, bias = rows
    logits = (hidden @ table.T + bias) / 0.5
    for reduction in REDUCTIONS:
        options: Any = {"reduction": reduction, "label_smoothing": 0.1}
        got = results(
            reference.linear_reweighted_cross_entropy, rows, temperature=0.5, **options
        ).loss
        wanted = reference.reweighted_cross_entropy(logits, targets, weight, **options)
        torch.testing.assert_close(got, wanted)
