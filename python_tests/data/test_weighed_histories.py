"""Histories under weights, and without the interactions that weights drop."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from atjt_ext.data.weighed_histories import extended_weights, kept, without_dropped
from helpers.tiny import tiny_sequences


def test_low_weights_leave_and_everybody_keeps_the_cleanest() -> None:
    sequences = tiny_sequences([1, 2, 3], [4, 5], [6], [], noise=[False, True] * 3)
    weights = torch.tensor([0.9, 0.2, 0.6, 0.1, 0.3, 0.0])
    assert kept(sequences, weights, below=0.6).tolist() == [True, False, True, False, True, True]
    assert kept(sequences, weights, below=0.0).all()
    # Of equals the latest stays: who is noise from end to end does not stay whole.
    assert kept(sequences, torch.zeros(6), below=0.6).tolist() == [
        False,
        False,
        True,
        False,
        True,
        True,
    ]
    left = without_dropped(replace(sequences, weights=weights), below=0.6)
    assert [left.items_of(user).tolist() for user in range(4)] == [[1, 3], [5], [6], []]
    assert left.weights is None
    assert left.is_noise is not None
    assert left.is_noise.tolist() == [False, False, False, True]
    assert left.num_items == sequences.num_items
    with pytest.raises(ValueError, match="sequences must have weights to drop by, got None"):
        without_dropped(sequences, below=0.5)


def test_what_was_done_since_training_is_read_in_full() -> None:
    train = tiny_sequences([1, 2], [3, 4, 5], [], [6])
    weights = torch.tensor([0.1, 0.2, 0.3, 0.4, 0.5, 0.6])
    later = tiny_sequences([1, 2, 7], [3, 9, 5, 8], [2], [])
    found = extended_weights(train, weights, later)
    # User 1's history differs in its second item: what follows is no continuation.
    assert found.tolist() == pytest.approx([0.1, 0.2, 1.0, 0.3, 1.0, 1.0, 1.0, 1.0])
    assert torch.equal(extended_weights(train, weights, train), weights)
    other = replace(later, item_ids=later.item_ids[::-1])
    with pytest.raises(ValueError, match="must have the 9 items trained on, in their order; got 9"):
        extended_weights(train, weights, other)
    with pytest.raises(ValueError, match="must have the 4 users trained on, in their order; got 1"):
        extended_weights(train, weights, tiny_sequences([1]))
