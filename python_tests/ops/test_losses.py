"""Drop-in loss modules: values by hand, options and their refusal."""

from __future__ import annotations

import copy
import math
import pickle
from typing import Any

import pytest
import torch
from torch import nn

from atjt_ext import (
    LinearReweightedCrossEntropyLoss,
    ReweightedBinaryCrossEntropyLoss,
    ReweightedCrossEntropyLoss,
    SampledBinaryCrossEntropyLoss,
)
from atjt_ext.ops import reference

# Two classes: the loss of a row with logits (0, log 3) is log 4 for class 0, log 4/3 for class 1.
LOGITS = torch.tensor([[0.0, math.log(3)], [0.0, math.log(3)], [0.0, 0.0]])
TARGETS = torch.tensor([0, 1, -100])
WEIGHTS = torch.tensor([1.0, 3.0, 5.0])
LOSSES = (math.log(4), math.log(4 / 3))


@pytest.mark.parametrize(
    ("reduction", "wanted"),
    [
        ("weighted_mean", (LOSSES[0] + 3 * LOSSES[1]) / 4),
        ("mean", (LOSSES[0] + 3 * LOSSES[1]) / 2),
        ("sum", LOSSES[0] + 3 * LOSSES[1]),
        ("none", [LOSSES[0], 3 * LOSSES[1], 0.0]),
    ],
)
def test_reductions_by_hand(reduction: str, wanted: float | list[float]) -> None:
    loss = ReweightedCrossEntropyLoss(reduction=reduction)(LOGITS, TARGETS, WEIGHTS)  # type: ignore[arg-type]
    assert loss.tolist() == pytest.approx(wanted)


def test_default_reduction_is_the_weighted_mean() -> None:
    weighted = ReweightedCrossEntropyLoss(reduction="weighted_mean")(LOGITS, TARGETS, WEIGHTS)
    assert torch.equal(ReweightedCrossEntropyLoss()(LOGITS, TARGETS, WEIGHTS), weighted)


@pytest.mark.parametrize("options", [{"ignore_index": 3}, {"label_smoothing": 0.2}], ids=str)
def test_without_weights_it_takes_the_place_of_torch_cross_entropy(options: Any) -> None:
    logits = torch.randn(20, 7, generator=torch.Generator().manual_seed(0))
    targets = torch.randint(0, 7, (20,), generator=torch.Generator().manual_seed(1))
    ours = ReweightedCrossEntropyLoss(**options)(logits, targets)
    torch.testing.assert_close(ours, nn.CrossEntropyLoss(**options)(logits, targets))


def test_gradients_reach_logits_and_weights() -> None:
    logits, weights = LOGITS.clone().requires_grad_(), WEIGHTS.clone().requires_grad_()
    loss = ReweightedCrossEntropyLoss()(logits, TARGETS, weights)
    loss.backward()
    assert weights.grad is not None
    assert logits.grad is not None
    # d L / d w_i = (l_i - L) / sum(w), and 0 for the ignored row.
    wanted = [(value - float(loss.detach())) / 4 for value in LOSSES]
    assert weights.grad.tolist() == pytest.approx([*wanted, 0.0])
    # d L / d logits = w_i / sum(w) * (softmax - one hot).
    assert logits.grad[0].tolist() == pytest.approx([-3 / 16, 3 / 16])
    assert logits.grad[2].tolist() == [0.0, 0.0]


def test_the_gradient_may_be_written_over_the_logits() -> None:
    leaf = LOGITS.clone().requires_grad_()
    logits = leaf * 1
    ReweightedCrossEntropyLoss(inplace_gradient=True)(logits, TARGETS, WEIGHTS).backward()
    assert leaf.grad is not None
    assert torch.equal(leaf.grad, logits)
    assert leaf.grad[0].tolist() == pytest.approx([-3 / 16, 3 / 16])


# Hidden states and items whose logits are those above.
HIDDEN, ITEMS = LOGITS[:, 1:], torch.tensor([[0.0], [1.0]])


@pytest.mark.parametrize("reduction", ["weighted_mean", "mean", "sum", "none"])
def test_without_logits_it_is_the_loss_of_the_logits(reduction: Any) -> None:
    linear = LinearReweightedCrossEntropyLoss(reduction=reduction, label_smoothing=0.1)
    given = ReweightedCrossEntropyLoss(reduction=reduction, label_smoothing=0.1)
    got = linear(HIDDEN, ITEMS, TARGETS, WEIGHTS)
    torch.testing.assert_close(got, given(LOGITS, TARGETS, WEIGHTS))


def test_without_logits_the_default_is_the_weighted_mean() -> None:
    loss = LinearReweightedCrossEntropyLoss()(HIDDEN, ITEMS, TARGETS, WEIGHTS)
    assert float(loss) == pytest.approx((LOSSES[0] + 3 * LOSSES[1]) / 4)


def test_all_options_of_the_linear_loss_take_effect() -> None:
    bias = torch.tensor([0.5, -0.5])
    options: Any = {
        "temperature": 2.0,
        "label_smoothing": 0.1,
        "z_loss": 0.3,
        "ignore_index": 1,
        "reduction": "none",
    }
    targets = torch.tensor([0, 1, 0])
    got = LinearReweightedCrossEntropyLoss(**options)(HIDDEN, ITEMS, targets, WEIGHTS, bias)
    wanted = reference.linear_reweighted_cross_entropy(
        HIDDEN, ITEMS, targets, WEIGHTS, bias=bias, **options
    )
    torch.testing.assert_close(got, wanted)


# The loss of a logit log 3 is log 4/3 for target 1 and log 4 for target 0.
BINARY_LOGITS = torch.full((2, 2), math.log(3))
BINARY_TARGETS = torch.tensor([[True, False], [True, True]])
BINARY_LOSSES = (math.log(4 / 3), math.log(4))


@pytest.mark.parametrize(
    ("reduction", "wanted"),
    [
        ("weighted_mean", (7 * BINARY_LOSSES[0] + BINARY_LOSSES[1]) / 8),
        ("mean", (7 * BINARY_LOSSES[0] + BINARY_LOSSES[1]) / 4),
        ("sum", 7 * BINARY_LOSSES[0] + BINARY_LOSSES[1]),
        ("none", [[BINARY_LOSSES[0], BINARY_LOSSES[1]], [3 * BINARY_LOSSES[0]] * 2]),
    ],
)
def test_binary_reductions_by_hand(reduction: str, wanted: float | list[list[float]]) -> None:
    loss = ReweightedBinaryCrossEntropyLoss(reduction=reduction)  # type: ignore[arg-type]
    got = loss(BINARY_LOGITS, BINARY_TARGETS, torch.tensor([1.0, 3.0]))
    torch.testing.assert_close(got, torch.tensor(wanted))


def test_the_gradient_may_be_written_over_binary_logits() -> None:
    leaf = BINARY_LOGITS.clone().requires_grad_()
    logits = leaf * 1
    weight = torch.tensor([1.0, 3.0])
    ReweightedBinaryCrossEntropyLoss(inplace_gradient=True)(
        logits, BINARY_TARGETS, weight
    ).backward()
    assert leaf.grad is not None
    assert torch.equal(leaf.grad, logits)
    # d L / d logits = w_i / sum(w C) * (3/4 - target).
    torch.testing.assert_close(leaf.grad, torch.tensor([[-1.0, 3.0], [-3.0, -3.0]]) / 32)


def test_without_weights_it_takes_the_place_of_torch_bce() -> None:
    logits = torch.randn(20, generator=torch.Generator().manual_seed(0))
    targets = (logits > 0.3).float()
    ours = ReweightedBinaryCrossEntropyLoss()(logits, targets)
    torch.testing.assert_close(ours, nn.BCEWithLogitsLoss()(logits, targets))


def test_options_show_in_the_repr() -> None:
    loss = ReweightedCrossEntropyLoss(ignore_index=0, reduction="sum")
    assert repr(loss) == (
        "ReweightedCrossEntropyLoss(ignore_index=0, label_smoothing=0.0, reduction='sum', "
        "inplace_gradient=False)"
    )
    linear = LinearReweightedCrossEntropyLoss(temperature=0.5)
    assert repr(linear) == (
        "LinearReweightedCrossEntropyLoss(temperature=0.5, label_smoothing=0.0, z_loss=0.0, "
        "ignore_index=-100, reduction='weighted_mean')"
    )
    binary = ReweightedBinaryCrossEntropyLoss(label_smoothing=0.1)
    assert repr(binary) == (
        "ReweightedBinaryCrossEntropyLoss(label_smoothing=0.1, reduction='weighted_mean', "
        "inplace_gradient=False)"
    )


@pytest.mark.parametrize(
    "module",
    [
        ReweightedCrossEntropyLoss,
        ReweightedBinaryCrossEntropyLoss,
        LinearReweightedCrossEntropyLoss,
    ],
)
def test_unknown_options_are_refused(module: type[nn.Module]) -> None:
    with pytest.raises(ValueError, match="reduction must be none, sum, mean or weighted_mean"):
        module(reduction="average")
    with pytest.raises(ValueError, match=r"label_smoothing must be in \[0, 1\], got 2"):
        module(label_smoothing=2)


@pytest.mark.parametrize("wrong", [{"temperature": 0.0}, {"z_loss": -1.0}], ids=str)
def test_unknown_options_of_the_linear_loss_are_refused(wrong: dict[str, float]) -> None:
    ((name, value),) = wrong.items()
    with pytest.raises(ValueError, match=rf"{name} must be finite and .*, got {value}"):
        LinearReweightedCrossEntropyLoss(**wrong)  # type: ignore[arg-type]


def test_a_parameter_is_no_temperature() -> None:
    with pytest.raises(TypeError, match="temperature must be a number, got a tensor; to learn"):
        LinearReweightedCrossEntropyLoss(temperature=nn.Parameter(torch.ones(())))  # type: ignore[arg-type]


def test_a_copy_of_a_loss_has_its_options() -> None:
    loss = SampledBinaryCrossEntropyLoss(t=0.5, num_items=9)
    assert repr(copy.deepcopy(loss)) == repr(pickle.loads(pickle.dumps(loss))) == repr(loss)
