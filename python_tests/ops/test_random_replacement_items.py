"""random_replacement: drawn items, target columns and side features."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from atjt_ext.ops import alias_table, random_replacement, reference
from helpers.replacement import assert_same, padded_sequences, side_features, skewed_table, to


def test_an_item_of_weight_zero_is_never_drawn(device: torch.device) -> None:
    sequences = padded_sequences(80, 30, num_items=40).to(device)
    table = skewed_table(40).to(device)
    noisy = random_replacement(
        sequences, num_items=40, seed=3, replace_ratio=1.0, alias_table=table
    )
    assert torch.equal(noisy.replaced, sequences != 0)
    drawn = set(noisy.sequences[noisy.replaced].tolist())
    assert not drawn & set(range(7, 41, 7))
    assert len(drawn) > 20


@pytest.mark.parametrize("weighted", [False, True])
def test_the_history_is_avoided_targets_included(device: torch.device, weighted: bool) -> None:
    sequences = padded_sequences(60, 12, num_items=15).to(device)
    noisy = random_replacement(
        sequences,
        num_items=15,
        seed=3,
        replace_probability=0.7,
        num_targets=2,
        avoid_history=True,
        alias_table=skewed_table(15).to(device) if weighted else None,
    )
    assert int(noisy.replaced.sum()) > 100
    for before, after, replaced in zip(
        sequences.tolist(), noisy.sequences.tolist(), noisy.replaced.tolist(), strict=True
    ):
        new = {item for item, is_new in zip(after, replaced, strict=True) if is_new}
        assert not new & set(before)


def test_without_avoid_history_items_of_the_row_come_back(device: torch.device) -> None:
    sequences = torch.arange(1, 21, device=device).expand(20, 20)
    noisy = random_replacement(sequences, num_items=20, seed=3, replace_ratio=1.0)
    assert noisy.replaced.all()


@pytest.mark.parametrize("missing", [[50], [1], [17, 31]])
def test_the_only_items_left_are_found_however_unlikely(
    device: torch.device, missing: list[int]
) -> None:
    # Every draw misses 48 or 49 times in 50: about half of all positions run out of attempts.
    row = torch.tensor([item for item in range(1, 51) if item not in missing])
    sequences = row.repeat(8, 1)
    options: dict[str, Any] = dict(num_items=50, seed=1, num_replacements=20, avoid_history=True)
    noisy = random_replacement(sequences.to(device), **options)
    assert_same(noisy, reference.random_replacement(sequences, **options))
    assert noisy.replaced.sum(dim=1).tolist() == [20] * 8
    assert set(noisy.sequences[noisy.replaced].tolist()) == set(missing)


def test_the_last_attempt_counts_like_the_first(device: torch.device) -> None:
    # 3 of 50 items are left: one position in 113 finds its item at the last attempt of 32.
    sequences = torch.tensor([item for item in range(1, 51) if item % 13]).repeat(24, 1)
    options: dict[str, Any] = dict(num_items=50, seed=1, replace_ratio=1.0, avoid_history=True)
    noisy = random_replacement(sequences.to(device), **options)
    assert_same(noisy, reference.random_replacement(sequences, **options))


@pytest.mark.parametrize("avoid_history", [False, True])
def test_little_weight_beside_the_original_is_found(
    device: torch.device, avoid_history: bool
) -> None:
    # Nearly all draws give the original, the first item.
    table = alias_table(torch.tensor([1e9, 0, 2, 1, 3, 0, 2], dtype=torch.float64))
    sequences = torch.ones(30, 5, dtype=torch.int64)
    sequences[:, 3] = 3
    options = dict(
        num_items=7, seed=2, replace_ratio=0.6, alias_table=table, avoid_history=avoid_history
    )
    noisy = random_replacement(sequences.to(device), **to(device, options))
    assert_same(noisy, reference.random_replacement(sequences, **options))
    assert noisy.replaced.sum(dim=1).tolist() == [3] * 30
    at_ones = noisy.replaced & (sequences.to(device) == 1)
    assert set(noisy.sequences[at_ones].tolist()) == ({4, 5, 7} if avoid_history else {3, 4, 5, 7})


def test_where_no_item_is_left_the_item_stays(device: torch.device) -> None:
    sequences = torch.tensor([[1, 2, 3, 4], [1, 2, 3, 3], [0, 0, 2, 2]], device=device)
    noisy = random_replacement(
        sequences, num_items=4, seed=0, replace_ratio=1.0, avoid_history=True
    )
    assert noisy.noise_labels.tolist() == [False, True, True]
    assert noisy.sequences[0].tolist() == [1, 2, 3, 4]
    assert noisy.sequences[1].tolist() == [4, 4, 4, 4]
    assert torch.equal(noisy.replaced.any(dim=1), noisy.noise_labels)
    assert torch.equal(noisy.replaced, noisy.sequences != sequences)


def test_where_the_original_has_all_the_weight_it_stays(device: torch.device) -> None:
    table = alias_table(torch.tensor([0, 1, 0], dtype=torch.float64)).to(device)
    sequences = torch.tensor([[1, 2, 3], [2, 2, 2]], device=device)
    features = side_features(sequences.cpu(), 3, (torch.int64,))
    noisy = random_replacement(
        sequences, num_items=3, seed=0, replace_ratio=1.0, alias_table=table, **to(device, features)
    )
    assert noisy.replaced.tolist() == [[True, False, True], [False] * 3]
    assert noisy.sequences.tolist() == [[2, 2, 2], [2, 2, 2]]
    assert noisy.noise_labels.tolist() == [True, False]
    assert torch.equal(
        noisy.features[0].cpu(), features["feature_tables"][0][noisy.sequences.cpu()]
    )


def test_a_table_from_elsewhere_leads_to_no_item_out_of_range(device: torch.device) -> None:
    sequences = padded_sequences(20, 30, num_items=9).to(device)
    table = torch.full((9,), -1, device=device)
    noisy = random_replacement(sequences, num_items=9, seed=0, replace_ratio=1.0, alias_table=table)
    assert int(noisy.sequences.min()) >= 0
    assert int(noisy.sequences.max()) <= 9


@pytest.mark.parametrize("num_targets", [1, 2, 3, 4, 9, 10, 11])
@pytest.mark.parametrize("amount", [{"num_replacements": 2}, {"replace_probability": 0.5}])
def test_targets_are_kept_and_change_no_draw(
    device: torch.device, num_targets: int, amount: dict[str, Any]
) -> None:
    sequences = padded_sequences(50, 10, num_items=30).to(device)
    options = dict(num_items=30, seed=5, sequence_fraction=0.7, **amount)
    noisy = random_replacement(sequences, num_targets=num_targets, **options)
    history = sequences[:, : max(10 - num_targets, 0)]
    alone = random_replacement(history, **options)
    assert torch.equal(noisy.noise_labels, alone.noise_labels)
    assert torch.equal(noisy.sequences[:, : history.shape[1]], alone.sequences)
    assert torch.equal(noisy.replaced[:, : history.shape[1]], alone.replaced)
    assert torch.equal(noisy.sequences[:, history.shape[1] :], sequences[:, history.shape[1] :])
    assert not noisy.replaced[:, history.shape[1] :].any()


# 1 to 8 bytes apart, so that rows begin at every alignment.
@pytest.mark.parametrize("length", [1, 2, 3, 4, 7, 8, 33])
@pytest.mark.parametrize("ids", [torch.int32, torch.int64])
def test_features_follow_the_items(device: torch.device, length: int, ids: torch.dtype) -> None:
    dtypes = (torch.int32, torch.int64, torch.float32, torch.float64)
    sequences = padded_sequences(20, length, num_items=30)
    features = to(device, side_features(sequences, 30, dtypes))
    before = [column.clone() for column in features["features"]]
    noisy = random_replacement(
        sequences.to(device, ids),
        num_items=30,
        seed=1,
        replace_ratio=0.5,
        sequence_fraction=0.8,
        **features,
    )
    assert len(noisy.features) == 4
    for column, table, old, kept in zip(
        noisy.features, features["feature_tables"], features["features"], before, strict=True
    ):
        assert column.dtype == table.dtype
        assert torch.equal(column, table[noisy.sequences.long()])
        assert torch.equal(old, kept)


def test_features_of_untouched_positions_are_copied_not_looked_up(device: torch.device) -> None:
    sequences = padded_sequences(20, 9, num_items=30).to(device)
    column = torch.rand(20, 9, device=device)
    table = -torch.arange(31.0, device=device)
    noisy = random_replacement(
        sequences,
        num_items=30,
        seed=1,
        replace_ratio=0.5,
        features=[column],
        feature_tables=[table],
    )
    wanted = torch.where(noisy.replaced, table[noisy.sequences], column)
    assert torch.equal(noisy.features[0], wanted)


def test_sixty_four_features_fit_into_one_call(device: torch.device) -> None:
    sequences = padded_sequences(5, 6, num_items=30)
    features = side_features(sequences, 30, (torch.int32, torch.float64) * 32)
    noisy = random_replacement(
        sequences.to(device), num_items=30, seed=1, replace_ratio=0.5, **to(device, features)
    )
    for column, table in zip(noisy.features, features["feature_tables"], strict=True):
        assert torch.equal(column.cpu(), table[noisy.sequences.cpu()])
