"""The noise-recognition model."""

from __future__ import annotations

import pytest
import torch

from atjt_ext import RandomReplacement, TargetAttentionNoiseModel
from atjt_ext.data import Batch
from atjt_ext.evaluation.auc import auc
from atjt_ext.recognition.cross_fitting import noise_recognition_loss
from helpers.tiny import tiny_batch


def _model(num_users: int | None = None, num_items: int = 9) -> TargetAttentionNoiseModel:
    torch.manual_seed(0)
    return TargetAttentionNoiseModel(
        num_items,
        embedding_dim=4,
        hidden_dims=(16,),
        attention_dims=(8,),
        num_users=num_users,
    )


ROWS = [[1, 2, 3, 4, 5], [6, 7], [9, 9, 8]]


def test_one_logit_per_sequence() -> None:
    logits = _model()(tiny_batch(*ROWS))
    assert logits.shape == (3,)
    assert len(set(logits.tolist())) == 3


@pytest.mark.parametrize("padding", [1, 7])
def test_padding_changes_nothing(padding: int) -> None:
    model = _model()
    with torch.no_grad():
        model.item_embedding.weight[0] = 5.0  # zero would hide padding that is read
    torch.testing.assert_close(
        model(tiny_batch(*ROWS, padding=padding)), model(tiny_batch(*ROWS)), rtol=0, atol=1e-6
    )


def test_other_rows_change_nothing() -> None:
    model = _model()
    alone = torch.cat([model(tiny_batch(row)) for row in ROWS])
    torch.testing.assert_close(model(tiny_batch(*ROWS)), alone, rtol=0, atol=1e-6)


def test_history_and_target_both_count() -> None:
    model = _model()
    logits = model(tiny_batch([1, 2, 3], [4, 2, 3], [1, 2, 4], [2, 1, 3]))
    assert logits[0] != logits[1]
    assert logits[0] != logits[2]
    # A pooled history has no order.
    torch.testing.assert_close(logits[0], logits[3], rtol=0, atol=1e-6)


def test_every_parameter_learns_but_padding_does_not() -> None:
    model = _model(num_users=3)
    model(tiny_batch(*ROWS, padding=2)).square().sum().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert bool(parameter.grad.any()), name
    assert not model.item_embedding.weight[0].any()
    assert model.item_embedding.weight.grad is not None
    assert not model.item_embedding.weight.grad[0].any()


def test_users_count_only_where_they_are_asked_for() -> None:
    rows = [[1, 2, 3], [1, 2, 3]]
    blind = _model()(tiny_batch(*rows, users=[0, 4]))
    assert blind[0] == blind[1]
    seeing = _model(num_users=5)(tiny_batch(*rows, users=[0, 4]))
    assert seeing[0] != seeing[1]
    same = _model(num_users=5)(tiny_batch(*rows, users=[4, 4]))
    assert same[0] == same[1] == seeing[1]


def test_forward_draws_no_random_numbers() -> None:
    model = _model(num_users=3).train()
    before = torch.get_rng_state()
    first = model(tiny_batch(*ROWS))
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(model(tiny_batch(*ROWS)), first)
    assert torch.equal(model.eval()(tiny_batch(*ROWS)), first)


@pytest.mark.parametrize("name", ["num_items", "embedding_dim"])
def test_sizes_below_one_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match=f"{name} must be at least 1, got 0"):
        TargetAttentionNoiseModel(**{"num_items": 3, name: 0})


def test_it_learns_to_tell_replaced_sequences(num_threads: None) -> None:
    """Every user stays in one half of the catalogue, so a replaced item stands out every second
    time."""
    torch.set_num_threads(1)
    num_items = 20
    generator = torch.Generator().manual_seed(0)
    halves = torch.randint(0, 2, (3000, 1), generator=generator)
    items = torch.randint(1, 11, (3000, 8), generator=generator) + 10 * halves
    data = Batch(rows=torch.arange(3000), users=torch.arange(3000), sequences=items)
    model = _model(num_items=num_items)
    corruption = RandomReplacement(num_items=num_items, replace_ratio=0.5)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    untrained = _held_out_auc(model, data.select(torch.arange(2000, 3000)), corruption)
    for step in range(150):
        batch = data.select(torch.randint(0, 2000, (128,), generator=generator))
        noisy = corruption(batch.sequences, seed=0, step=step, row_keys=batch.rows)
        logits = model(Batch(batch.rows, batch.users, noisy.sequences))
        optimizer.zero_grad()
        noise_recognition_loss(logits, noisy.noise_labels).backward()
        optimizer.step()
    trained = _held_out_auc(model, data.select(torch.arange(2000, 3000)), corruption)
    assert untrained < 0.7
    assert trained > 0.9


def _held_out_auc(
    model: TargetAttentionNoiseModel, data: Batch, corruption: RandomReplacement
) -> float:
    noisy = corruption(data.sequences, seed=1, row_keys=data.rows)
    with torch.no_grad():
        area = auc(model(Batch(data.rows, data.users, noisy.sequences)), noisy.noise_labels)
    assert area is not None
    return area
