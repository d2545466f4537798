"""T-CE and R-CE: which losses count, and how much."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from atjt_ext.data import LeaveOneOut
from atjt_ext.training import objectives
from atjt_ext.training.config import JointTrainerConfig
from atjt_ext.training.objectives import recommender_loss
from atjt_ext.training.step_weights import (
    drop_share,
    reweighted_loss_weights,
    truncated_loss_weights,
)
from helpers.joint import fit, parameters
from helpers.tiny import LastItemModel, tiny_batch


def test_the_largest_losses_are_dropped() -> None:
    losses = torch.tensor([0.1, 5.0, 0.2, 4.0, 0.3])
    assert truncated_loss_weights(losses, 0.4).tolist() == [1, 0, 1, 0, 1]
    assert truncated_loss_weights(losses, 0.39).tolist() == [1, 0, 1, 1, 1]
    assert truncated_loss_weights(losses, 0.0).tolist() == [1] * 5
    assert truncated_loss_weights(torch.ones(4), 0.5).tolist() == [1, 1, 0, 0]


def test_the_share_rises_and_stays() -> None:
    shares = [drop_share(e, largest=0.2, ramp_epochs=4) for e in (0, 1, 2, 4, 9)]
    assert shares == pytest.approx([0.0, 0.05, 0.1, 0.2, 0.2])
    assert drop_share(0, largest=0.2, ramp_epochs=0) == 0.2


def test_small_probabilities_weigh_little_and_pass_no_gradient() -> None:
    losses = -torch.tensor([0.5, 0.01]).log()
    losses.requires_grad_()
    weights = reweighted_loss_weights(losses, 0.5)
    assert weights.tolist() == pytest.approx([math.sqrt(0.5), 0.1])
    assert not weights.requires_grad


@pytest.mark.parametrize(
    "options",
    [
        {"softmax": "logits"},
        {"softmax": "linear"},
        {"loss": "binary_cross_entropy", "num_negatives": 2},
    ],
)
def test_the_loss_is_the_mean_under_the_weights_that_it_makes(
    options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    model, batch = LastItemModel(), tiny_batch([1, 2, 3], [4, 5])
    seen = []

    def adapt(losses: torch.Tensor) -> torch.Tensor:
        seen.append(losses.detach())
        return truncated_loss_weights(losses, 0.4)

    monkeypatch.setattr(objectives, "adaptive_denoising", lambda config, epochs_done: adapt)
    torch.manual_seed(0)
    config = JointTrainerConfig(**options)
    found = recommender_loss(model, batch, torch.tensor([1.0, 0.5]), config)
    (losses,) = seen
    assert losses.shape == (3,)
    weights = torch.tensor([1.0, 1.0, 0.5])
    weights[losses.argmax()] = 0.0
    assert found.item() == pytest.approx(float((weights * losses).sum() / weights.sum()), rel=1e-6)


def test_a_loss_without_bounds_may_be_dropped() -> None:
    model, batch = LastItemModel(), tiny_batch([1, 2, 3], [4, 5])
    with torch.no_grad():
        model.table[3] = -1e30  # never predicted: its loss is infinite
        model.states[2] = 1e30
    largest = JointTrainerConfig(
        adaptive_denoising="truncated", truncated_share=0.4, truncation_epochs=0
    )
    found = recommender_loss(model, batch, torch.ones(2), largest)
    assert torch.isfinite(found)
    found.backward()
    assert model.table.grad is not None
    assert bool(model.table.grad.isfinite().all())


def test_the_options_reach_training_and_leave_the_random_stream_alone(split: LeaveOneOut) -> None:
    equal = parameters(fit(split, weighting="equal").recommender)
    for changes in (
        {"adaptive_denoising": "truncated", "truncated_share": 0.0},
        {"adaptive_denoising": "reweighted", "reweighting_power": 0.0},
    ):
        same = parameters(fit(split, weighting="equal", **changes).recommender)
        torch.testing.assert_close(same, equal, rtol=1e-3, atol=1e-4)
    for kind in ("truncated", "reweighted"):
        other = parameters(fit(split, weighting="equal", adaptive_denoising=kind).recommender)
        assert float((other - equal).abs().max()) > 1e-2


def test_options_out_of_range_are_refused() -> None:
    with pytest.raises(ValueError, match=r"share must be in \[0, 1\), got 1.0"):
        truncated_loss_weights(torch.ones(2), 1.0)
    with pytest.raises(ValueError, match="power must be at least 0, got -1"):
        reweighted_loss_weights(torch.ones(2), -1.0)
