"""SASRec: what is its own; what it shares with other models is in test_models.py."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from atjt_ext import SASRec


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


def test_items_enter_times_the_root_of_the_width_unless_told_otherwise() -> None:
    sequences = torch.tensor([[0, 1, 2, 3]])
    as_it_is = _model(scale_embedding=False)
    wanted = _model().encode(sequences)
    assert not torch.allclose(as_it_is.encode(sequences), wanted)
    with torch.no_grad():
        as_it_is.item_embedding.weight.mul_(8**0.5)
    torch.testing.assert_close(as_it_is.encode(sequences), wanted)


def test_the_item_table_is_the_embedding_itself() -> None:
    model = _model()
    assert model.item_table() is model.item_embedding.weight
    assert model.item_table().shape == (21, 8)
    assert [name for name, _ in model.named_parameters() if "item" in name] == [
        "item_embedding.weight"
    ]


def test_sequences_of_max_length_fit_and_longer_ones_are_refused() -> None:
    model = _model()
    assert model.encode(torch.ones(2, 12, dtype=torch.int64)).shape == (2, 12, 8)
    with pytest.raises(ValueError, match="length 13, at most max_length=12"):
        model.encode(torch.ones(2, 13, dtype=torch.int64))
