"""alias_table has the bits of the reference, and the exact mass of every weight."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from atjt_ext.ops import alias_table, reference


def masses_in(table: Tensor) -> list[int]:
    """The mass of every item, summed over all slots."""
    masses = [0] * len(table)
    for slot, entry in enumerate(table.tolist()):
        own = entry >> 32 & 0xFFFFFFFF
        masses[slot] += own
        masses[entry & 0xFFFFFFFF] += 2**32 - own
    return masses


def check(weights: list[float]) -> None:
    table = alias_table(torch.tensor(weights, dtype=torch.float64))
    assert torch.equal(table, reference.alias_table(torch.tensor(weights, dtype=torch.float64)))
    masses = reference.alias_masses(weights)
    assert sum(masses) == len(weights) * 2**32
    assert masses_in(table) == masses
    assert all(mass == 0 for mass, weight in zip(masses, weights, strict=True) if weight == 0)


@given(
    st.lists(
        st.one_of(
            st.just(0.0),
            st.floats(0, 1),
            st.floats(0, 1e300, allow_subnormal=True),
            st.integers(1, 5).map(float),
        ),
        min_size=1,
        max_size=40,
    ).filter(any)
)
@settings(max_examples=300, deadline=None)
def test_every_item_has_its_mass(weights: list[float]) -> None:
    check(weights)


@pytest.mark.parametrize(
    "weights",
    [
        [3.0],
        [1.0] * 7,  # nothing to move
        [0.0] * 9 + [1.0],  # one item fills all slots
        [1.0] + [0.0] * 9,
        [1e308] * 3 + [5e-324],
        [float(2**i) for i in range(60)],
        [float(2**-i) for i in range(60)],  # a chain: every donor then needs a donor
        [1 / (1 + i) for i in range(2000)],
        [float(i % 97) for i in range(2000)],
    ],
    ids=["one", "equal", "last", "first", "huge", "rising", "falling", "zipf", "saw"],
)
def test_every_item_has_its_mass_in_telling_cases(weights: list[float]) -> None:
    check(weights)


def test_masses_are_in_proportion_to_the_weights() -> None:
    weights = torch.rand(1000, generator=torch.Generator().manual_seed(0)).double() ** 3
    masses = torch.tensor(masses_in(alias_table(weights)), dtype=torch.float64)
    # Masses are rounded down, and the heaviest item gets the rest.
    difference = masses / (1000 * 2**32) - weights / weights.sum()
    assert float(difference.abs().max()) < 2**-32
    assert float(difference.abs().median()) < 2**-32 / 1000


def test_the_scale_of_the_weights_does_not_matter() -> None:
    weights = torch.rand(50, generator=torch.Generator().manual_seed(0)).double()
    assert torch.equal(alias_table(weights), alias_table(weights * 2**-900))


def test_the_weights_are_not_written_and_may_have_any_strides() -> None:
    wide = torch.rand(40, dtype=torch.float64)
    before = wide.clone()
    assert torch.equal(alias_table(wide[::2]), alias_table(wide[::2].clone()))
    assert torch.equal(wide, before)


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        (torch.tensor([1.0, -0.5]).double(), r"must be >= 0 and finite, got -0.500000 at \[1\]"),
        (torch.tensor([torch.nan, 1.0]).double(), r"must be >= 0 and finite, got nan at \[0\]"),
        (torch.tensor([1.0, torch.inf]).double(), r"must be >= 0 and finite, got inf at \[1\]"),
        (torch.zeros(2).double(), "must not all be 0"),
        (torch.ones(2, 3).double(), r"must be \[num_items\].*got shape \(2, 3\)"),
        (torch.ones(0).double(), r"must be \[num_items\].*got shape \(0,\)"),
        (torch.ones(3), "must be float64, got torch.float32"),
        (torch.ones(3, dtype=torch.int64), "must be float64, got torch.int64"),
    ],
)
def test_wrong_weights_are_refused(weights: Tensor, message: str) -> None:
    with pytest.raises(ValueError, match=f"weights {message}"):
        alias_table(weights)
