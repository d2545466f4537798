"""linear_reweighted_cross_entropy in autograd: gradients, kernel calls and memory."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from atjt_ext.ops import Reduction, _linear_losses
from atjt_ext.ops import linear_reweighted_cross_entropy as linear_loss
from helpers.linear_rows import assert_close, exact, example, finest, ours, results
from helpers.operators import Operators, assert_all_close, assert_all_equal
from helpers.weighted_rows import HALVES, REDUCTIONS, relative_error


def calls(operators: Operators) -> list[tuple[str, list[tuple[int, ...]]]]:
    """Calls of our operators, in short, with the shapes of their results."""
    prefix = "atjt_ext::_linear_cross_entropy"
    return [
        (name.removeprefix(prefix), shapes)
        for name, shapes in zip(operators.names, operators.shapes, strict=True)
        if name.startswith(prefix)
    ]


@pytest.mark.parametrize(
    "options",
    [{}, {"label_smoothing": 0.2}, {"z_loss": 0.1, "temperature": 0.7, "label_smoothing": 0.1}],
    ids=str,
)
@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_gradcheck_in_hidden_table_bias_and_weights(
    reduction: Reduction, options: dict[str, Any]
) -> None:
    hidden, table, targets, weight, bias = example(6, 5, 3, torch.device("cpu"))

    def loss(hidden: Tensor, table: Tensor, bias: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
        return linear_loss(
            *(hidden, table, targets, weight),
            bias=bias,
            reduction=reduction,
            return_lse=True,
            **options,
        )

    leaves = [tensor.requires_grad_() for tensor in (hidden, table, bias, weight)]
    assert torch.autograd.gradcheck(loss, leaves)


# --- only what is asked for -------------------------------------------------------------------

_WANTED = ["hidden", "table", "weight", "bias"]


@pytest.mark.parametrize("label_smoothing", [0.0, 0.1])
@pytest.mark.parametrize("frozen", _WANTED)
def test_the_others_gradients_do_not_depend_on_one_that_is_frozen(
    device: torch.device, frozen: str, label_smoothing: float
) -> None:
    rows = example(9, 20, 4, device).to(finest(device))
    wanted = ours(rows, label_smoothing=label_smoothing)._asdict()
    leaves = {name: getattr(rows, name).clone() for name in _WANTED}
    learning = [leaves[name].requires_grad_() for name in _WANTED if name != frozen]
    loss, _ = linear_loss(
        leaves["hidden"],
        leaves["table"],
        rows.targets,
        leaves["weight"],
        bias=leaves["bias"],
        label_smoothing=label_smoothing,
        return_lse=True,
    )
    grads = torch.autograd.grad(loss, learning)
    for name, grad in zip([name for name in _WANTED if name != frozen], grads, strict=True):
        assert torch.equal(grad, wanted[name])


def test_a_frozen_table_costs_no_pass_for_it(device: torch.device) -> None:
    hidden, table, targets, _, _ = example(9, 20, 4, device).to(torch.float32)
    with Operators() as operators:
        linear_loss(hidden.requires_grad_(), table, targets).backward()
    ((name, shapes),) = calls(operators)
    assert (name, shapes[3]) == ("", (9, 4))


def test_frozen_hidden_states_need_no_mean_embedding_a_frozen_bias_no_gradient(
    device: torch.device,
) -> None:
    hidden, table, targets, _, bias = example(9, 20, 4, device).to(torch.float32)
    table.requires_grad_()
    with Operators() as operators:
        linear_loss(hidden, table, targets, bias=bias, return_lse=True)[0].backward()
    (name, shapes), backward = calls(operators)
    assert (name, shapes[3]) == ("", (0, 4))
    assert backward == ("_table_gradient", [(20, 4), (0,)])


def test_without_gradients_there_is_one_pass_and_no_mean_embedding(device: torch.device) -> None:
    hidden, table, targets, weight, _ = example(9, 20, 4, device).to(torch.float32)
    with Operators() as operators, torch.no_grad():
        loss = linear_loss(hidden.requires_grad_(), table.requires_grad_(), targets, weight)
    assert not loss.requires_grad
    ((name, shapes),) = calls(operators)
    assert (name, shapes[3]) == ("", (0, 4))
    tracked = linear_loss(hidden, table, targets, weight)
    assert torch.equal(loss, tracked.detach())


def test_only_the_weights_may_want_a_gradient(device: torch.device) -> None:
    rows = example(9, 20, 4, device).to(finest(device))
    hidden, table, targets, weight, bias = rows
    loss = linear_loss(hidden, table, targets, weight.requires_grad_(), bias=bias)
    with Operators() as operators:
        loss.backward()
    assert calls(operators) == []
    torch.testing.assert_close(weight.grad, ours(rows).weight)


def test_nothing_of_the_size_of_the_logits_is_allocated() -> None:
    hidden, table, targets, weight, _ = example(256, 2000, 4, torch.device("cpu")).to(torch.float32)
    activities = [torch.profiler.ProfilerActivity.CPU]
    with torch.profiler.profile(activities=activities, profile_memory=True) as profile:
        loss, _ = linear_loss(
            *(hidden.requires_grad_(), table.requires_grad_(), targets, weight),
            label_smoothing=0.1,
            return_lse=True,
        )
        torch.autograd.grad(loss, (hidden, table))
    largest = max(event.cpu_memory_usage for event in profile.events())
    assert largest < 256 * 2000 * 4 / 8


# --- what the kernel is given -----------------------------------------------------------------


def given_to_the_table_gradient(monkeypatch: pytest.MonkeyPatch, *inputs: Tensor) -> dict[str, Any]:
    """Keyword arguments of the kernel call in a backward pass, and the loss."""
    given: dict[str, Any] = {}
    native = _linear_losses._C.linear_cross_entropy_table_gradient

    def spy(*arguments: Tensor, **named: Any) -> None:
        given.update(named)
        native(*arguments, **named)

    monkeypatch.setattr(_linear_losses._C, "linear_cross_entropy_table_gradient", spy)
    loss, _ = linear_loss(*inputs, return_lse=True)
    loss.backward()
    return {**given, "loss": loss.detach()}


def test_p_minus_one_has_all_digits_that_the_loss_has(
    device: torch.device, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = torch.zeros(10, 1, device=device)
    table[4] = 12.0  # p = 1 - 5.5e-5: in float32, p - 1 keeps three digits
    target = torch.tensor([4], device=device)
    hidden = torch.ones(1, 1, device=device)
    given = given_to_the_table_gradient(monkeypatch, hidden, table.requires_grad_(), target)
    wanted = torch.expm1(-given["loss"].double()).reshape(1)
    torch.testing.assert_close(given["target_factors"].double(), wanted, rtol=1e-6, atol=0)


@pytest.mark.parametrize("rows", [1, 50])
@pytest.mark.parametrize("dtype", HALVES)
def test_float16_factors_end_near_its_largest_number(
    device: torch.device, monkeypatch: pytest.MonkeyPatch, dtype: torch.dtype, rows: int
) -> None:
    hidden, table, targets, weight, _ = example(rows, 20, 4, device, dtype=dtype).to(dtype)
    inputs = (hidden, table.requires_grad_(), targets, weight * 1e-9)
    given = given_to_the_table_gradient(monkeypatch, *inputs)
    if dtype != torch.float16:
        assert given["unscale"] is None
        return
    counts = targets != -100
    largest = (weight[counts] * 1e-9).max() / counts.sum()  # gradient of a row's log-sum-exp
    assert 2**12 <= float(largest / given["unscale"]) < 2**13
    assert math.log2(float(given["unscale"])).is_integer()


# --- autograd ---------------------------------------------------------------------------------


@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_an_upstream_gradient_scales_all_gradients(
    device: torch.device, reduction: Reduction
) -> None:
    rows = example(9, 20, 4, device).to(finest(device))

    def scaled(*arguments: Tensor, **options: Any) -> tuple[Tensor, Tensor]:
        loss, lse = linear_loss(*arguments, **options)
        return -2.5 * loss, lse

    got, wanted = (results(loss, rows, reduction=reduction) for loss in (scaled, linear_loss))
    assert_all_close(got[2:], [-2.5 * gradient for gradient in wanted[2:]])


def test_an_upstream_gradient_with_stride_zero_is_read_right(device: torch.device) -> None:
    rows = example(6, 5, 3, device).to(finest(device))
    hidden, table, targets, weight, _ = rows
    hidden, table = hidden.requires_grad_(), table.requires_grad_()
    losses = linear_loss(hidden, table, targets, weight, reduction="none")
    upstream = torch.ones(1, dtype=losses.dtype, device=device).expand(6)
    got = torch.autograd.grad(losses, (hidden, table), upstream, retain_graph=True)
    assert_all_equal(got, torch.autograd.grad(losses.sum(), (hidden, table)))


def test_operators_read_factors_with_stride_zero_right(device: torch.device) -> None:
    hidden, table, targets, _, bias = example(6, 5, 3, device).to(torch.float32)
    targets = targets.clamp(min=0)
    ops = torch.ops.atjt_ext
    _, origins, sums, _ = ops._linear_cross_entropy(hidden, table, bias, targets, -100, 1.0, False)
    two = torch.full((1,), 2.0, device=device)
    found = [
        ops._linear_cross_entropy_table_gradient(
            *(hidden, table, bias, targets, origins, sums),
            *(factors, factors, None, 1.0, False, True),
        )
        for factors in (two.expand(6), two.repeat(6))
    ]
    assert_all_equal(*found)


def test_a_second_backward_pass_gives_the_same_bits_in_new_tensors(device: torch.device) -> None:
    hidden, table, targets, weight, _ = example(6, 50, 3, device).to(torch.float32)
    leaves = (hidden.requires_grad_(), table.requires_grad_())
    loss = linear_loss(*leaves, targets, weight)
    first = torch.autograd.grad(loss, leaves, retain_graph=True)
    kept = [grad.clone() for grad in first]
    for grad in first:
        grad.zero_()
    second = torch.autograd.grad(loss, leaves)
    assert_all_equal(second, kept)
    with pytest.raises(RuntimeError, match="backward through the graph a second time"):
        torch.autograd.grad(loss, leaves)


@pytest.mark.parametrize("changed", [0, 1])
def test_inputs_changed_before_the_backward_pass_are_noticed(
    device: torch.device, changed: int
) -> None:
    hidden, table, targets, _, _ = example(6, 5, 3, device).to(torch.float32)
    inputs = [hidden.requires_grad_() * 1, table.requires_grad_() * 1]
    loss = linear_loss(inputs[0], inputs[1], targets)
    inputs[changed].zero_()
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_a_second_derivative_is_refused(device: torch.device, reduction: Reduction) -> None:
    hidden, table, targets, weight, _ = example(6, 5, 3, device).to(torch.float32)
    hidden.requires_grad_()
    loss = linear_loss(hidden, table, targets, weight, reduction=reduction)
    with pytest.raises(RuntimeError, match=r"no second derivative.*create_graph"):
        torch.autograd.grad(loss.sum(), hidden, create_graph=True)


def test_a_tied_table_gets_both_gradients(device: torch.device) -> None:
    rows = example(6, 50, 3, device).to(finest(device))
    items = nn.Embedding(50, 3, device=device, dtype=finest(device))
    inputs = torch.arange(6, device=device)
    linear_loss(items(inputs), items.weight, rows.targets).backward()
    assert items.weight.grad is not None
    wanted = items.weight.detach().double().requires_grad_()
    logits = wanted[inputs] @ wanted.T
    torch.nn.functional.cross_entropy(logits, rows.targets).backward()
    torch.testing.assert_close(items.weight.grad.double(), wanted.grad, rtol=1e-4, atol=1e-6)


def test_under_activation_checkpointing_gradients_are_right(device: torch.device) -> None:
    hidden, table, targets, weight, _ = example(6, 5, 3, device).to(torch.float32)

    def chunk(hidden: Tensor, table: Tensor) -> Tensor:
        return linear_loss(hidden.tanh(), table, targets, weight)

    leaves = (hidden.requires_grad_(), table.requires_grad_())
    wanted = torch.autograd.grad(chunk(*leaves), leaves)
    got = torch.autograd.grad(checkpoint(chunk, *leaves, use_reentrant=False), leaves)
    assert_all_close(got, wanted)


# --- half precision in the graph around it ----------------------------------------------------


@pytest.mark.parametrize("dtype", HALVES)
def test_a_float32_table_gets_its_gradient_in_float32(
    device: torch.device, dtype: torch.dtype
) -> None:
    rows = example(33, 40, 8, device, dtype=dtype)
    hidden, _, targets, weight, bias = rows.to(dtype)
    table = (rows.table.float() + 1e-5).requires_grad_()  # exact in float32 only
    hidden.requires_grad_()
    loss = linear_loss(hidden, table, targets, weight, bias=bias)
    grads = torch.autograd.grad(loss, (hidden, table))
    assert [grad.dtype for grad in grads] == [dtype, torch.float32]
    rounded = rows._replace(table=table.detach().to(dtype).double()).to(dtype)
    wanted = exact(rounded)
    assert relative_error(loss.detach(), wanted.loss) < 1e-6
    assert relative_error(grads[0], wanted.hidden) < torch.finfo(dtype).eps
    assert relative_error(grads[1], wanted.table) < torch.finfo(dtype).eps
    # The gradient has more digits than the half type.
    assert not torch.equal(grads[1], grads[1].to(dtype).float())


def test_the_rounded_table_is_made_once_for_both_passes(device: torch.device) -> None:
    hidden, _, targets, _, _ = example(9, 40, 8, device).to(torch.bfloat16)
    table = torch.randn(40, 8, device=device).requires_grad_()
    with Operators() as operators:
        linear_loss(hidden.requires_grad_(), table, targets).backward()
    casts = [
        dtypes
        for name, shapes, dtypes in zip(
            operators.names, operators.shapes, operators.dtypes, strict=True
        )
        if name == "aten::_to_copy" and shapes == [(40, 8)]
    ]
    assert casts.count([torch.bfloat16]) == 1


@pytest.mark.parametrize("dtype", HALVES)
def test_under_autocast_it_computes_as_with_operands_that_were_cast(
    device: torch.device, dtype: torch.dtype
) -> None:
    rows = example(9, 40, 8, device, dtype=dtype)
    hidden, table, targets, weight, bias = rows.to(torch.float32)
    hidden.requires_grad_()
    table.requires_grad_()
    for label_smoothing in (0.0, 0.1):
        with torch.autocast(device.type, dtype=dtype):
            loss = linear_loss(
                hidden, table, targets, weight, bias=bias, label_smoothing=label_smoothing
            )
        grads = torch.autograd.grad(loss, (hidden, table))
        wanted = ours(rows.to(dtype), label_smoothing=label_smoothing)
        assert torch.equal(loss.detach(), wanted.loss)
        assert [grad.dtype for grad in grads] == [torch.float32] * 2
        assert torch.equal(grads[0], wanted.hidden.float())
        assert torch.equal(grads[1].to(dtype), wanted.table)
        assert not torch.equal(grads[1].to(dtype).float(), grads[1])  # it was never rounded


def test_under_autocast_mixed_operands_are_accepted(device: torch.device) -> None:
    rows = example(9, 40, 8, device, dtype=torch.bfloat16)
    hidden, table, targets, _, _ = rows.to(torch.float32)
    with torch.autocast(device.type, dtype=torch.bfloat16):
        wanted = linear_loss(hidden, table, targets)
        for other in (hidden.bfloat16(), table.bfloat16()):
            arguments = (other, table) if other.shape == hidden.shape else (hidden, other)
            assert torch.equal(linear_loss(*arguments, targets), wanted)


def test_under_autocast_float64_stays_float64() -> None:
    rows = example(9, 40, 8, torch.device("cpu"))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert_close(
            ours(rows, label_smoothing=0.1), exact(rows, label_smoothing=0.1), rows[0].dtype
        )
