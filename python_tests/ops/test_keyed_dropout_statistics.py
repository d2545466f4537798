"""The masks of keyed_dropout: the right share is dropped, and no two masks know of each other."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from atjt_ext.ops import keyed_dropout
from helpers.chi_square import chi_square_z, independence_z

ROWS, LENGTH, WIDTH = 400, 50, 64
KEYS = torch.arange(ROWS).repeat_interleave(LENGTH)
POSITIONS = torch.arange(LENGTH).repeat(ROWS)
PROBABILITIES = [0.1, 0.25, 0.5, 0.8]


def mask(p: float, **change: Any) -> Tensor:
    """``[ROWS, LENGTH, WIDTH]``, 1 where a number is dropped."""
    options: dict[str, Any] = dict(row_keys=KEYS, positions=POSITIONS, layer=0, seed=1, step=7)
    ones = torch.ones(len(KEYS), WIDTH)
    got = keyed_dropout(ones, p, **options | change)
    return (got == 0).long().view(ROWS, LENGTH, WIDTH)


@pytest.mark.parametrize("p", PROBABILITIES)
@pytest.mark.parametrize("kept_axes", [(0,), (1,), (2,), (0, 1), (0, 2), (1, 2)])
def test_every_row_position_and_channel_loses_the_same_share(
    p: float, kept_axes: tuple[int, ...]
) -> None:
    dropped = mask(p)
    counts = dropped.sum([axis for axis in range(3) if axis not in kept_axes])
    exact = round(p * 2**16) / 2**16
    expected = exact * dropped.numel() / counts.numel()
    assert abs(chi_square_z(counts, expected, shrink=1 - exact)) < 4.5


@pytest.mark.parametrize("p", PROBABILITIES)
def test_the_whole_share_is_exact(p: float) -> None:
    exact, steps = round(p * 2**16) / 2**16, 20
    dropped = sum(int(mask(p, step=step).sum()) for step in range(steps))
    count = steps * ROWS * LENGTH * WIDTH
    assert abs(dropped - exact * count) < 4 * (count * exact * (1 - exact)) ** 0.5


def patterns(dropped: Tensor) -> Tensor:
    """Two neighbours as a number below 4."""
    return (2 * dropped[..., 0::2] + dropped[..., 1::2]).flatten()


@pytest.mark.parametrize("p", PROBABILITIES)
@pytest.mark.parametrize(
    "change", [{"layer": 1}, {"step": 8}, {"seed": 2}, {"seed": 1 + 2**32}, {"layer": 2**31}]
)
def test_masks_of_neighbouring_names_are_independent(p: float, change: dict[str, Any]) -> None:
    assert abs(independence_z(patterns(mask(p)), patterns(mask(p, **change)))) < 5


@pytest.mark.parametrize("p", PROBABILITIES)
def test_neighbours_in_a_mask_are_independent(p: float) -> None:
    dropped = mask(p)
    pairs = {
        "rows": (dropped[:-1], dropped[1:]),
        "positions": (dropped[:, :-1], dropped[:, 1:]),
        "groups": (dropped[..., :-8], dropped[..., 8:]),
        "channels": (dropped[..., :-2], dropped[..., 2:]),
        "rows and positions": (dropped[:-1, :-1], dropped[1:, 1:]),
    }
    for name, (one, other) in pairs.items():
        assert abs(independence_z(patterns(one), patterns(other))) < 5, name
    for lag in (1, 2, 3, 7):
        one, other = dropped[..., :-lag].flatten(), dropped[..., lag:].flatten()
        assert abs(independence_z(one, other)) < 8, lag  # one degree of freedom: |N(0, 1)| < 3.5


@pytest.mark.parametrize("p", PROBABILITIES)
def test_the_patterns_of_a_group_are_as_frequent_as_they_must_be(p: float) -> None:
    dropped = mask(p).view(-1, 8)
    exact = round(p * 2**16) / 2**16
    counts = torch.bincount(dropped @ 2 ** torch.arange(8), minlength=256).double()
    number = (torch.arange(256)[:, None] >> torch.arange(8) & 1).sum(1)  # of numbers dropped
    expected = len(dropped) * exact**number * (1 - exact) ** (8 - number)
    # Rare patterns together: a chi-square needs a few of each.
    rare = expected < 10
    counts = torch.cat([counts[~rare], counts[rare].sum()[None]])
    expected = torch.cat([expected[~rare], expected[rare].sum()[None]])
    present = expected > 0
    assert abs(chi_square_z(counts[present], expected[present])) < 4
