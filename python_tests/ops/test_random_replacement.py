"""random_replacement has the bits of the reference and the properties of its definition."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from atjt_ext.ops import random_replacement, reference
from atjt_ext.ops.reference import corruption
from helpers.native_parts import philox4x32_10
from helpers.replacement import (
    assert_same,
    complete,
    every_combination,
    padded_sequences,
    side_features,
    skewed_table,
    to,
)


# Lengths around the group of 4 draws, the 8 and 16 lanes of a vector and a warp; 200 is typical.
@pytest.mark.parametrize("length", [1, 3, 4, 5, 15, 16, 17, 31, 33, 64, 129, 200, 1000])
@pytest.mark.parametrize("amount", [{"num_replacements": 3}, {"replace_ratio": 0.3}])
def test_equals_the_reference_to_the_bit(
    device: torch.device, length: int, amount: dict[str, Any]
) -> None:
    sequences = padded_sequences(67, length, num_items=50)
    options = dict(num_items=50, seed=9, step=2, sequence_fraction=0.6, **amount)
    got = random_replacement(sequences.to(device), **options)
    assert_same(got, reference.random_replacement(sequences, **options))


@pytest.mark.parametrize("options", list(every_combination()), ids=lambda o: "-".join(o) or "plain")
def test_every_combination_of_options_equals_the_reference(
    device: torch.device, options: dict[str, Any]
) -> None:
    # 20 items in rows of up to 15: many draws are repeated.
    sequences = padded_sequences(19, 15, num_items=20, seed=5)
    options = complete(options, num_items=20) | side_features(
        sequences, 20, (torch.int64, torch.float32)
    )
    got = random_replacement(sequences.to(device), **to(device, options))
    assert_same(got, reference.random_replacement(sequences, **options))


@given(
    rows=st.integers(0, 9),
    length=st.integers(0, 40),
    num_items=st.sampled_from([2, 3, 50, 2**31 - 1]),
    seed=st.integers(0, 2**64 - 1),
    step=st.integers(0, 2**32 - 1),
    fraction=st.floats(0, 1),
    ratio=st.floats(0, 1),
    how_rows=st.sampled_from(["sequence_fraction", "sequence_probability"]),
    how_positions=st.sampled_from(["replace_ratio", "replace_probability"]),
    avoid_history=st.booleans(),
    weighted=st.booleans(),
    num_targets=st.integers(0, 3),
    key=st.integers(-(2**63), 2**63 - 10),
)
@settings(max_examples=200, deadline=None)
def test_equals_the_reference_for_any_options(
    rows: int,
    length: int,
    num_items: int,
    seed: int,
    step: int,
    fraction: float,
    ratio: float,
    how_rows: str,
    how_positions: str,
    avoid_history: bool,
    weighted: bool,
    num_targets: int,
    key: int,
) -> None:
    sequences = padded_sequences(rows, length, num_items, seed % 1000)
    options = dict(
        num_items=num_items,
        seed=seed,
        step=step,
        row_keys=torch.arange(rows) + key,
        avoid_history=avoid_history and num_items < 2**31 - 1,  # the reference lists what remains
        alias_table=skewed_table(num_items) if weighted and num_items < 100 else None,
        num_targets=num_targets,
        **{how_rows: fraction, how_positions: ratio},
    )
    got = random_replacement(sequences, **options)
    assert_same(got, reference.random_replacement(sequences, **options))


def test_int32_gives_the_same_numbers_as_int64(device: torch.device) -> None:
    sequences = padded_sequences(40, 30, num_items=500).to(device)
    wide = random_replacement(sequences, num_items=500, seed=3, num_replacements=4)
    narrow = random_replacement(sequences.int(), num_items=500, seed=3, num_replacements=4)
    assert narrow.sequences.dtype == torch.int32
    assert torch.equal(narrow.sequences.long(), wide.sequences)
    assert torch.equal(narrow.replaced, wide.replaced)


def test_what_is_drawn_for_a_row_depends_on_its_key_alone(device: torch.device) -> None:
    sequences = padded_sequences(30, 20, num_items=70).to(device)
    keys = torch.arange(30, device=device) * 10**12 - 7
    options = dict(num_items=70, seed=8, replace_ratio=0.5)
    whole = random_replacement(sequences, row_keys=keys, **options)
    order = torch.randperm(30)[:11].to(device)
    part = random_replacement(sequences[order], row_keys=keys[order], **options)
    assert torch.equal(part.sequences, whole.sequences[order])


def test_with_probabilities_all_about_a_row_depends_on_its_key_alone(device: torch.device) -> None:
    sequences = padded_sequences(60, 20, num_items=70).to(device)
    keys = torch.arange(60, device=device) * 31 + 2**40
    options = dict(num_items=70, seed=8, sequence_probability=0.5, replace_probability=0.3)
    whole = random_replacement(sequences, row_keys=keys, **options)
    assert 15 < int(whole.noise_labels.sum()) < 45
    order = torch.randperm(60)[:23].to(device)
    part = random_replacement(sequences[order], row_keys=keys[order], **options)
    assert torch.equal(part.sequences, whole.sequences[order])
    assert torch.equal(part.noise_labels, whole.noise_labels[order])


@pytest.mark.parametrize("more", [1, 2, 3, 4, 37])
def test_padding_on_the_left_changes_nothing(device: torch.device, more: int) -> None:
    # A row is padded to the longest of its batch; its draws must not depend on the padding.
    sequences = padded_sequences(40, 21, num_items=50).to(device)
    wider = torch.nn.functional.pad(sequences, (more, 0))
    options = {"num_items": 50, "seed": 4, "sequence_fraction": 0.7, "replace_ratio": 0.4}
    narrow, wide = (random_replacement(s, **options) for s in (sequences, wider))
    assert torch.equal(wide.sequences[:, more:], narrow.sequences)
    assert torch.equal(wide.replaced[:, more:], narrow.replaced)
    assert not wide.sequences[:, :more].any()


@pytest.mark.parametrize("change", [{"seed": 1}, {"seed": 2**32}, {"step": 1}, {"row_keys": 1}])
def test_every_part_of_the_key_changes_the_draws(change: dict[str, Any]) -> None:
    sequences = padded_sequences(50, 50, num_items=10**6)
    options: dict[str, Any] = dict(num_items=10**6, seed=0, replace_ratio=0.5)
    if "row_keys" in change:
        change = {"row_keys": torch.arange(50) + 2**32}
    before = random_replacement(sequences, **options)
    after = random_replacement(sequences, **options | change)
    share_in_common = (before.replaced & after.replaced).sum() / before.replaced.sum()
    assert 0.4 < share_in_common < 0.6  # two independent halves of the positions


def test_counts_are_exact(device: torch.device) -> None:
    sequences = padded_sequences(101, 37, num_items=500).to(device)
    items = (sequences != 0).sum(dim=1)
    by_share = random_replacement(sequences, num_items=500, seed=1, replace_ratio=0.29)
    assert torch.equal(by_share.replaced.sum(dim=1), (items * 0.29 + 0.5).floor().long())
    by_count = random_replacement(sequences, num_items=500, seed=1, num_replacements=6)
    assert torch.equal(by_count.replaced.sum(dim=1), items.clamp(max=6))


@pytest.mark.parametrize(("fraction", "rows"), [(0.0, 0), (0.5, 51), (0.29, 29), (1.0, 101)])
def test_the_number_of_rows_is_exact(device: torch.device, fraction: float, rows: int) -> None:
    sequences = torch.ones(101, 8, dtype=torch.int64, device=device)
    noisy = random_replacement(
        sequences, num_items=5, seed=4, sequence_fraction=fraction, num_replacements=2
    )
    assert int(noisy.noise_labels.sum()) == rows
    assert torch.equal(noisy.replaced.any(dim=1), noisy.noise_labels)


@pytest.mark.parametrize("how", ["sequence_fraction", "sequence_probability"])
@pytest.mark.parametrize("share", [0.0, 1.0])
def test_the_ends_of_the_scale_take_no_row_and_every_row(
    device: torch.device, how: str, share: float
) -> None:
    sequences = torch.ones(30, 4, dtype=torch.int64, device=device)
    noisy = random_replacement(sequences, num_items=9, seed=1, replace_ratio=0.5, **{how: share})
    assert noisy.noise_labels.tolist() == [share == 1] * 30


@pytest.mark.parametrize("how", ["replace_ratio", "replace_probability"])
@pytest.mark.parametrize("share", [0.0, 1.0])
def test_the_ends_of_the_scale_take_no_item_and_every_item(
    device: torch.device, how: str, share: float
) -> None:
    sequences = padded_sequences(20, 9, num_items=9).to(device)
    noisy = random_replacement(sequences, num_items=9, seed=1, **{how: share})
    assert torch.equal(noisy.replaced, (sequences != 0) & (share == 1))


# All equal draws lie below, in or above the range in which the search expects the cutoff; the seeds
# cover these cases.
@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("fraction", [0.2, 0.5, 0.9])
def test_equal_draws_of_many_rows_do_not_mislead_the_search(
    device: torch.device, seed: int, fraction: float
) -> None:
    sequences = torch.ones(700, 1, dtype=torch.int64, device=device)
    keys = torch.zeros(700, dtype=torch.int64, device=device)
    keys[650:] = torch.arange(50, device=device)
    options: dict[str, Any] = dict(num_items=5, num_replacements=1, sequence_fraction=fraction)
    noisy = random_replacement(sequences, seed=seed, row_keys=keys, **options)
    wanted = reference.random_replacement(
        sequences.cpu(), seed=seed, row_keys=keys.cpu(), **options
    )
    assert_same(noisy, wanted)


def test_more_equal_draws_than_the_search_has_room_for_are_settled_too(
    device: torch.device,
) -> None:
    low, high, _, _ = philox4x32_10((5, 0, 0, 0), (7, 0))
    fraction = (high * 2**32 + low) / 2**64  # all draws lie in the range of the search
    assert 0.1 < fraction < 0.9
    sequences = torch.ones(3300, 1, dtype=torch.int64, device=device)
    keys = torch.full((3300,), 5, device=device)
    noisy = random_replacement(
        sequences,
        num_items=5,
        seed=7,
        sequence_fraction=fraction,
        num_replacements=1,
        row_keys=keys,
    )
    chosen = int(fraction * 3300 + 0.5)
    assert torch.equal(noisy.noise_labels.cpu(), torch.arange(3300) < chosen)


def test_equal_row_keys_are_settled_by_the_row_index(device: torch.device) -> None:
    sequences = torch.ones(40, 4, dtype=torch.int64, device=device)
    keys = torch.zeros(40, dtype=torch.int64, device=device)
    noisy = random_replacement(
        sequences, num_items=5, seed=4, sequence_fraction=0.3, num_replacements=1, row_keys=keys
    )
    assert noisy.noise_labels.tolist() == [True] * 12 + [False] * 28


def test_equal_draws_of_positions_are_settled_by_the_position(device: torch.device) -> None:
    length = 2**17  # enough 32-bit draws for some to be equal
    groups = torch.arange((2**28 - length) // 4, 2**26)  # indices are counted from the end
    seed = 2
    draws = corruption._draws(torch.tensor([0]), corruption._POSITION, groups, seed, 0).flatten()
    order = torch.argsort(draws, stable=True)
    (twins,) = (draws[order[:-1]] == draws[order[1:]]).nonzero(as_tuple=True)
    assert len(twins) > 0
    rank = int(twins[0])
    sequences = torch.ones(1, length, dtype=torch.int64, device=device)
    for skipped in (0, 1):  # padding must not take part
        sequences[0, order[rank + 2 :: 7]] = skipped
        count = rank + 1  # the first of the twins, not the second
        noisy = random_replacement(sequences, num_items=5, seed=seed, num_replacements=count)
        assert torch.equal(noisy.replaced[0].nonzero()[:, 0].cpu(), order[:count].sort().values)


def test_a_replacement_is_another_item_and_nothing_else_changes(device: torch.device) -> None:
    sequences = padded_sequences(300, 25, num_items=4).to(device)
    noisy = random_replacement(sequences, num_items=4, seed=2, replace_ratio=0.5)
    assert torch.equal(noisy.sequences != sequences, noisy.replaced)
    assert not noisy.replaced[sequences == 0].any()
    new = noisy.sequences[noisy.replaced]
    assert int(new.min()) == 1
    assert int(new.max()) == 4


def test_of_two_items_the_other_one_is_taken(device: torch.device) -> None:
    sequences = padded_sequences(20, 12, num_items=2).to(device)
    noisy = random_replacement(sequences, num_items=2, seed=2, replace_ratio=1.0)
    assert torch.equal(noisy.sequences, torch.where(sequences == 0, 0, 3 - sequences))


@pytest.mark.parametrize("padding_idx", [-1, 0, 8])
def test_any_id_outside_the_catalogue_can_be_padding(
    device: torch.device, padding_idx: int
) -> None:
    sequences = torch.tensor([[padding_idx, 1, 7], [padding_idx] * 3], device=device)
    noisy = random_replacement(
        sequences, num_items=7, seed=1, replace_ratio=1.0, padding_idx=padding_idx
    )
    assert torch.equal(noisy.replaced, sequences != padding_idx)
    assert torch.equal(noisy.sequences == padding_idx, sequences == padding_idx)


def test_a_chosen_row_without_items_is_not_labelled_as_noise(device: torch.device) -> None:
    sequences = torch.tensor([[0, 0], [0, 3]], device=device)
    noisy = random_replacement(sequences, num_items=5, seed=0, num_replacements=1)
    assert noisy.noise_labels.tolist() == [False, True]


@pytest.mark.parametrize("shape", [(0, 5), (5, 0), (0, 0)])
def test_empty_batches_come_back_empty(device: torch.device, shape: tuple[int, int]) -> None:
    sequences = torch.ones(shape, dtype=torch.int64, device=device)
    noisy = random_replacement(sequences, num_items=5, seed=0, replace_ratio=0.5)
    assert noisy.sequences.shape == noisy.replaced.shape == shape
    assert noisy.noise_labels.tolist() == [False] * shape[0]


def test_one_item_is_enough_where_nothing_is_replaced() -> None:
    sequences = torch.ones(2, 3, dtype=torch.int64)
    noisy = random_replacement(sequences, num_items=1, seed=0, replace_ratio=0.0)
    assert torch.equal(noisy.sequences, sequences)
