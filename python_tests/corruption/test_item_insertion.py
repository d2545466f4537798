"""ItemInsertion: number, place and items of the insertions, and lost columns."""

from __future__ import annotations

import pytest
import torch

from helpers.chi_square import chi_square_z
from helpers.damage_kinds import ALL_ROWS, insertion, items_of, sequences_of


@pytest.mark.parametrize("include_target", [False, True])
def test_insertion_adds_exactly_as_many_where_there_is_room(include_target: bool) -> None:
    sequences = torch.nn.functional.pad(sequences_of(), (4, 0))
    noisy = insertion(4, **ALL_ROWS, include_target=include_target)(sequences, seed=5)
    items = (sequences != 0).sum(dim=1)
    places = (items - int(not include_target)).clamp(min=0)
    assert torch.equal(noisy.replaced.sum(dim=1), places.clamp(max=4))
    for before, after, marks in zip(sequences, noisy.sequences, noisy.replaced, strict=True):
        assert items_of(after[~marks]) == items_of(before)


def test_without_room_the_oldest_columns_are_lost() -> None:
    sequences = torch.randint(1, 61, (300, 6), generator=torch.Generator().manual_seed(0))
    noisy = insertion(3, **ALL_ROWS)(sequences, seed=5)
    assert bool((noisy.sequences != 0).all())
    assert bool(noisy.noise_labels.all())
    wide = insertion(3, **ALL_ROWS)(torch.nn.functional.pad(sequences, (3, 0)), seed=5)
    assert bool((wide.replaced.sum(dim=1) == 3).all())
    assert torch.equal(wide.sequences[:, 3:], noisy.sequences)


def test_an_inserted_item_differs_from_its_neighbours() -> None:
    sequences = sequences_of(400, num_items=3)
    noisy = insertion(1.0, **ALL_ROWS, num_items=3, include_target=True)(sequences, seed=2)
    left, right = noisy.sequences[:, :-1], noisy.sequences[:, 1:]
    touched = noisy.replaced[:, :-1] | noisy.replaced[:, 1:]
    assert not ((left == right) & touched).any()
    assert int(noisy.sequences[noisy.replaced].max()) == 3


def test_inserted_items_and_places_are_uniform() -> None:
    rows, width = 20_000, 10
    sequences = torch.nn.functional.pad(torch.tensor([7, 9] * (width // 2)), (2, 0)).repeat(rows, 1)
    noisy = insertion(2, **ALL_ROWS, num_items=20)(sequences, seed=3)
    inserted = torch.bincount(noisy.sequences[noisy.replaced], minlength=21)
    assert inserted[[0, 7, 9]].tolist() == [0, 0, 0]
    assert abs(chi_square_z(inserted[inserted > 0], 2 * rows / 18)) < 4
    # Index of the history item before each inserted item.
    before = (~noisy.replaced).cumsum(dim=1)[noisy.replaced] - 1
    counts = torch.bincount(before - (noisy.sequences == 0).sum(dim=1).repeat_interleave(2))
    assert len(counts) == width - 1
    shrink = (1 - 2 / 9) * 9 / 8
    assert abs(chi_square_z(counts, 2 * rows / 9, shrink)) < 4


# Slots of (mass of its own item in 2**-32, index of the item that has the rest). Of items 1 to 4,
# the second has the weight 1.25, the third 2, the fourth 0.75.
SLOTS = [(0, 2), (0, 1), (0, 2), (3 * 2**30, 1)]
TABLE = torch.tensor([((own + 2**31) % 2**32 - 2**31) * 2**32 + other for own, other in SLOTS])


def test_inserted_items_are_drawn_by_weight(device: torch.device) -> None:
    weighted = insertion(3, **ALL_ROWS, num_items=4, alias_table=TABLE.to(device))
    ones = torch.ones(3000, 8, dtype=torch.int64, device=device)
    for own, weights in ((1, [0, 0, 1.25, 2, 0.75]), (3, [0, 0, 1.25, 0, 0.75])):
        noisy = weighted(torch.nn.functional.pad(own * ones, (3, 0)), seed=2)
        counts = torch.bincount(noisy.sequences[noisy.replaced].cpu(), minlength=5).double()
        wanted = 9000 * torch.tensor(weights) / sum(weights)
        assert torch.equal(counts > 0, wanted > 0)
        error = (counts - wanted)[wanted > 0] ** 2 / wanted[wanted > 0]
        assert float(error.sum()) < 20  # two degrees of freedom at most


def test_weighted_items_differ_from_both_neighbours_whatever_the_padding() -> None:
    sequences = sequences_of(400, num_items=4)
    weighted = insertion(1.0, **ALL_ROWS, num_items=4, alias_table=TABLE)
    noisy = weighted(sequences, seed=2)
    left, right = noisy.sequences[:, :-1], noisy.sequences[:, 1:]
    assert not ((left == right) & (noisy.replaced[:, :-1] | noisy.replaced[:, 1:])).any()
    wide = weighted(torch.nn.functional.pad(sequences, (7, 0)), seed=2)
    assert torch.equal(wide.sequences[:, 7:], noisy.sequences)


def test_where_only_neighbours_have_weight_nothing_is_inserted() -> None:
    all_on_the_second = torch.tensor([1, 1, 1])
    weighted = insertion(1, **ALL_ROWS, num_items=3, alias_table=all_on_the_second)
    noisy = weighted(torch.tensor([[0, 0, 2, 3], [0, 0, 3, 1]]), seed=0)
    assert noisy.sequences.tolist() == [[0, 0, 2, 3], [0, 3, 2, 1]]
    assert noisy.noise_labels.tolist() == [False, True]


def test_a_wrong_alias_table_is_refused() -> None:
    with pytest.raises(ValueError, match=r"alias_table must be \[5\] torch.int64, got \[4\]"):
        insertion(1, num_items=5, alias_table=TABLE)
    with pytest.raises(ValueError, match=r"alias_table must be .* got .*float32"):
        insertion(1, num_items=4, alias_table=TABLE.float())
    with pytest.raises(ValueError, match="alias_table must be on cpu, got meta"):
        insertion(1, num_items=4, alias_table=TABLE.to("meta"))(torch.ones(1, 2).long(), seed=0)


def test_an_id_outside_the_catalogue_is_refused_on_the_cpu() -> None:
    with pytest.raises(ValueError, match=r"sequences must hold items in 1\.\.60 or 0, got 61"):
        insertion(1)(torch.tensor([[1, 61, 3]]), seed=0)
