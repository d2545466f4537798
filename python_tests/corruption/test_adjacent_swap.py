"""AdjacentSwap: number and place of the swaps; nothing else moves."""

from __future__ import annotations

import pytest
import torch

from helpers.chi_square import chi_square_z
from helpers.damage_kinds import ALL_ROWS, sequences_of, swap


@pytest.mark.parametrize("include_target", [False, True])
def test_a_swap_moves_two_neighbours_and_nothing_else(include_target: bool) -> None:
    sequences = sequences_of(500, num_items=4)
    noisy = swap(2, **ALL_ROWS, include_target=include_target)(sequences, seed=5)
    assert torch.equal(noisy.sequences.sort(dim=1).values, sequences.sort(dim=1).values)
    assert torch.equal(noisy.replaced, noisy.sequences != sequences)
    marks = noisy.replaced.sum(dim=1)
    assert bool((marks % 2 == 0).all())
    assert int(marks.max()) == 4


def test_swaps_are_exact_where_pairs_are_enough() -> None:
    sequences = torch.arange(1, 14).repeat(300, 1)
    noisy = swap(3, **ALL_ROWS)(sequences, seed=5)
    assert bool((noisy.replaced.sum(dim=1) == 6).all())
    by_share = swap(0.5, **ALL_ROWS)(sequences, seed=5)  # of 12 in the history
    assert torch.equal(by_share.sequences, noisy.sequences)


def test_as_many_as_possible_leaves_no_pair_of_untouched_neighbours() -> None:
    sequences = torch.arange(1, 31).repeat(200, 1)
    noisy = swap(1.0, **ALL_ROWS, include_target=True)(sequences, seed=5)
    assert not (~noisy.replaced[:, 1:] & ~noisy.replaced[:, :-1]).any()


def test_items_that_are_all_the_same_cannot_be_swapped() -> None:
    noisy = swap(2, **ALL_ROWS)(torch.full((5, 8), 3), seed=0)
    assert not noisy.noise_labels.any()


def test_swapped_pairs_are_uniform() -> None:
    sequences = torch.arange(1, 13).repeat(20_000, 1)
    noisy = swap(1, **ALL_ROWS)(sequences, seed=13)
    counts = torch.bincount(noisy.replaced.long().argmax(dim=1))
    assert len(counts) == 10  # pairs of the eleven items in the history
    assert abs(chi_square_z(counts, 2000)) < 4
