"""SASRec."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.nn import functional as F

from atjt_ext import SASRec
from atjt_ext.protocols import SequenceRecommender

# Packing groups the rows of a matrix product otherwise: float32 rounding, nothing more.
CLOSE = {"rtol": 0.0, "atol": 1e-5}


def _model(**options: Any) -> SASRec:
    torch.manual_seed(0)
    sizes = {"max_length": 12, "embedding_dim": 8, "num_blocks": 2, "num_heads": 2, "dropout": 0.0}
    model = SASRec(20, **{**sizes, **options})
    # Large weights, so that what must not matter would show.
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
        model.item_embedding.weight[0].zero_()
    return model


SEQUENCES = torch.tensor([[1, 2, 3, 4, 5, 6], [0, 0, 7, 8, 9, 7], [0, 0, 0, 0, 0, 10]])


def test_it_meets_the_protocol() -> None:
    assert isinstance(_model(), SequenceRecommender)
    assert _model().encode(SEQUENCES).shape == (3, 6, 8)


@pytest.mark.parametrize("padding", [1, 6])
def test_more_padding_on_the_left_changes_nothing(padding: int) -> None:
    model = _model()
    padded = torch.cat([torch.zeros(3, padding, dtype=torch.int64), SEQUENCES], dim=1)
    torch.testing.assert_close(model.encode(padded)[:, padding:], model.encode(SEQUENCES), **CLOSE)


def test_other_rows_change_nothing() -> None:
    model = _model()
    alone = torch.cat([model.encode(row[None]) for row in SEQUENCES])
    torch.testing.assert_close(model.encode(SEQUENCES), alone, **CLOSE)


@pytest.mark.parametrize("position", range(6))
def test_an_item_changes_nothing_before_it_and_everything_from_it_on(position: int) -> None:
    model = _model()
    changed = SEQUENCES[:1].clone()
    changed[0, position] = 15
    before, after = model.encode(SEQUENCES[:1])[0], model.encode(changed)[0]
    torch.testing.assert_close(after[:position], before[:position], **CLOSE)
    assert bool(((after - before).abs().amax(dim=1) > 1e-3)[position:].all())


def test_order_of_the_history_counts() -> None:
    model = _model(num_blocks=1)
    states = model.encode(torch.tensor([[1, 2, 3], [2, 1, 3]]))[:, -1]
    assert bool(((states[0] - states[1]).abs() > 1e-3).any())


def test_positions_count_from_the_end() -> None:
    """The last item always has the same position embedding, so short histories train it too."""
    model = _model()
    model.encode(torch.tensor([[0, 0, 4]])).sum().backward()
    gradient = model.position_embedding.weight.grad
    assert gradient is not None
    assert gradient.any(dim=1).nonzero().flatten().tolist() == [0]


def test_states_at_padding_are_zero() -> None:
    hidden = _model().encode(SEQUENCES)
    assert not hidden[SEQUENCES == 0].any()
    assert bool(hidden[SEQUENCES != 0].any(dim=1).all())


def test_a_row_of_padding_only_is_zero_and_finite() -> None:
    model = _model()
    sequences = torch.tensor([[0, 0, 0], [0, 1, 2]])
    hidden = model.encode(sequences)
    hidden.sum().backward()
    assert not hidden[0].any()
    assert all(
        p.grad is not None and bool(p.grad.isfinite().all()) for p in model.blocks.parameters()
    )


def test_the_item_table_is_the_embedding_itself() -> None:
    model = _model()
    assert model.item_table() is model.item_embedding.weight
    assert model.item_table().shape == (21, 8)
    assert [name for name, _ in model.named_parameters() if "item" in name] == [
        "item_embedding.weight"
    ]


def test_the_padding_row_gets_no_gradient() -> None:
    model = _model()
    hidden = model.encode(SEQUENCES)[:, -1]
    F.cross_entropy(hidden @ model.item_table()[1:].T, torch.tensor([3, 4, 5])).backward()
    gradient = model.item_table().grad
    assert gradient is not None
    assert not gradient[0].any()
    assert bool(gradient[1:].any(dim=1).all())
    assert not model.item_table()[0].any()


def test_the_padding_row_starts_at_zero() -> None:
    model = SASRec(5)
    assert not model.item_table()[0].any()
    assert bool(model.item_table()[1:].any(dim=1).all())


def test_dropout_acts_in_training_only() -> None:
    model = _model(dropout=0.5)
    assert not torch.equal(model.encode(SEQUENCES), model.encode(SEQUENCES))
    model.eval()
    assert torch.equal(model.encode(SEQUENCES), model.encode(SEQUENCES))


def test_it_overfits_one_batch(num_threads: None) -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    model = SASRec(30, max_length=8, embedding_dim=16, num_blocks=2, dropout=0.0)
    windows = torch.randint(1, 31, (8, 9), generator=torch.Generator().manual_seed(0))
    windows[:4, :3] = 0
    inputs, targets = windows[:, :-1], windows[:, 1:]
    valid = inputs != 0
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    for _ in range(150):
        logits = model.encode(inputs)[valid] @ model.item_table()[1:].T
        loss = F.cross_entropy(logits, targets[valid] - 1)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert float(loss.detach()) < 0.1
    assert torch.equal(logits.argmax(dim=1) + 1, targets[valid])


def test_sequences_of_max_length_fit_and_longer_ones_are_refused() -> None:
    model = _model()
    assert model.encode(torch.ones(2, 12, dtype=torch.int64)).shape == (2, 12, 8)
    with pytest.raises(ValueError, match="length 13, at most max_length=12"):
        model.encode(torch.ones(2, 13, dtype=torch.int64))


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("num_items", 0, "num_items must be at least 1, got 0"),
        ("max_length", 0, "max_length must be at least 1, got 0"),
        ("num_blocks", 0, "num_blocks must be at least 1, got 0"),
        ("embedding_dim", 0, "num_heads must divide embedding_dim"),
        ("num_heads", 3, "num_heads must divide embedding_dim, got num_heads=3, embedding_dim=64"),
        ("num_heads", 0, "num_heads must divide embedding_dim"),
        ("dropout", 1.0, r"dropout must be in \[0, 1\), got 1.0"),
        ("dropout", -0.1, r"dropout must be in \[0, 1\), got -0.1"),
    ],
)
def test_sizes_out_of_range_are_refused(name: str, value: float, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SASRec(**{"num_items": 5, name: value})
