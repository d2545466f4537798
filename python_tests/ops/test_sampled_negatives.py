"""uniform_negatives: values, key and refusals."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from atjt_ext.ops import keyed_draws, uniform_integers, uniform_negatives
from atjt_ext.ops.keyed_draws import Purpose
from helpers.chi_square import chi_square_z, independence_z

TARGETS = torch.tensor([1, 4, 9])


def test_they_are_every_other_item_alike_and_never_the_target(device: torch.device) -> None:
    drawn = uniform_negatives(TARGETS.to(device), 4000, num_items=9, seed=3)
    assert drawn.log_probs == pytest.approx(-math.log(8))
    for target, items in zip(TARGETS.tolist(), drawn.items.cpu(), strict=True):
        counts = torch.bincount(items, minlength=10)
        assert counts[0] == counts[target] == 0
        others = counts[(torch.arange(10) != target) & (torch.arange(10) > 0)]
        assert chi_square_z(others, 4000 / 8) < 4
    assert independence_z(drawn.items[0].cpu(), drawn.items[1].cpu()) < 4


def test_shared_ones_are_of_all_items(device: torch.device) -> None:
    targets = TARGETS.to(device)
    drawn = uniform_negatives(targets, 9000, num_items=9, seed=3, shared=True)
    assert drawn.items.shape == (9000,)
    assert drawn.log_probs == pytest.approx(-math.log(9))
    counts = torch.bincount(drawn.items.cpu(), minlength=10)
    assert counts[0] == 0
    assert chi_square_z(counts[1:], 1000) < 4


def test_they_are_what_the_keys_say(device: torch.device) -> None:
    keys = torch.tensor([5, 2**40, -3])
    draws = keyed_draws(keys, 6, purpose=Purpose.NEGATIVE_ITEM, seed=2**63, step=7)
    others = 1 + uniform_integers(draws, 99)
    wanted = others + (others >= TARGETS[:, None]).long()
    options: dict[str, Any] = {"num_items": 100, "seed": 2**63, "step": 7}
    targets = TARGETS.to(device)
    got = uniform_negatives(targets, 6, row_keys=keys.to(device), **options).items
    assert torch.equal(got.cpu(), wanted)
    order = torch.tensor([2, 0], device=device)
    part = uniform_negatives(targets[order], 6, row_keys=keys.to(device)[order], **options).items
    assert torch.equal(part, got[order])
    indices = uniform_negatives(targets, 6, row_keys=torch.arange(3, device=device), **options)
    assert torch.equal(uniform_negatives(targets, 6, **options).items, indices.items)
    other_step = uniform_negatives(targets, 6, **options | {"step": 8}).items
    assert not torch.equal(other_step, indices.items)


def test_ignored_targets_draw_items_too(device: torch.device) -> None:
    targets = torch.tensor([-100, 0, 2], device=device)
    items = uniform_negatives(targets, 500, num_items=5, seed=0).items
    assert items.min() >= 1
    assert items.max() <= 5


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"targets": torch.zeros(2, 2).long()}, ValueError, r"targets must be \[N\], got shape"),
        ({"targets": torch.zeros(3)}, ValueError, "targets must be int64, got torch.float32"),
        ({"num_negatives": -1}, ValueError, r"num_negatives must be in \[0, 2\*\*23\], got -1"),
        ({"num_negatives": 2.0}, TypeError, "num_negatives must be an integer"),
        ({"num_items": 1}, ValueError, r"num_items must be in \[2, 2\*\*31\), got 1"),
        ({"num_items": 0, "shared": True}, ValueError, r"num_items must be in \[1, 2\*\*31\)"),
        ({"row_keys": torch.zeros(2).long()}, ValueError, r"row_keys must be \[3\] like targets"),
    ],
)
def test_wrong_arguments_are_refused(
    change: dict[str, Any], error: type[Exception], message: str
) -> None:
    right: dict[str, Any] = {"targets": TARGETS, "num_negatives": 2, "num_items": 9, "seed": 0}
    with pytest.raises(error, match=message):
        uniform_negatives(**right | change)
