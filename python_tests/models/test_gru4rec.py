"""GRU4Rec: packing, and its sizes."""

from __future__ import annotations

import warnings

import torch

from atjt_ext import GRU4Rec
from helpers.zoo import CLOSE, shaken


def test_a_row_is_what_a_gru_makes_of_its_items_alone() -> None:
    model = shaken("gru4rec", num_layers=2)
    items = torch.tensor([[7, 8, 9, 7]])
    by_hand = model.output(model.gru(model.item_embedding(items))[0])
    # Lengths out of order: packing sorts rows, and has to put them back.
    batch = torch.tensor([[0, 0, 0, 0, 3], [1, 2, 3, 4, 5], [0, 7, 8, 9, 7]])
    torch.testing.assert_close(model.encode(batch)[2, 1:], by_hand[0], **CLOSE)


def test_sequences_may_have_any_length() -> None:
    assert GRU4Rec(5).encode(torch.ones(1, 300, dtype=torch.int64)).shape == (1, 300, 64)


def test_dropout_between_layers_is_only_asked_for_where_there_are_some() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert GRU4Rec(5, num_layers=1, dropout=0.4).gru.dropout == 0.0
    assert GRU4Rec(5, num_layers=2, dropout=0.4).gru.dropout == 0.4
