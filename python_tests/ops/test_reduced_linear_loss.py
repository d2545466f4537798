"""The reduced loss over a catalogue whose forward pass writes all gradients, chunk by chunk."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from atjt_ext.ops import _reduced_linear_loss as reduced
from atjt_ext.ops import linear_reweighted_cross_entropy as linear_loss
from atjt_ext.ops import reference
from helpers.linear_rows import OPTIONS, ROUNDED, Rows, example
from helpers.operators import COMPILES, Operators, arithmetic, assert_all_equal, compiled

NAME = "atjt_ext::_linear_reweighted_cross_entropy_with_gradients"
LEAVES = ("hidden", "table", "weight", "bias")


def chunks_of(monkeypatch: pytest.MonkeyPatch, rows: int, classes: int, itemsize: int) -> None:
    monkeypatch.setattr(reduced, "_CHUNK_BYTES", rows * classes * itemsize)
    monkeypatch.setattr(reduced, "_FEWEST_ROWS", 1)


def gradients(rows: Rows, function: Callable[..., Tensor] = linear_loss, **options: Any) -> Any:
    """The loss, and its gradients in LEAVES."""
    leaves = {name: getattr(rows, name).detach().clone().requires_grad_() for name in LEAVES}
    hidden, table, weight, bias = leaves.values()
    loss = function(hidden, table, rows.targets, weight, bias=bias, **options)
    return loss.detach(), *torch.autograd.grad(loss, [*leaves.values()])


def in_two_passes(hidden: Tensor, table: Tensor, *arguments: Any, **options: Any) -> Tensor:
    return linear_loss(hidden, table, *arguments, return_lse=True, **options)[0]


def assert_near(got: Any, wanted: Any, dtype: torch.dtype) -> None:
    for name, one, other in zip(("loss", *LEAVES), got, wanted, strict=True):
        assert one.dtype == (arithmetic(dtype) if name in ("loss", "weight", "bias") else dtype)
        error = (one.double() - other.double()).norm() / other.double().norm().clamp(min=1e-30)
        assert error <= ROUNDED[dtype], f"{name}: {error:.2g}"


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("reduction", ["sum", "mean", "weighted_mean"])
@pytest.mark.parametrize(
    ("rows", "classes", "width"), [(5, 2, 1), (9, 300, 4), (300, 129, 65), (130, 513, 24)]
)
def test_gradients_are_those_of_the_definition(
    monkeypatch: pytest.MonkeyPatch,
    isa: str,
    rows: int,
    classes: int,
    width: int,
    reduction: str,
    options: dict[str, Any],
) -> None:
    of = example(rows, classes, width, torch.device("cpu"))
    options = {"reduction": reduction, **options}
    wanted = gradients(of, reference.linear_reweighted_cross_entropy, **options)
    for dtype in (torch.float32, torch.float64, torch.bfloat16, torch.float16):
        chunks_of(monkeypatch, 100, classes, arithmetic(dtype).itemsize)
        rounded = example(rows, classes, width, torch.device("cpu"), dtype=dtype)
        if dtype.itemsize == 2:
            wanted = gradients(rounded, reference.linear_reweighted_cross_entropy, **options)
        assert_near(gradients(rounded.to(dtype), **options), wanted, dtype)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_chunks_change_no_more_than_the_last_digits(
    monkeypatch: pytest.MonkeyPatch, dtype: torch.dtype
) -> None:
    rows = example(500, 200, 16, torch.device("cpu"), dtype=dtype).to(dtype)
    whole = gradients(rows)
    chunks_of(monkeypatch, 60, 200, arithmetic(dtype).itemsize)
    for got, wanted in zip(gradients(rows), whole, strict=True):
        torch.testing.assert_close(got, wanted)


def test_results_do_not_depend_on_the_number_of_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = example(700, 900, 24, torch.device("cpu")).to(torch.float32)
    chunks_of(monkeypatch, 200, 900, 4)
    found = []
    for threads in (1, 2, 3):
        monkeypatch.setattr(torch, "get_num_threads", lambda threads=threads: threads)
        found.append(gradients(rows, label_smoothing=0.1))
    for other in found[1:]:
        assert_all_equal(other, found[0])


# ---- numbers that are not finite ----------------------------------------------------------------


def test_a_row_of_weight_0_adds_nothing_whatever_it_holds() -> None:
    rows = example(20, 30, 8, torch.device("cpu")).to(torch.float32)
    rows.weight[2] = 0
    clean = gradients(rows, reduction="sum")
    rows.hidden[2] = math.nan
    loss, hidden, table, weight, bias = gradients(rows, reduction="sum")
    assert_all_equal((loss, table, bias), (clean[0], clean[2], clean[4]))
    assert hidden[2].eq(0).all()
    assert weight[2] == 0


def test_the_weight_of_a_row_of_weight_0_gets_its_loss_as_gradient() -> None:
    rows = example(20, 30, 8, torch.device("cpu")).to(torch.float64)
    rows.weight[2] = 0
    weight = gradients(rows, reduction="sum", label_smoothing=0.1, z_loss=0.1)[3]
    losses = linear_loss(
        *(rows.hidden, rows.table, rows.targets),
        bias=rows.bias,
        reduction="none",
        label_smoothing=0.1,
        z_loss=0.1,
    )
    torch.testing.assert_close(weight, losses)


def test_an_upstream_gradient_of_0_silences_a_row_of_nan() -> None:
    rows = example(20, 30, 8, torch.device("cpu")).to(torch.float32)
    rows.hidden[2] = math.nan
    found = gradients(rows, lambda *inputs, **options: linear_loss(*inputs, **options).nan_to_num())
    for name, gradient in zip(LEAVES, found[1:], strict=True):
        assert gradient.eq(0).all() or name == "weight"  # the gradient of a weight is the loss


@pytest.mark.parametrize("weight", [0.0, 1.0])
@pytest.mark.parametrize("weight_learns", [False, True])
def test_a_target_out_of_range_is_refused(weight: float, weight_learns: bool) -> None:
    hidden, table = torch.randn(4, 8), torch.randn(10, 8, requires_grad=True)
    weights = torch.tensor([1.0, 1.0, weight, 1.0], requires_grad=weight_learns)
    with pytest.raises(IndexError, match=r"targets must be in \[0, 10\), got 99"):
        linear_loss(hidden, table, torch.tensor([1, 2, 99, 3]), weights)


def test_a_row_of_nan_makes_its_gradient_nan_and_the_tables() -> None:
    rows = example(20, 30, 8, torch.device("cpu")).to(torch.float32)
    rows.hidden[2] = math.nan
    loss, hidden, table, _, bias = gradients(rows)
    assert loss.isnan()
    assert hidden.isnan().any(1).nonzero().flatten().tolist() == [2]
    assert table.isnan().all()
    assert bias.isnan().all()


def test_an_item_that_no_row_can_choose_gets_no_gradient(isa: str) -> None:
    rows = example(21, 30, 8, torch.device("cpu")).to(torch.float32)
    rows.targets[rows.targets == 7] = 8
    rows.bias[7] = -math.inf
    _, hidden, table, _, bias = gradients(rows)
    assert hidden.isfinite().all()
    assert table[7].eq(0).all()
    assert bias[7] == 0
    assert bias.isfinite().all()


def test_an_infinite_item_far_from_all_rows_gets_no_gradient(isa: str) -> None:
    rows = example(21, 30, 2, torch.device("cpu")).to(torch.float32)
    rows.targets[rows.targets == 7] = 8
    rows.hidden.abs_()
    rows.table[7] = -math.inf
    leaves = rows.table.requires_grad_()
    (table,) = torch.autograd.grad(linear_loss(rows.hidden, leaves, rows.targets), leaves)
    assert table[7].eq(0).all()
    assert table.isfinite().all()


@pytest.mark.parametrize("targets", [[-100, -100], []])
def test_without_a_row_that_counts_all_gradients_are_0(targets: list[int]) -> None:
    hidden = torch.randn(len(targets), 4, requires_grad=True)
    table = torch.randn(5, 4, requires_grad=True)
    loss = linear_loss(hidden, table, torch.tensor(targets, dtype=torch.int64))
    loss.backward()
    assert loss == 0
    assert hidden.grad is not None
    assert hidden.grad.eq(0).all()
    assert table.grad is not None
    assert table.grad.eq(0).all()


# ---- autograd -----------------------------------------------------------------------------------


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("reduction", ["sum", "mean", "weighted_mean"])
def test_gradcheck(reduction: str, options: dict[str, Any]) -> None:
    rows = example(6, 5, 3, torch.device("cpu"))

    def loss(hidden: Tensor, table: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        return linear_loss(
            hidden, table, rows.targets, weight, bias=bias, reduction=reduction, **options
        )

    leaves = [getattr(rows, name).requires_grad_() for name in LEAVES]
    assert torch.autograd.gradcheck(loss, leaves)


@pytest.mark.parametrize("learns", LEAVES)
def test_one_gradient_alone_is_that_of_all(learns: str) -> None:
    rows = example(9, 20, 4, torch.device("cpu")).to(torch.float32)
    wanted = dict(zip(LEAVES, gradients(rows)[1:], strict=True))
    leaves = {name: getattr(rows, name).clone() for name in LEAVES}
    hidden, table, weight, bias = leaves.values()
    leaves[learns].requires_grad_()
    loss = linear_loss(hidden, table, rows.targets, weight, bias=bias)
    (got,) = torch.autograd.grad(loss, leaves[learns])
    torch.testing.assert_close(got, wanted[learns])


def test_a_gradient_of_float16_is_rounded_after_the_upstream_factor() -> None:
    rows = example(9, 20, 4, torch.device("cpu"), dtype=torch.float16).to(torch.float16)
    hidden, table = rows.hidden.requires_grad_(), rows.table.requires_grad_()
    loss = linear_loss(hidden, table, rows.targets, rows.weight * 2**-30, reduction="sum")
    small = torch.autograd.grad(loss * 2.0**30, (hidden, table))
    loss = linear_loss(hidden, table, rows.targets, rows.weight, reduction="sum")
    assert_all_equal(small, torch.autograd.grad(loss, (hidden, table)))


def test_the_operator_is_registered_correctly() -> None:
    rows = example(6, 5, 3, torch.device("cpu")).to(torch.float32)
    operator = torch.ops.atjt_ext._linear_reweighted_cross_entropy_with_gradients.default
    for wanted in (False, True):
        arguments = (rows.hidden, rows.table, rows.bias, rows.targets, rows.weight, -100, 0.5)
        torch.library.opcheck(operator, (*arguments, 0.1, 0.1, wanted, wanted, wanted))


# ---- which route --------------------------------------------------------------------------------


def route(rows: Rows, *, learns: tuple[str, ...] = ("hidden", "table"), **options: Any) -> bool:
    """Whether the forward pass wrote the gradients."""
    for name in learns:
        getattr(rows, name).requires_grad_()
    with Operators() as operators:
        linear_loss(
            *(rows.hidden, rows.table, rows.targets, rows.weight), bias=rows.bias, **options
        )
    return NAME in operators.names


def test_the_forward_pass_writes_gradients_where_the_table_learns() -> None:
    def rows() -> Rows:
        return example(9, 20, 4, torch.device("cpu")).to(torch.float32)

    assert route(rows())
    assert route(rows(), learns=("bias",))
    assert not route(rows(), learns=("hidden",))
    assert not route(rows(), learns=())
    assert not route(rows(), reduction="none")
    assert not route(rows(), return_lse=True)
    with torch.no_grad():
        assert not route(rows())
    with torch.autograd.graph.save_on_cpu():
        assert not route(rows())


@COMPILES
def test_compiled_it_takes_two_passes_without_a_graph_break() -> None:
    rows = example(9, 20, 4, torch.device("cpu")).to(torch.float32)
    traced = compiled(linear_loss)
    for got, wanted in zip(gradients(rows, traced), gradients(rows), strict=True):
        torch.testing.assert_close(got, wanted)


def test_a_catalogue_of_which_few_rows_fit_into_a_chunk_takes_two_passes() -> None:
    most = reduced._CHUNK_BYTES // 4 // reduced._FEWEST_ROWS
    assert reduced.rows_of_chunk(most, torch.float32) >= reduced._FEWEST_ROWS - 48
    assert reduced.rows_of_chunk(most + 1, torch.float32) == 0
    rows = example(2, most + 1, 1, torch.device("cpu")).to(torch.float32)
    assert not route(rows)


def test_a_chunk_never_needs_more_memory_than_promised() -> None:
    """16 MiB, whatever the batch: here of 64 MiB of exponentials."""
    hidden, table, targets, _, _ = example(4096, 4096, 4, torch.device("cpu")).to(torch.float32)
    activities = [torch.profiler.ProfilerActivity.CPU]
    with torch.profiler.profile(activities=activities, profile_memory=True) as profile:
        loss = linear_loss(hidden.requires_grad_(), table.requires_grad_(), targets)
        torch.autograd.grad(loss, (hidden, table))
    assert max(event.cpu_memory_usage for event in profile.events()) <= 1 << 24
