"""The loss of the noise model."""

from __future__ import annotations

import math

import pytest
import torch

from atjt_ext.recognition.cross_fitting import noise_recognition_loss


def test_noise_loss_by_hand() -> None:
    logits = torch.tensor([math.log(3), math.log(3)])  # P(replaced) = 3/4
    loss = noise_recognition_loss(logits, torch.tensor([True, False]))
    assert float(loss) == pytest.approx((math.log(4 / 3) + math.log(4)) / 2)


def test_noise_loss_pulls_the_logits_of_replaced_rows_up() -> None:
    logits = torch.zeros(2, requires_grad=True)
    noise_recognition_loss(logits, torch.tensor([True, False])).backward()
    assert logits.grad is not None
    assert logits.grad.tolist() == [-0.25, 0.25]


def test_noise_loss_of_no_examples_is_zero_with_a_gradient() -> None:
    logits = torch.zeros(3, requires_grad=True)
    loss = noise_recognition_loss(logits[:0], torch.zeros(0, dtype=torch.bool))
    loss.backward()
    assert logits.grad is not None
    assert float(loss.detach()) == 0.0
    assert logits.grad.tolist() == [0.0, 0.0, 0.0]
