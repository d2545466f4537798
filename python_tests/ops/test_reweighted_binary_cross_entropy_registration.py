"""reweighted_binary_cross_entropy: overwriting, edges, compilation and refusals."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from atjt_ext.ops import Reduction
from atjt_ext.ops import reweighted_binary_cross_entropy as binary_loss
from helpers.operators import arithmetic, assert_all_equal
from helpers.weighted_rows import DTYPES, INF, NAN, REDUCTIONS, binary_example, binary_ours


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
    inputs, targets, weight = binary_example(shape, device, dtype=dtype, soft=soft)
    inputs = inputs.to(dtype)
    results = []
    for in_place in (False, True):
        leaf, leaf_weight = inputs.clone().requires_grad_(), weight.clone().requires_grad_()
        logits = leaf * 1
        loss = binary_loss(
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
    assert_all_equal(results[1], results[0])


@pytest.mark.parametrize("shape", [(6,), (6, 5)])
@pytest.mark.parametrize("reduction", ["none", "sum"])
def test_whoever_needs_overwritten_logits_fails_loudly(
    device: torch.device, reduction: Reduction, shape: tuple[int, ...]
) -> None:
    inputs, targets, _ = binary_example(shape, device)
    logits = inputs.clone().requires_grad_() * 1
    kept = logits.square().sum()
    loss = binary_loss(logits, targets, reduction=reduction, inplace_gradient=True).sum()
    torch.autograd.grad(loss, logits, retain_graph=True)
    for later in (kept, loss):
        with pytest.raises(RuntimeError, match="modified by an inplace operation"):
            torch.autograd.grad(later, logits)


@pytest.mark.parametrize("classes", [2, 40])
@pytest.mark.parametrize("value", [NAN, -NAN])
def test_a_nan_stays_in_its_row(device: torch.device, value: float, classes: int) -> None:
    logits, targets, weight = binary_example((9, classes), device)
    broken = logits.clone()
    broken[4, 1] = value
    for reduction in REDUCTIONS:
        got = binary_ours(broken, targets, weight, reduction=reduction)
        wanted = binary_ours(logits, targets, weight, reduction=reduction)
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
    loss, grad, _ = binary_ours(logits, targets, ones, reduction="none")
    assert loss.tolist() == [0.0, 0.0, INF, INF]
    assert grad.tolist() == [0.0, 0.0, 1.0, -1.0]


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("case", ["no rows", "no columns", "zero weights"])
def test_nothing_to_average_gives_zero_loss_and_zero_gradients(
    device: torch.device, reduction: Reduction, case: str
) -> None:
    shape = {"no rows": (0, 3), "no columns": (3, 0), "zero weights": (3, 2)}[case]
    logits, targets, weight = binary_example(shape, device)
    if case == "zero weights":
        weight = torch.zeros_like(weight)
    loss, grad_logits, grad_weight = binary_ours(logits, targets, weight, reduction=reduction)
    assert loss.shape == (shape if reduction == "none" else ())
    assert not loss.any()
    assert not grad_logits.any()
    if case != "zero weights":
        assert not grad_weight.any()


@pytest.mark.usefixtures("num_threads")
@pytest.mark.parametrize("shape", [(60_000,), (20_000, 3), (333, 300), (30, 2500)])
@pytest.mark.parametrize("reduction", ["none", "sum"])
def test_the_number_of_threads_changes_nothing(
    shape: tuple[int, ...], reduction: Reduction
) -> None:
    logits, targets, weight = binary_example(shape, torch.device("cpu"))
    single = (logits.float(), targets, weight.float())
    results = []
    for threads in (1, 2, 3):
        torch.set_num_threads(threads)
        results.append(binary_ours(*single, reduction=reduction))
    for result in results[1:]:
        if reduction == "none":  # torch computes the sum over rows
            assert torch.equal(result[0], results[0][0])
        assert torch.equal(result[1], results[0][1])
        assert torch.equal(result[2], results[0][2])


@pytest.mark.parametrize("soft", [False, True])
@pytest.mark.parametrize("dtype", DTYPES)
def test_the_operators_are_registered_correctly(
    device: torch.device, dtype: torch.dtype, soft: bool
) -> None:
    logits, targets, weight = binary_example((6, 5), device, soft=soft)
    if soft:
        targets = targets.to(arithmetic(dtype))
    logits, weight = logits.to(dtype), weight.to(arithmetic(dtype))
    ops = torch.ops.atjt_ext
    torch.library.opcheck(ops._reweighted_binary_cross_entropy.default, (logits, targets, 0.1))
    for name in (
        ops._reweighted_binary_cross_entropy_with_gradient,
        ops._reweighted_binary_cross_entropy_gradient_,
    ):
        torch.library.opcheck(name.default, (logits.clone(), targets, weight, 0.1))


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
        binary_loss(**right | change)
