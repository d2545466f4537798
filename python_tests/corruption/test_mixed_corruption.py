"""MixedCorruption: each row gets one kind, in the given shares."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from atjt_ext import MixedCorruption, RandomReplacement
from atjt_ext.corruption import CorruptionOutput
from helpers.chi_square import chi_square_z
from helpers.damage_kinds import ALL_ROWS, NUM_ITEMS, deletion, insertion, sequences_of, swap


def test_each_row_of_a_mixture_is_damaged_by_one_kind_chosen_evenly() -> None:
    sequences = sequences_of(3000, 12).clamp(min=1)
    kinds = (
        deletion(2, **ALL_ROWS),
        insertion(2, **ALL_ROWS),
        RandomReplacement(num_items=NUM_ITEMS, num_replacements=2, sequence_fraction=1.0),
    )
    mixed = MixedCorruption(kinds)(sequences, seed=9)
    outputs = [kind(sequences, seed=9) for kind in kinds]
    same = torch.stack([(mixed.sequences == output.sequences).all(1) for output in outputs])
    assert torch.equal(same.sum(dim=0), torch.ones(3000, dtype=torch.int64))
    assert abs(chi_square_z(same.sum(dim=1), 1000)) < 4
    for own, output in zip(same, outputs, strict=True):
        assert torch.equal(mixed.replaced[own], output.replaced[own])


def test_a_mixture_of_one_kind_is_that_kind() -> None:
    sequences = sequences_of()
    mixed = MixedCorruption((swap(2),))(sequences, seed=1, step=2)
    assert all(map(torch.equal, mixed, swap(2)(sequences, seed=1, step=2)))


def test_a_mixture_in_a_mixture_gets_its_share_and_no_more() -> None:
    one, two, three = deletion(1, **ALL_ROWS), insertion(1, **ALL_ROWS), swap(1, **ALL_ROWS)
    nested = MixedCorruption([one, MixedCorruption((two, three))])
    assert nested == MixedCorruption((one, one, two, three))
    assert MixedCorruption((nested, one)).corruptions == (one, one, two, three, *[one] * 4)
    sequences = torch.arange(12).repeat(4000, 1)  # room for an item: no two kinds do the same
    mixed = nested(sequences, seed=9).sequences
    same = torch.stack(
        [(mixed == kind(sequences, seed=9).sequences).all(1) for kind in (one, two, three)]
    ).sum(dim=1)
    assert int(same.sum()) == 4000
    assert abs(chi_square_z(same, torch.tensor([2000.0, 1000.0, 1000.0]))) < 4


def test_a_kind_given_twice_is_twice_as_likely_and_runs_once() -> None:
    runs = []

    def counted(sequences: Tensor, **options: Any) -> CorruptionOutput:
        runs.append(options)
        return swap(1, **ALL_ROWS)(sequences, **options)

    sequences = torch.arange(1, 12).repeat(3000, 1)
    mixed = MixedCorruption((counted, counted, deletion(1, **ALL_ROWS)))(sequences, seed=2)
    swapped = (mixed.sequences != 0).all(dim=1).sum()
    assert len(runs) == 1
    assert abs(int(swapped) - 2000) < 4 * (3000 * 2 / 9) ** 0.5
