"""Values of training windows assigned to interactions and users."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from atjt_ext.data import Batch, TrainingRows, batches
from atjt_ext.data.batches import per_interaction
from atjt_ext.data.sequences import noisy_users, per_user
from helpers.tiny import tiny_sequences

# At max_length 2: user 0 has windows (4, 5, 6), (2, 3, 4) and (1, 2); user 1 has none; user 2 one.
SEQUENCES = tiny_sequences([1, 2, 3, 4, 5, 6], [7], [8, 9])


def _rows() -> TrainingRows:
    rows = TrainingRows(SEQUENCES, max_length=2)
    windows = [rows.gather(torch.tensor([row])).sequences[0].tolist() for row in range(4)]
    assert windows == [[4, 5, 6], [2, 3, 4], [1, 2], [8, 9]]
    return rows


def _by_row(batch: Batch) -> Tensor:
    return (10 * batch.rows).double()


def _by_position(batch: Batch) -> Tensor:
    """100 * row + item; at padding a value that must not appear."""
    return (100 * batch.rows[:, None] + batch.sequences).masked_fill(batch.sequences == 0, -5)


# Items 2 and 4 are in two windows; the older window, where they are the target, counts.
@pytest.mark.parametrize("batch_size", [1024, 1, 2])
def test_interactions_get_the_value_of_the_window_they_are_a_target_of(
    batch_size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batches, "_SCORING_BATCH", batch_size)
    values = per_interaction(_rows(), _by_row).tolist()
    assert values[:6] == [20.0, 20.0, 10.0, 10.0, 0.0, 0.0]
    assert math.isnan(values[6])
    assert values[7:] == [30.0, 30.0]


@pytest.mark.parametrize("batch_size", [1024, 1, 2])
def test_position_scores_go_to_their_own_interaction(
    batch_size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batches, "_SCORING_BATCH", batch_size)
    values = per_interaction(_rows(), _by_position).tolist()
    assert values[:6] == [201.0, 202.0, 103.0, 104.0, 5.0, 6.0]
    assert math.isnan(values[6])
    assert values[7:] == [308.0, 309.0]


def test_scores_keep_no_gradient() -> None:
    weight = torch.ones((), requires_grad=True)
    values = per_interaction(_rows(), lambda batch: weight * batch.rows)
    assert not values.requires_grad
    assert values.dtype == torch.float32


def test_users_get_the_mean_of_their_interactions() -> None:
    values = torch.tensor([1.0, 2.0, 3.0, 4.0, 5.0, 9.0, torch.nan, 0.0, 1.0])
    means = per_user(SEQUENCES, values).tolist()
    assert means[0] == 4.0
    assert math.isnan(means[1])
    assert means[2] == 0.5


def test_a_user_without_interactions_is_nan() -> None:
    means = per_user(tiny_sequences([1], [], [2]), torch.tensor([3.0, 4.0])).tolist()
    assert means[0] == 3.0
    assert math.isnan(means[1])
    assert means[2] == 4.0


def test_a_user_with_any_noisy_interaction_is_noisy() -> None:
    noise = [False, False, True, False, False, False, False, True]
    sequences = tiny_sequences([1, 2, 3], [7], [8, 9], [4, 5], noise=noise)
    assert noisy_users(sequences).tolist() == [True, False, False, True]


def test_noisy_users_without_truth_are_refused() -> None:
    with pytest.raises(ValueError, match="is_noise"):
        noisy_users(SEQUENCES)
