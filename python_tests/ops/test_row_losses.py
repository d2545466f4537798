"""What holds for both losses with one weight per row: weights, autograd, overwriting, tracing."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode

from atjt_ext.ops import Reduction
from helpers.operators import COMPILES, arithmetic, assert_all_close, assert_all_equal, compiled
from helpers.weighted_rows import BOTH, DTYPES, LOSSES, REDUCTIONS, gradients

EACH_REDUCTION = pytest.mark.parametrize("reduction", REDUCTIONS)
SMOOTHED = pytest.mark.parametrize("label_smoothing", [0.0, 0.2])


@EACH_REDUCTION
@BOTH
def test_no_weights_are_weights_of_one_to_the_bit(
    device: torch.device, name: str, reduction: Reduction
) -> None:
    function, _, example = LOSSES[name]
    logits, targets, weight = example(20, 30, device)
    assert torch.equal(
        function(logits, targets, reduction=reduction),
        function(logits, targets, torch.ones_like(weight), reduction=reduction),
    )


@SMOOTHED
@pytest.mark.parametrize("classes", [1, 3, 9, 40])
@BOTH
def test_an_integer_weight_is_a_repeated_row(
    device: torch.device, name: str, classes: int, label_smoothing: float
) -> None:
    function, _, example = LOSSES[name]
    logits, targets, _ = example(12, classes, device)
    weight = torch.arange(12, device=device) % 4  # 0: the row is dropped
    options = {"label_smoothing": label_smoothing}
    got = gradients(
        function, logits, targets, weight.double(), reduction="weighted_mean", **options
    )
    rows = torch.arange(12, device=device).repeat_interleave(weight)
    repeated = logits[rows].requires_grad_()
    wanted = function(repeated, targets[rows], **options)
    torch.testing.assert_close(got[0], wanted.detach())
    (grads,) = torch.autograd.grad(wanted, repeated)
    torch.testing.assert_close(got[1], torch.zeros_like(logits).index_add_(0, rows, grads))
    torch.testing.assert_close((weight * got[2]).sum(), torch.zeros_like(got[0]))


@pytest.mark.parametrize(
    ("name", "rows", "classes", "part"), [("softmax", 12, 50, 5), ("binary", 1200, 3, 500)]
)
def test_the_loss_of_a_batch_is_that_of_its_parts(
    device: torch.device, name: str, rows: int, classes: int, part: int
) -> None:
    function, _, example = LOSSES[name]
    arguments = example(rows, classes, device)
    whole = gradients(function, *arguments, reduction="sum")
    parts = [
        gradients(function, *each, reduction="sum")
        for each in zip(*(tensor.split(part) for tensor in arguments), strict=True)
    ]
    torch.testing.assert_close(whole[0], sum(one[0] for one in parts))
    # The batch does not change a row's bits.
    assert torch.equal(whole[1], torch.cat([one[1] for one in parts]))
    if name == "softmax":
        assert torch.equal(whole[2], torch.cat([one[2] for one in parts]))


@SMOOTHED
@EACH_REDUCTION
@pytest.mark.parametrize(
    ("name", "rows", "classes"),
    [("softmax", 6, 5), ("binary", 6, None), ("binary", 4, 3), ("binary", 2, 40)],
)
def test_gradcheck_in_logits_and_weights(
    device: torch.device,
    name: str,
    rows: int,
    classes: int | None,
    reduction: Reduction,
    label_smoothing: float,
) -> None:
    function, _, example = LOSSES[name]
    logits, targets, weight = example(rows, classes, device)

    def loss(logits: Tensor, weight: Tensor) -> Tensor:
        return function(
            logits, targets, weight, reduction=reduction, label_smoothing=label_smoothing
        )

    assert torch.autograd.gradcheck(loss, (logits.requires_grad_(), weight.requires_grad_()))


@pytest.mark.parametrize("dtype", DTYPES)
@EACH_REDUCTION
@BOTH
def test_the_loss_is_the_same_without_gradients(
    device: torch.device, name: str, reduction: Reduction, dtype: torch.dtype
) -> None:
    function, _, example = LOSSES[name]
    logits, targets, weight = example(50, 77, device)
    logits = logits.to(dtype)
    plain = function(logits, targets, weight, reduction=reduction)
    tracked = function(logits.requires_grad_(), targets, weight, reduction=reduction)
    with torch.no_grad():
        untracked = function(logits, targets, weight, reduction=reduction)
    assert torch.equal(plain, tracked)
    assert torch.equal(plain, untracked)
    assert not untracked.requires_grad


@pytest.mark.parametrize("in_place", [False, True])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("reduction", ["sum", "mean", "weighted_mean"])
@pytest.mark.parametrize(("name", "rows", "classes"), [("softmax", 7, 37), ("binary", 31, 3)])
def test_an_upstream_gradient_scales_the_gradient(
    device: torch.device,
    name: str,
    rows: int,
    classes: int,
    reduction: Reduction,
    dtype: torch.dtype,
    in_place: bool,
) -> None:
    # 7 * 37 elements are no multiple of a vector, and the last elements are in a row that counts.
    function, reference, example = LOSSES[name]
    logits, targets, weight = example(rows, classes, device, dtype=dtype)
    logits, weight = logits.to(dtype).requires_grad_(), weight.requires_grad_()
    loss = function(logits * 1, targets, weight, reduction=reduction, inplace_gradient=in_place)
    wanted = gradients(reference, logits.double(), targets, weight, reduction=reduction)
    grads = torch.autograd.grad(-2.5 * loss, (logits, weight))
    units = 1 if name == "softmax" else 2
    tolerance: dict[str, float] = {"rtol": units * torch.finfo(dtype).eps, "atol": 1e-6}
    if dtype == torch.float64:
        tolerance = {"rtol": 1e-12, "atol": 1e-12}
    torch.testing.assert_close(grads[0].double(), -2.5 * wanted[1], **tolerance)
    torch.testing.assert_close(grads[1], -2.5 * wanted[2], rtol=1e-5, atol=1e-6)


@EACH_REDUCTION
@BOTH
def test_a_second_derivative_is_refused(
    device: torch.device, name: str, reduction: Reduction
) -> None:
    function, _, example = LOSSES[name]
    logits, targets, weight = example(6, 5, device)
    loss = function(logits.requires_grad_(), targets, weight, reduction=reduction).sum()
    message = rf"{function.__name__} has no second derivative.*create_graph"
    with pytest.raises(RuntimeError, match=message):
        torch.autograd.grad(loss, logits, create_graph=True)


@pytest.mark.parametrize("view", [False, True])
@BOTH
def test_a_leaf_is_never_overwritten(device: torch.device, name: str, view: bool) -> None:
    function, _, example = LOSSES[name]
    logits, targets, _ = example(6, 5, device)
    leaf = nn.Parameter(logits.view(2, 3, 5) if view else logits)
    with pytest.raises(ValueError, match="would overwrite the values of a leaf"):
        function(leaf.view(6, 5) if view else leaf, targets, inplace_gradient=True)


@BOTH
def test_logits_must_be_contiguous_to_be_overwritten(device: torch.device, name: str) -> None:
    function, _, example = LOSSES[name]
    logits, targets, _ = example(5, 5, device)
    with pytest.raises(ValueError, match=r"contiguous logits, got strides \(1, 5\)"):
        function(logits.t(), targets, inplace_gradient=True)


@BOTH
def test_inputs_are_not_written_and_may_have_any_strides(device: torch.device, name: str) -> None:
    function, _, example = LOSSES[name]
    logits, targets, weight = example(24, 40, device)
    before = [tensor.clone() for tensor in (logits, targets, weight)]
    of_views = targets[::2] % 20 if name == "softmax" else targets[::2, ::2]
    views = (logits.t()[::2].t()[::2], of_views, weight[::2])
    wanted = gradients(function, *(view.contiguous() for view in views))
    assert_all_equal(gradients(function, *views), wanted)
    assert_all_equal((logits, targets, weight), before)


@COMPILES
@pytest.mark.parametrize(
    ("backend", "reduction"),
    [("inductor", "weighted_mean"), *(("aot_eager", reduction) for reduction in REDUCTIONS)],
)
@BOTH
def test_they_compile_without_a_graph_break(
    device: torch.device, name: str, reduction: Reduction, backend: str
) -> None:
    function, _, example = LOSSES[name]
    arguments = example(6, 50, device)
    traced = compiled(function, backend)
    options: Any = {"reduction": reduction, "label_smoothing": 0.1}
    wanted = gradients(function, *arguments, **options)
    for inplace_gradient in (False, True):
        got = gradients(traced, *arguments, inplace_gradient=inplace_gradient, **options)
        assert_all_close(got, wanted)


@COMPILES
@EACH_REDUCTION
@BOTH
def test_they_compile_for_logits_without_a_gradient(
    device: torch.device, name: str, reduction: Reduction
) -> None:
    function, _, example = LOSSES[name]
    arguments = example(6, 50, device)
    traced = compiled(function, "eager")(*arguments, reduction=reduction)
    torch.testing.assert_close(traced, function(*arguments, reduction=reduction))


@pytest.mark.parametrize("inplace_gradient", [False, True])
@pytest.mark.parametrize("dtype", DTYPES)
@EACH_REDUCTION
@BOTH
def test_fake_tensors_go_through_both_passes(
    name: str, reduction: Reduction, dtype: torch.dtype, inplace_gradient: bool
) -> None:
    options: Any = {"reduction": reduction, "inplace_gradient": inplace_gradient}
    with FakeTensorMode():
        leaf = torch.randn(6, 50).to(dtype).requires_grad_()
        targets = torch.zeros(6).long() if name == "softmax" else torch.zeros(6, 50).bool()
        weight = torch.rand(6).requires_grad_()
        loss = LOSSES[name][0](leaf * 1, targets, weight, **options)
        shape = (6,) if name == "softmax" else (6, 50)
        assert loss.shape == (shape if reduction == "none" else ())
        assert loss.dtype == arithmetic(dtype)
        loss.sum().backward()
        assert leaf.grad is not None
        assert (leaf.grad.shape, leaf.grad.dtype) == ((6, 50), dtype)
        assert weight.grad is not None
