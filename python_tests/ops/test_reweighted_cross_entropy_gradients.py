"""reweighted_cross_entropy in autograd: gradients, overwritten logits and memory."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from atjt_ext.ops import Reduction, reference
from atjt_ext.ops import reweighted_cross_entropy as cross_entropy
from helpers.operators import Operators
from helpers.weighted_rows import DTYPES, HALVES, REDUCTIONS, by_definition, example, ours


@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_only_the_weights_may_want_a_gradient(device: torch.device, reduction: Reduction) -> None:
    logits, targets, weight = example(6, 5, device)
    weight.requires_grad_()
    loss = cross_entropy(logits, targets, weight, reduction=reduction, inplace_gradient=True)
    before = logits.clone()
    loss.sum().backward()
    wanted = by_definition(logits, targets, weight, reduction=reduction)[2]
    torch.testing.assert_close(weight.grad, wanted)
    assert torch.equal(logits, before)


def test_an_upstream_gradient_with_stride_zero_is_read_right(device: torch.device) -> None:
    logits, targets, weight = example(6, 5, device)
    logits.requires_grad_()
    losses = cross_entropy(logits, targets, weight, reduction="none")
    upstream = torch.ones(1, dtype=losses.dtype, device=device).expand(6)
    (grad,) = torch.autograd.grad(losses, logits, upstream)
    torch.testing.assert_close(grad, ours(logits, targets, weight, reduction="sum")[1])


def test_operators_read_a_row_scale_with_stride_zero_right(device: torch.device) -> None:
    logits, targets, _ = example(6, 5, device)
    scale = torch.tensor([2.5], dtype=torch.float64, device=device)
    ops = torch.ops.atjt_ext
    wanted = ops._reweighted_cross_entropy_with_gradient(
        logits, targets, scale.repeat(6), -100, 0.0
    )[1]
    assert wanted[4].any()
    expanded = (targets, scale.expand(6), -100, 0.0)
    assert torch.equal(ops._reweighted_cross_entropy_with_gradient(logits, *expanded)[1], wanted)
    ops._reweighted_cross_entropy_gradient_(logits, *expanded)
    assert torch.equal(logits, wanted)


def test_a_loss_scaled_up_saves_float16_gradients_from_underflow(device: torch.device) -> None:
    # p / N is 1e-9: too small for float16, unlike 2^16 times p / N.
    logits = torch.zeros(1, 10_000, dtype=torch.float16, device=device).requires_grad_()
    loss = cross_entropy(logits, torch.tensor([0], device=device), reduction="sum")
    (grad,) = torch.autograd.grad(loss * (65_536 * 1e-5), logits)
    wanted = torch.full((9_999,), 65_536 * 1e-9, dtype=torch.float64, device=device)
    torch.testing.assert_close(grad[0, 1:].double(), wanted, rtol=1e-3, atol=0)


def test_a_second_backward_pass_gives_the_same_bits_in_a_new_tensor(device: torch.device) -> None:
    logits, targets, weight = example(6, 500, device)
    logits = logits.float().requires_grad_()
    loss = cross_entropy(logits, targets, weight.float())
    (first,) = torch.autograd.grad(loss, logits, retain_graph=True)
    kept = first.clone()
    first.zero_()
    (second,) = torch.autograd.grad(loss, logits)
    assert torch.equal(second, kept)
    with pytest.raises(RuntimeError, match="backward through the graph a second time"):
        torch.autograd.grad(loss, logits)


@pytest.mark.parametrize("in_place", [False, True])
def test_logits_changed_before_the_backward_pass_are_noticed(
    device: torch.device, in_place: bool
) -> None:
    logits, targets, _ = example(6, 5, device)
    leaf = logits.clone().requires_grad_()
    scores = leaf * 1.0
    loss = cross_entropy(scores, targets, inplace_gradient=in_place)
    scores.zero_()
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


# --- the gradient written over the logits ------------------------------------------------------


@pytest.mark.parametrize("label_smoothing", [0.0, 0.1])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_a_gradient_in_place_is_the_gradient(
    device: torch.device, reduction: Reduction, dtype: torch.dtype, label_smoothing: float
) -> None:
    inputs, targets, weight = example(6, 333, device, dtype=dtype)
    inputs = inputs.to(dtype)
    options: Any = {"reduction": reduction, "label_smoothing": label_smoothing}
    results = []
    for in_place in (False, True):
        leaf, leaf_weight = inputs.clone().requires_grad_(), weight.clone().requires_grad_()
        logits = leaf * 1
        loss = cross_entropy(logits, targets, leaf_weight, inplace_gradient=in_place, **options)
        grads = torch.autograd.grad(loss.sum(), (logits, leaf_weight))
        assert (grads[0].data_ptr() == logits.data_ptr()) == in_place
        results.append((loss.detach(), *grads))
    assert torch.equal(results[0][0], results[1][0])
    assert torch.equal(results[0][2], results[1][2])
    # One gradient is scaled after rounding, the other before.
    torch.testing.assert_close(
        results[1][1], results[0][1], rtol=2 * torch.finfo(dtype).eps, atol=1e-7
    )


def test_rows_of_several_tiles_are_overwritten_right(device: torch.device) -> None:
    inputs, targets, weight = example(3, 60_001, device)
    wanted = ours(inputs.float(), targets, weight.float())[1]
    logits = inputs.float().requires_grad_() * 1
    loss = cross_entropy(logits, targets, weight, inplace_gradient=True)
    (got,) = torch.autograd.grad(loss, logits)
    torch.testing.assert_close(got, wanted, rtol=1e-6, atol=1e-9)


def test_a_model_learns_the_same_with_the_gradient_in_place(device: torch.device) -> None:
    inputs, targets, weight = example(6, 8, device)
    grads = []
    for in_place in (False, True):
        torch.manual_seed(0)
        model = nn.Linear(8, 11).to(device).double()
        loss = cross_entropy(
            model(inputs), targets, weight, inplace_gradient=in_place, reduction="sum"
        )
        loss.backward()
        grads.append(model.weight.grad)
    torch.testing.assert_close(grads[0], grads[1])


def test_whoever_needs_overwritten_logits_fails_loudly(device: torch.device) -> None:
    inputs, targets, _ = example(6, 5, device)
    for other in (torch.square, torch.tanh):
        logits = inputs.clone().requires_grad_() * 1
        kept = other(logits).sum()
        cross_entropy(logits, targets, inplace_gradient=True).backward(retain_graph=True)
        if other is torch.tanh:  # keeps its result, not the logits
            kept.backward()
            continue
        with pytest.raises(RuntimeError, match="modified by an inplace operation"):
            kept.backward()


def test_logits_that_their_maker_keeps_are_not_taken_for_his(device: torch.device) -> None:
    inputs, targets, _ = example(6, 5, device)
    logits = inputs.clone().requires_grad_().tanh()  # tanh's backward pass reads its result
    loss = cross_entropy(logits, targets, inplace_gradient=True)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


def test_a_second_pass_over_overwritten_logits_fails_loudly(device: torch.device) -> None:
    inputs, targets, _ = example(6, 5, device)
    logits = inputs.clone().requires_grad_() * 1
    loss = cross_entropy(logits, targets, inplace_gradient=True)
    torch.autograd.grad(loss, logits, retain_graph=True)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        torch.autograd.grad(loss, logits)


@pytest.mark.parametrize("inplace_gradient", [False, True])
def test_under_activation_checkpointing_gradients_are_right_and_computed_once(
    device: torch.device, inplace_gradient: bool
) -> None:
    inputs, targets, weight = example(6, 5, device)

    def chunk(inputs: Tensor) -> Tensor:
        logits = inputs.tanh()  # its backward pass reads its result, which could be overwritten
        return cross_entropy(
            logits, targets, weight, reduction="sum", inplace_gradient=inplace_gradient
        )

    wanted = inputs.clone().requires_grad_()
    reference.reweighted_cross_entropy(wanted.tanh(), targets, weight, reduction="sum").backward()
    leaf = inputs.clone().requires_grad_()
    loss = checkpoint(chunk, leaf, use_reentrant=False)
    with Operators() as operators:
        loss.backward()
    torch.testing.assert_close(leaf.grad, wanted.grad)
    assert operators.names.count("atjt_ext::_reweighted_cross_entropy_with_gradient") == 1


def test_hooked_saves_are_never_overwritten(device: torch.device) -> None:
    inputs, targets, _ = example(6, 5, device)
    wanted = inputs.clone().requires_grad_()
    cross_entropy(wanted.tanh(), targets).backward()
    leaf = inputs.clone().requires_grad_()
    with torch.autograd.graph.saved_tensors_hooks(lambda saved: saved, lambda saved: saved):
        loss = cross_entropy(leaf.tanh(), targets, inplace_gradient=True)
    loss.backward()
    torch.testing.assert_close(leaf.grad, wanted.grad)


def test_other_losses_of_the_same_logits_add_up(device: torch.device) -> None:
    inputs, targets, _ = example(6, 5, device)
    leaf = inputs.clone().requires_grad_()
    logits = leaf * 1
    # sum() needs no logits in its backward pass, so it may come before or after.
    loss = cross_entropy(logits, targets, inplace_gradient=True, reduction="sum")
    (loss + 3 * logits.sum()).backward()
    wanted = ours(inputs, targets, torch.ones_like(inputs[:, 0]), reduction="sum")[1]
    torch.testing.assert_close(leaf.grad, wanted + 3)


def test_nothing_is_overwritten_where_no_gradient_is_wanted(device: torch.device) -> None:
    logits, targets, _ = example(6, 5, device)
    before = logits.clone()
    cross_entropy(logits, targets, inplace_gradient=True)
    with torch.no_grad():
        parameter = nn.Parameter(logits)
        cross_entropy(parameter, targets, inplace_gradient=True)
    assert torch.equal(logits, before)


def test_no_second_tensor_of_the_size_of_the_logits_is_allocated() -> None:
    inputs, targets, _ = example(64, 5000, torch.device("cpu"))
    logits = inputs.float().requires_grad_() * 1
    activities = [torch.profiler.ProfilerActivity.CPU]
    with torch.profiler.profile(activities=activities, profile_memory=True) as profile:
        loss = cross_entropy(logits, targets, inplace_gradient=True)
        torch.autograd.grad(loss, logits)
    largest = max(event.cpu_memory_usage for event in profile.events())
    assert largest < logits.numel() * 4 / 2


# --- half precision in the graph around it -----------------------------------------------------


@pytest.mark.parametrize("dtype", HALVES)
def test_under_autocast_the_loss_is_float32_and_the_gradient_arrives(
    device: torch.device, dtype: torch.dtype
) -> None:
    inputs, targets, weight = example(6, 8, device)
    model = nn.Linear(8, 30).to(device)
    with torch.autocast(device.type, dtype=dtype):
        logits = model(inputs.float())
        loss = cross_entropy(logits, targets, weight)
        wanted = (F.cross_entropy(logits, targets, reduction="none") * weight).sum() / 4
    assert logits.dtype == dtype
    assert loss.dtype == torch.float32
    loss.backward()
    assert model.weight.grad is not None
    assert model.weight.grad.dtype == torch.float32
    assert model.weight.grad.any()
    torch.testing.assert_close(loss.double(), wanted.double(), rtol=1e-2, atol=0)
