"""ItemDeletion: number and place of the deletions, and the marks of gaps."""

from __future__ import annotations

import itertools

import pytest
import torch

from helpers.chi_square import chi_square_z
from helpers.damage_kinds import ALL_ROWS, deletion, items_of, sequences_of


def is_subsequence(part: list[int], whole: list[int]) -> bool:
    rest = iter(whole)
    return all(item in rest for item in part)


@pytest.mark.parametrize("include_target", [False, True])
def test_deletion_removes_exactly_as_many_but_the_last_remaining(include_target: bool) -> None:
    sequences = sequences_of()
    noisy = deletion(3, **ALL_ROWS, include_target=include_target)(sequences, seed=5)
    items = (sequences != 0).sum(dim=1)
    can_go = (items - 1 - int(not include_target)).clamp(min=0)
    assert torch.equal(items - (noisy.sequences != 0).sum(dim=1), can_go.clamp(max=3))
    for before, after in zip(sequences, noisy.sequences, strict=True):
        assert is_subsequence(items_of(after), items_of(before))


def test_delete_ratio_is_a_share_of_the_history() -> None:
    sequences = sequences_of()
    noisy = deletion(0.3, **ALL_ROWS)(sequences, seed=6)
    history = (sequences[:, :-1] != 0).sum(dim=1)
    wanted = torch.minimum((0.3 * history + 0.5).floor().long(), (history - 1).clamp(min=0))
    assert torch.equal(((sequences != 0) & (noisy.sequences == 0)).sum(dim=1), wanted)


def test_the_item_behind_a_gap_is_marked() -> None:
    sequences = torch.tensor([[0, 1, 2, 3, 4, 5]]).repeat(500, 1)
    noisy = deletion(2, **ALL_ROWS)(sequences, seed=1)
    seen = set()
    for items, marks in zip(noisy.sequences.tolist(), noisy.replaced.tolist(), strict=True):
        row = [0, *(item for item in items if item != 0)]
        gaps = [right - left > 1 for left, right in itertools.pairwise(row)]
        assert marks == [False] * (6 - len(gaps)) + gaps
        seen.add(tuple(row))
    assert len(seen) == 6  # every two of the four in the history


def test_a_gap_at_the_end_marks_the_new_last_item() -> None:
    sequences = torch.tensor([[1, 2, 3]]).repeat(100, 1)
    noisy = deletion(1, **ALL_ROWS, include_target=True)(sequences, seed=1)
    cut = noisy.sequences[:, -1] == 2
    assert 10 < int(cut.sum()) < 60
    assert noisy.replaced[cut].tolist() == [[False, False, True]] * int(cut.sum())


def test_deleted_positions_are_uniform() -> None:
    sequences = torch.arange(1, 12).repeat(20_000, 1)
    noisy = deletion(3, **ALL_ROWS)(sequences, seed=11)
    stayed = torch.bincount(noisy.sequences.flatten(), minlength=12)[1:11]
    assert abs(chi_square_z(20_000 - stayed, 20_000 * 0.3, (1 - 0.3) * 10 / 9)) < 4
