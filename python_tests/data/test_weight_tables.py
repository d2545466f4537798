"""Weights of interactions as a table, and beside the rows that they were read from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import polars as pl
import pytest
import torch

from atjt_ext.data import (
    DataError,
    interactions_from_frame,
    leave_one_out,
    row_weights,
    simulate_interactions,
    to_sequences,
    weights_from_table,
    weights_table,
)
from helpers.tiny import tiny_sequences

SEQUENCES = tiny_sequences([3, 1], [2, 2, 9])
WEIGHTS = torch.tensor([0.1, 0.2, 0.3, 0.4, 0.5])


def test_a_table_names_users_items_and_positions() -> None:
    table = weights_table(SEQUENCES, WEIGHTS)
    assert table.schema == {
        "user": pl.String,
        "item": pl.String,
        "position": pl.Int64,
        "weight": pl.Float32,
    }
    assert table.rows()[:4] == [
        ("u0", "i3", 0, pytest.approx(0.1)),
        ("u0", "i1", 1, pytest.approx(0.2)),
        ("u1", "i2", 0, pytest.approx(0.3)),
        ("u1", "i2", 1, pytest.approx(0.4)),
    ]


def test_a_table_comes_back_in_any_order() -> None:
    table = weights_table(SEQUENCES, WEIGHTS).sample(fraction=1.0, shuffle=True, seed=3)
    assert table["position"].to_list() != [0, 1, 0, 1, 2]
    torch.testing.assert_close(weights_from_table(SEQUENCES, table), WEIGHTS)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.drop("item"), "'item' missing"),
        (lambda t: t.head(4), r"user 'u1' position 2 has 0"),
        (lambda t: pl.concat([t, t.tail(1)]), r"user 'u1' position 2 has 2"),
        (lambda t: t.with_columns(user=pl.lit("u7")), "row 1 is no interaction .* user 'u7'"),
        (lambda t: t.with_columns(item=pl.lit("i2")), "row 1 .* item 'i2', position 0"),
        (lambda t: t.with_columns(position=pl.lit(2)), "row 1 .* position 2"),
        (lambda t: t.with_columns(position=pl.lit(None)), "row 1 .* position None"),
        (lambda t: t.with_columns(pl.col("position") + 0.4), "integers .* got Float64 and Float32"),
        (lambda t: t.with_columns(weight=pl.lit("x")), "numbers, got Int64 and String"),
    ],
)
def test_tables_of_other_interactions_are_refused(
    change: Callable[[pl.DataFrame], pl.DataFrame], message: str
) -> None:
    with pytest.raises(DataError, match=message):
        weights_from_table(SEQUENCES, change(weights_table(SEQUENCES, WEIGHTS)))


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -0.1])
def test_weights_must_be_finite_and_not_negative(bad: float) -> None:
    weights = WEIGHTS.clone()
    weights[2] = bad
    with pytest.raises(ValueError, match="finite and at least 0"):
        weights_table(SEQUENCES, weights)
    table = weights_table(SEQUENCES, WEIGHTS).with_columns(weight=pl.lit(bad))
    with pytest.raises(ValueError, match="finite and at least 0"):
        weights_from_table(SEQUENCES, table)


def test_a_weight_per_interaction_is_wanted() -> None:
    with pytest.raises(ValueError, match=r"weights must be \[5\], one per interaction, got \[4\]"):
        weights_table(SEQUENCES, WEIGHTS[:4])


FRAME = pl.DataFrame(
    {
        "user": ["b", "a", "b", "a", "a", "b"],
        "item": ["x", "x", "y", "z", "y", "x"],
        "time": [9, 5, 2, 1, 3, 4],
    }
)
# a: z, y, x;  b: y, x, x (row 0 is the last)


def test_every_row_of_the_frame_gets_the_weight_of_its_place() -> None:
    interactions = interactions_from_frame(FRAME)
    sequences = to_sequences(interactions)
    assert sequences.user_ids == ["b", "a"]
    found = row_weights(interactions, sequences, torch.tensor([0.0, 0.1, 0.2, 1.0, 1.1, 1.2]))
    torch.testing.assert_close(found, torch.tensor([0.2, 1.2, 0.0, 1.0, 1.1, 0.1]))


def test_rows_that_were_held_out_get_another_weight() -> None:
    interactions = interactions_from_frame(FRAME)
    train = to_sequences(interactions).without_last(1)
    weights = torch.tensor([0.0, 0.1, 0.2, 0.3])
    found = row_weights(interactions, train, weights, otherwise=7.0)
    torch.testing.assert_close(found, torch.tensor([7.0, 7.0, 0.0, 0.2, 0.3, 0.1]))


def test_rows_and_table_agree_on_larger_data() -> None:
    interactions = simulate_interactions(num_users=40, num_items=100, seed=2)
    train = leave_one_out(to_sequences(interactions)).train
    weights = torch.rand(train.num_interactions, generator=torch.Generator().manual_seed(0))
    rows = row_weights(interactions, train, weights, otherwise=2.0)
    assert int((rows == 2.0).sum()) == len(interactions) - train.num_interactions
    # Shuffling the rows of the file (times are unique per user) moves the weights along.
    order = torch.randperm(len(interactions), generator=torch.Generator().manual_seed(1))
    shuffled = replace(interactions, frame=interactions.frame[order.numpy()])
    assert interactions.frame.select("user", "time").is_unique().all()
    torch.testing.assert_close(
        row_weights(shuffled, train, weights, otherwise=2.0), rows[order], rtol=0, atol=0
    )


def test_sequences_of_other_interactions_are_refused() -> None:
    interactions = interactions_from_frame(FRAME)
    sequences = to_sequences(interactions)
    first_gone = sequences.where(torch.tensor([False, True, True, True, True, True]))
    with pytest.raises(DataError, match=r"4 of 5 interactions found in place; row 3: user 'b'"):
        row_weights(interactions, first_gone, torch.ones(5))
    fewer = interactions_from_frame(FRAME.filter(pl.col("user") == "a"))
    with pytest.raises(DataError, match="3 of 6 interactions found in place"):
        row_weights(fewer, sequences, torch.ones(6))
