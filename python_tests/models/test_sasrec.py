"""SASRec: what is its own; what it shares with other models is in test_models.py."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from atjt_ext import SASRec
from atjt_ext.models.scoring import encode_last


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


@pytest.mark.parametrize("lengths", [[3, 12, 1, 0, 12, 7], [0, 0], [5]])
@pytest.mark.parametrize("weighted", [False, True])
def test_the_last_states_are_those_of_encode(lengths: list[int], weighted: bool) -> None:
    model, generator = _model(), torch.Generator().manual_seed(1)
    sequences = torch.randint(1, 21, (len(lengths), 12), generator=generator)
    for row, length in enumerate(lengths):
        sequences[row, : 12 - length] = 0
    options = {"input_weight": torch.rand(sequences.shape, generator=generator)} if weighted else {}
    last = encode_last(model, sequences, options.get("input_weight"))
    assert last.shape == (len(lengths), 8)
    torch.testing.assert_close(last, model.encode(sequences, **options)[:, -1])
    assert last.eq(0).all(1).tolist() == [length == 0 for length in lengths]


def test_the_last_column_may_be_padding() -> None:
    model, sequences = _model(), torch.tensor([[1, 2, 0], [0, 1, 2]])
    last = model.encode_last(sequences)
    torch.testing.assert_close(last, model.encode(sequences)[:, -1])
    assert last[0].eq(0).all()


def test_the_last_states_in_training_have_the_dropout_of_their_tokens() -> None:
    model = _model(dropout=0.5).train()
    sequences = torch.randint(1, 21, (5, 12))
    assert not torch.equal(model.encode_last(sequences), model.encode_last(sequences))


def test_a_model_that_encodes_otherwise_is_asked_for_its_own_states(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Encodes(SASRec):
        def encode(self, sequences: Tensor, *arguments: Any, **options: Any) -> Tensor:
            return super().encode(sequences, *arguments, **options) + 1

    class States(SASRec):
        def states(self, scaled: Tensor, rows: Any) -> Tensor:  # type: ignore[override]
            return super().states(scaled, rows) + 1

    class Block(torch.nn.Module):
        def forward(self, packed: Tensor, rows: Any) -> Tensor:
            return packed + 1

    sequences = torch.randint(1, 21, (5, 12))
    replaced, usual = _model(), _model().encode(sequences)
    monkeypatch.setattr(replaced, "encode", lambda sequences: usual + 1)
    other_block = _model()
    other_block.blocks[1] = Block()
    models = [Encodes(20, max_length=12), States(20, max_length=12), replaced, other_block]
    for model in models:
        model.eval()
        assert torch.equal(encode_last(model, sequences, None), model.encode(sequences)[:, -1])
    monkeypatch.setattr(SASRec, "encode", lambda model, sequences: usual + 2)
    assert torch.equal(encode_last(_model(), sequences, None), usual[:, -1] + 2)


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
