"""reweighted_binary_cross_entropy: overwriting, edges, compilation and refusals."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode

from atjt_ext.ops import Reduction, reweighted_binary_cross_entropy
from helpers.binary_rows import INF, NAN, example, single
from helpers.weighted_rows import DTYPES, REDUCTIONS, gradients


@pytest.mark.parametrize("soft", [False, True])
@pytest.mark.parametrize("shape", [(2100,), (350, 3), (70, 33), (3, 2500)])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_a_gradient_in_place_is_the_gradient(
    device: torch.device,
    reduction: Reduction,
    dtype: torch.dtype,
    shape: tuple[int, ...],
    soft: bool,
) -> None:
    inputs, targets, weight = example(shape, device, dtype=dtype, soft=soft)
    inputs = inputs.to(dtype)
    results = []
    for in_place in (False, True):
        leaf, leaf_weight = inputs.clone().requires_grad_(), weight.clone().requires_grad_()
        logits = leaf * 1
        loss = reweighted_binary_cross_entropy(
            logits,
            targets,
            leaf_weight,
            reduction=reduction,
            label_smoothing=0.1,
            inplace_gradient=in_place,
        )
        grads = torch.autograd.grad(loss.sum(), (logits, leaf_weight))
        assert (grads[0].data_ptr() == logits.data_ptr()) == in_place
        results.append((loss.detach(), *grads))
    for got, wanted in zip(results[1], results[0], strict=True):
        assert torch.equal(got, wanted)


@pytest.mark.parametrize("shape", [(6,), (6, 5)])
@pytest.mark.parametrize("reduction", ["none", "sum"])
def test_whoever_needs_overwritten_logits_fails_loudly(
    device: torch.device, reduction: Reduction, shape: tuple[int, ...]
) -> None:
    inputs, targets, _ = example(shape, device)
    logits = inputs.clone().requires_grad_() * 1
    kept = logits.square().sum()
    loss = reweighted_binary_cross_entropy(
        logits, targets, reduction=reduction, inplace_gradient=True
    ).sum()
    torch.autograd.grad(loss, logits, retain_graph=True)
    for later in (kept, loss):
        with pytest.raises(RuntimeError, match="modified by an inplace operation"):
            torch.autograd.grad(later, logits)


@pytest.mark.parametrize("view", [False, True])
def test_a_leaf_is_never_overwritten(device: torch.device, view: bool) -> None:
    logits, targets, _ = example((6, 5), device)
    leaf = nn.Parameter(logits.view(2, 3, 5) if view else logits)
    with pytest.raises(ValueError, match="would overwrite the values of a leaf"):
        reweighted_binary_cross_entropy(
            leaf.view(6, 5) if view else leaf, targets, inplace_gradient=True
        )


def test_logits_must_be_contiguous_to_be_overwritten(device: torch.device) -> None:
    logits, targets, _ = example((5, 5), device)
    with pytest.raises(ValueError, match=r"contiguous logits, got strides \(1, 5\)"):
        reweighted_binary_cross_entropy(logits.t(), targets, inplace_gradient=True)


def test_a_second_derivative_is_refused(device: torch.device) -> None:
    logits, targets, weight = example((6, 5), device)
    loss = reweighted_binary_cross_entropy(logits.requires_grad_(), targets, weight)
    with pytest.raises(RuntimeError, match=r"binary_cross_entropy is differentiable once"):
        torch.autograd.grad(loss, logits, create_graph=True)


@pytest.mark.parametrize("classes", [2, 40])
@pytest.mark.parametrize("value", [NAN, -NAN])
def test_a_nan_stays_in_its_row(device: torch.device, value: float, classes: int) -> None:
    logits, targets, weight = example((9, classes), device)
    broken = logits.clone()
    broken[4, 1] = value
    for reduction in REDUCTIONS:
        got = gradients(
            reweighted_binary_cross_entropy, broken, targets, weight, reduction=reduction
        )
        wanted = gradients(
            reweighted_binary_cross_entropy, logits, targets, weight, reduction=reduction
        )
        assert got[0].isnan().any()
        assert got[1].isnan().nonzero().tolist() == [[4, 1]]
        whole = ~torch.isnan(got[1])
        assert torch.equal(got[1][whole], wanted[1][whole])
        if reduction == "none":
            assert got[0].isnan().nonzero().tolist() == [[4, 1]]


@pytest.mark.parametrize("dtype", DTYPES)
def test_an_infinite_logit_costs_nothing_or_everything(
    device: torch.device, dtype: torch.dtype
) -> None:
    logits = torch.tensor([INF, -INF, INF, -INF], dtype=dtype, device=device)
    targets = torch.tensor([True, False, False, True], device=device)
    ones = torch.ones(4, device=device)
    loss, grad, _ = gradients(
        reweighted_binary_cross_entropy, logits, targets, ones, reduction="none"
    )
    assert loss.tolist() == [0.0, 0.0, INF, INF]
    assert grad.tolist() == [0.0, 0.0, 1.0, -1.0]


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("case", ["no rows", "no columns", "zero weights"])
def test_nothing_to_average_gives_zero_loss_and_zero_gradients(
    device: torch.device, reduction: Reduction, case: str
) -> None:
    shape = {"no rows": (0, 3), "no columns": (3, 0), "zero weights": (3, 2)}[case]
    logits, targets, weight = example(shape, device)
    if case == "zero weights":
        weight = torch.zeros_like(weight)
    loss, grad_logits, grad_weight = gradients(
        reweighted_binary_cross_entropy, logits, targets, weight, reduction=reduction
    )
    assert loss.shape == (shape if reduction == "none" else ())
    assert not loss.any()
    assert not grad_logits.any()
    if case != "zero weights":
        assert not grad_weight.any()


def test_inputs_are_not_written_and_may_have_any_strides(device: torch.device) -> None:
    logits, targets, weight = example((24, 40), device)
    before = [tensor.clone() for tensor in (logits, targets, weight)]
    views = (logits.t()[::2].t()[::2], targets[::2, ::2], weight[::2])
    got = gradients(reweighted_binary_cross_entropy, *views)
    wanted = gradients(reweighted_binary_cross_entropy, *(view.contiguous() for view in views))
    for a, b in zip(got, wanted, strict=True):
        assert torch.equal(a, b)
    for tensor, copy in zip((logits, targets, weight), before, strict=True):
        assert torch.equal(tensor, copy)


@pytest.mark.usefixtures("num_threads")
@pytest.mark.parametrize("shape", [(60_000,), (20_000, 3), (333, 300), (30, 2500)])
@pytest.mark.parametrize("reduction", ["none", "sum"])
def test_the_number_of_threads_changes_nothing(
    shape: tuple[int, ...], reduction: Reduction
) -> None:
    logits, targets, weight = example(shape, torch.device("cpu"))
    single = (logits.float(), targets, weight.float())
    results = []
    for threads in (1, 2, 3):
        torch.set_num_threads(threads)
        results.append(gradients(reweighted_binary_cross_entropy, *single, reduction=reduction))
    for result in results[1:]:
        if reduction == "none":  # the sum over rows is torch's
            assert torch.equal(result[0], results[0][0])
        assert torch.equal(result[1], results[0][1])
        assert torch.equal(result[2], results[0][2])


@pytest.mark.parametrize("soft", [False, True])
@pytest.mark.parametrize("dtype", DTYPES)
def test_the_operators_are_registered_correctly(
    device: torch.device, dtype: torch.dtype, soft: bool
) -> None:
    logits, targets, weight = example((6, 5), device, soft=soft)
    if soft:
        targets = targets.to(single(dtype))
    logits, weight = logits.to(dtype), weight.to(single(dtype))
    ops = torch.ops.atjt_ext
    torch.library.opcheck(ops._reweighted_binary_cross_entropy.default, (logits, targets, 0.1))
    for name in (
        ops._reweighted_binary_cross_entropy_with_gradient,
        ops._reweighted_binary_cross_entropy_gradient_,
    ):
        torch.library.opcheck(name.default, (logits.clone(), targets, weight, 0.1))


# torch.compile imports parts of torch that torch itself has deprecated.
@pytest.mark.filterwarnings("ignore::DeprecationWarning:torch")
@pytest.mark.parametrize(
    ("backend", "reduction"),
    [("inductor", "weighted_mean"), *(("aot_eager", reduction) for reduction in REDUCTIONS)],
)
def test_it_compiles_without_a_graph_break(
    device: torch.device, reduction: Reduction, backend: str
) -> None:
    arguments = example((6, 5), device)
    torch._dynamo.reset()  # it gives up on a function compiled too often
    compiled = torch.compile(reweighted_binary_cross_entropy, fullgraph=True, backend=backend)
    wanted = gradients(reweighted_binary_cross_entropy, *arguments, reduction=reduction)
    for inplace_gradient in (False, True):
        got = gradients(
            compiled, *arguments, reduction=reduction, inplace_gradient=inplace_gradient
        )
        for a, b in zip(got, wanted, strict=True):
            torch.testing.assert_close(a, b)


@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_fake_tensors_go_through_both_passes(reduction: Reduction) -> None:
    with FakeTensorMode():
        logits, weight = torch.randn(6, 5).requires_grad_(), torch.rand(6).requires_grad_()
        loss = reweighted_binary_cross_entropy(
            logits, torch.zeros(6, 5).bool(), weight, reduction=reduction
        )
        assert loss.shape == ((6, 5) if reduction == "none" else ())
        loss.sum().backward()
        assert logits.grad is not None
        assert weight.grad is not None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"reduction": "avg"}, "reduction must be none, sum"),
        ({"label_smoothing": 1.5}, r"label_smoothing must be in \[0, 1\], got 1.5"),
        ({"logits": torch.zeros(4, 3, 2)}, r"logits must be \[N\] or \[N, C\], got shape"),
        ({"logits": torch.zeros(4, 3).long()}, "logits must be one of .*, got torch.int64"),
        ({"targets": torch.zeros(4)}, r"targets must be \[4, 3\], got shape \(4,\)"),
        ({"targets": torch.zeros(4, 3).long()}, "targets must be bool or floating point"),
        ({"targets": torch.zeros(4, 3, requires_grad=True)}, "targets must not require"),
        ({"targets": torch.zeros(4, 3, device="meta")}, "targets must be on cpu"),
        ({"sample_weight": torch.zeros(4, 3)}, r"sample_weight must be \[4\]"),
        ({"sample_weight": torch.zeros(4).long()}, "sample_weight must be floating point"),
    ],
)
def test_wrong_arguments_are_refused(change: dict[str, Any], message: str) -> None:
    right: dict[str, Any] = {"logits": torch.zeros(4, 3), "targets": torch.zeros(4, 3)}
    with pytest.raises(ValueError, match=message):
        reweighted_binary_cross_entropy(**right | change)
