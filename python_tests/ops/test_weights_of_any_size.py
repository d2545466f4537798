"""``weighted_mean`` depends on the weights' proportions only, whatever their size and sign."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from atjt_ext.ops import (
    _row_losses,
    linear_reweighted_cross_entropy,
    reference,
    reweighted_binary_cross_entropy,
    reweighted_cross_entropy,
    sampled_binary_cross_entropy,
    sampled_cross_entropy,
)
from atjt_ext.training.objectives import weighted_mean
from helpers.operators import skip_without_kernel

ROWS, ITEMS = 5, 9
TARGETS = torch.arange(ROWS)
NEGATIVES = torch.tensor([5, 6, 7])

OPS: dict[str, tuple[Callable[..., Any], tuple[Any, ...], bool]] = {
    # the op, its arguments before the weights, and whether it takes hidden states and a table
    "cross_entropy": (reweighted_cross_entropy, (TARGETS,), False),
    "binary": (reweighted_binary_cross_entropy, (torch.eye(ROWS, ITEMS) > 0,), False),
    "linear": (linear_reweighted_cross_entropy, (TARGETS,), True),
    "sampled": (sampled_cross_entropy, (TARGETS, NEGATIVES), True),
    "sampled_binary": (sampled_binary_cross_entropy, (TARGETS, NEGATIVES), True),
}


def loss_and_gradients(
    function: Callable[..., Any], name: str, weight: Tensor, device: torch.device
) -> list[Tensor]:
    _, arguments, has_table = OPS[name]
    generator = torch.Generator().manual_seed(0)
    shapes = [(ROWS, 4), (ITEMS, 4)] if has_table else [(ROWS, ITEMS)]
    inputs = [torch.randn(shape, generator=generator).to(device, weight.dtype) for shape in shapes]
    leaves = [one.requires_grad_() for one in inputs]
    others = [one.to(device) for one in arguments]
    loss = function(*leaves, *others, weight.to(device), reduction="weighted_mean")
    return [loss.detach(), *torch.autograd.grad(loss, leaves)]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", OPS)
def test_weights_whose_sum_is_beyond_the_dtype(
    device: torch.device, name: str, dtype: torch.dtype
) -> None:
    function = OPS[name][0]
    if name == "linear":
        skip_without_kernel(device, dtype)
    huge = 0.9 * torch.finfo(dtype).max
    for pattern in ([1.0] * 5, [1.0, 0.5, 0.0, 1.0, 0.25], [-1.0, -1.0, -0.5, -1.0, -1.0]):
        weight = torch.tensor(pattern, dtype=dtype)
        got = loss_and_gradients(function, name, huge * weight, device)
        wanted = loss_and_gradients(function, name, weight, device)
        for a, b in zip(got, wanted, strict=True):
            torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-6)
        assert got[0] != 0


@pytest.mark.parametrize("name", OPS)
def test_a_row_of_weight_1_beside_a_huge_one_is_lost_and_no_more(
    device: torch.device, name: str
) -> None:
    weight = torch.tensor([3e38, 3e38, 1.0, 1.0, 0.0])
    got = loss_and_gradients(OPS[name][0], name, weight, device)
    wanted = loss_and_gradients(OPS[name][0], name, torch.tensor([1.0, 1, 0, 0, 0]), device)
    for a, b in zip(got, wanted, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", OPS)
def test_the_references_take_the_same_weights(name: str) -> None:
    function = getattr(reference, OPS[name][0].__name__)
    cpu = torch.device("cpu")
    got = loss_and_gradients(function, name, torch.full((ROWS,), 3e38), cpu)
    wanted = loss_and_gradients(function, name, torch.ones(ROWS), cpu)
    for a, b in zip(got, wanted, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-6)


def test_the_gradient_of_huge_weights_is_that_of_the_formula() -> None:
    losses = torch.tensor([1.0, 2.0, 4.0], dtype=torch.float64)
    weight = torch.full((3,), 1.5e308, dtype=torch.float64, requires_grad=True)
    scale = _row_losses.scales(weight, torch.ones(3).bool(), "weighted_mean")
    (gradient,) = torch.autograd.grad((scale * losses).sum(), weight)
    wanted = (losses - losses.mean()) / 3 / 1.5
    torch.testing.assert_close(gradient * 1e300 * 1e8, wanted)


def test_ordinary_weights_keep_the_bits_of_the_quotient() -> None:
    weight = torch.rand(1000, generator=torch.Generator().manual_seed(1))
    for size in (1e-30, 1.0, 1e30):
        scaled = weight * size
        got = _row_losses.scales(scaled, torch.ones(1000).bool(), "weighted_mean")
        assert torch.equal(got, scaled / scaled.sum())


def test_the_weighted_mean_of_the_trainer_takes_any_size() -> None:
    losses = torch.tensor([1.0, 2.0, 6.0])
    assert weighted_mean(losses, torch.full((3,), 3e38)) == 3.0


@pytest.mark.parametrize("name", OPS)
def test_negative_weights_are_those_of_the_formula(name: str) -> None:
    cpu = torch.device("cpu")
    weight = torch.tensor([2.0, -1.0, 0.5, 1.0, -0.25])
    got = loss_and_gradients(OPS[name][0], name, weight, cpu)
    function = getattr(reference, OPS[name][0].__name__)
    for a, b in zip(got, loss_and_gradients(function, name, weight, cpu), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)
