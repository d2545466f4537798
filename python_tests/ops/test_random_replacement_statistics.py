"""random_replacement: draws are uniform or weighted, and independent of each other.

On the CPU only: other devices give the same bits.
"""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from atjt_ext.ops import RandomReplacementOutput, alias_table, random_replacement
from helpers.chi_square import chi_square_z, independence_z

ROWS, LENGTH, K, ITEMS = 60_000, 20, 5, 37


@pytest.fixture(scope="module")
def many() -> RandomReplacementOutput:
    sequences = torch.full((ROWS, LENGTH), 12)
    return random_replacement(sequences, num_items=ITEMS, seed=123, num_replacements=K)


def test_positions_are_uniform(many: RandomReplacementOutput) -> None:
    counts = many.replaced.sum(dim=0)
    # Without replacement the counts vary less than Poisson: (1 - k / L) * L / (L - 1).
    shrink = (1 - K / LENGTH) * LENGTH / (LENGTH - 1)
    assert abs(chi_square_z(counts, ROWS * K / LENGTH, shrink)) < 4


def test_pairs_of_positions_are_uniform(many: RandomReplacementOutput) -> None:
    marks = many.replaced.double()
    pairs = (marks.T @ marks).triu(1)
    pairs = pairs[torch.ones(LENGTH, LENGTH).triu(1).bool()]
    expected = ROWS * K * (K - 1) / (LENGTH * (LENGTH - 1))
    assert float(((pairs - expected) / expected**0.5).abs().max()) < 4.5


def test_items_are_uniform_over_the_others(many: RandomReplacementOutput) -> None:
    counts = torch.bincount(many.sequences[many.replaced], minlength=ITEMS + 1)
    assert counts[0] == counts[12] == 0
    others = torch.cat([counts[1:12], counts[13:]])
    assert abs(chi_square_z(others, ROWS * K / (ITEMS - 1))) < 4


def test_items_do_not_depend_on_positions(many: RandomReplacementOutput) -> None:
    rows, positions = many.replaced.nonzero(as_tuple=True)
    assert abs(independence_z(positions, many.sequences[rows, positions])) < 4


def test_items_of_neighbouring_positions_are_independent(many: RandomReplacementOutput) -> None:
    both = many.replaced[:, :-1] & many.replaced[:, 1:]
    assert abs(independence_z(many.sequences[:, :-1][both], many.sequences[:, 1:][both])) < 4


def test_positions_of_neighbouring_rows_are_independent() -> None:
    sequences = torch.ones(60_000, 16, dtype=torch.int64)
    noisy = random_replacement(sequences, num_items=5, seed=9, num_replacements=1)
    position = noisy.replaced.long().argmax(dim=1)
    assert abs(independence_z(position[:-1], position[1:])) < 4


@pytest.mark.parametrize("change", [{"seed": 10}, {"seed": 2**32 + 9}, {"step": 1}])
def test_items_of_another_seed_or_step_are_independent(change: dict[str, int]) -> None:
    sequences = torch.ones(60_000, 1, dtype=torch.int64)
    options = {"num_items": 21, "num_replacements": 1, "seed": 9}
    first = random_replacement(sequences, **options).sequences[:, 0]
    second = random_replacement(sequences, **options | change).sequences[:, 0]
    assert abs(independence_z(first, second)) < 4


# Rows and positions with small draws are chosen. Items from the same draws would be small as well.
def test_neither_positions_nor_items_depend_on_which_rows_are_chosen() -> None:
    sequences = torch.full((200_000, 10), 30)
    noisy = random_replacement(
        sequences, num_items=30, seed=5, sequence_fraction=0.1, num_replacements=1
    )
    rows, positions = noisy.replaced.nonzero(as_tuple=True)
    assert len(rows) == 20_000
    assert abs(chi_square_z(torch.bincount(positions, minlength=10), 2_000)) < 4
    items = torch.bincount(noisy.sequences[rows, positions], minlength=31)[1:30]
    assert abs(chi_square_z(items, 20_000 / 29)) < 4


def test_rows_are_uniform() -> None:
    sequences = torch.ones(50, 1, dtype=torch.int64)
    counts = torch.zeros(50)
    steps = 4000
    for step in range(steps):
        counts += random_replacement(
            sequences, num_items=3, seed=7, step=step, sequence_fraction=0.2, num_replacements=1
        ).noise_labels
    assert abs(chi_square_z(counts, steps * 0.2, (1 - 0.2) * 50 / 49)) < 4


def test_pairs_of_rows_are_uniform() -> None:
    sequences = torch.ones(12, 1, dtype=torch.int64)
    steps = 6000
    chosen = torch.stack(
        [
            random_replacement(
                sequences, num_items=3, seed=7, step=step, sequence_fraction=0.5, replace_ratio=1.0
            ).noise_labels
            for step in range(steps)
        ]
    ).double()
    pairs = (chosen.T @ chosen)[torch.ones(12, 12).triu(1).bool()]
    expected = steps * 6 * 5 / (12 * 11)
    assert float(((pairs - expected) / expected**0.5).abs().max()) < 4.5


def test_with_probabilities_rows_and_positions_are_independent_coins() -> None:
    sequences = torch.ones(40_000, 12, dtype=torch.int64)
    noisy = random_replacement(
        sequences, num_items=3, seed=1, sequence_probability=0.6, replace_probability=0.25
    )
    in_row = noisy.replaced.sum(dim=1)
    n = torch.arange(13.0, dtype=torch.float64)
    choose = torch.exp(
        torch.lgamma(torch.tensor(13.0)) - torch.lgamma(n + 1) - torch.lgamma(13 - n)
    )
    binomial = choose * 0.25**n * 0.75 ** (12 - n)
    expected = 0.6 * binomial
    expected[0] += 0.4
    counts = torch.bincount(in_row, minlength=13).double()
    common = expected * 40_000 > 5
    assert abs(chi_square_z(counts[common], expected[common] * 40_000)) < 4


def weights_of(power: float) -> Tensor:
    return (1 / torch.arange(1, 41, dtype=torch.float64)) ** power


@pytest.mark.parametrize("power", [0.75, 2.0])
def test_weighted_items_come_with_their_weights(power: float) -> None:
    weights = weights_of(power)
    weights[20] = 0
    sequences = torch.full((20_000, 10), 3)
    noisy = random_replacement(
        sequences, num_items=40, seed=8, replace_ratio=1.0, alias_table=alias_table(weights)
    )
    assert noisy.replaced.all()
    counts = torch.bincount(noisy.sequences.flatten(), minlength=41)[1:]
    weights[2] = 0  # the original
    assert not counts[weights == 0].any()
    expected = weights / weights.sum() * noisy.replaced.sum()
    assert abs(chi_square_z(counts[weights > 0], expected[weights > 0])) < 4


# Rows that leave 6 of 40 items: most draws come from later attempts.
@pytest.mark.parametrize("weighted", [False, True])
def test_items_outside_the_history_come_as_often_as_they_should(weighted: bool) -> None:
    weights = weights_of(0.75) if weighted else torch.ones(40, dtype=torch.float64)
    left = [1, 4, 5, 23, 38, 40]
    row = torch.tensor([item for item in range(1, 41) if item not in left])
    noisy = random_replacement(
        row.expand(3000, -1),
        num_items=40,
        seed=8,
        num_replacements=10,
        avoid_history=True,
        alias_table=alias_table(weights) if weighted else None,
    )
    counts = torch.bincount(noisy.sequences[noisy.replaced], minlength=41)[left]
    expected = weights[torch.tensor(left) - 1]
    assert abs(chi_square_z(counts, expected / expected.sum() * counts.sum())) < 4


# The original has nearly all the weight: only the exact draw finds another item.
def test_exact_draws_come_with_their_weights() -> None:
    weights = weights_of(0.75)
    weights[11] = 1e6
    noisy = random_replacement(
        torch.full((600, 10), 12),
        num_items=40,
        seed=8,
        replace_ratio=1.0,
        alias_table=alias_table(weights),
    )
    assert noisy.replaced.all()
    counts = torch.bincount(noisy.sequences.flatten(), minlength=41)[1:]
    weights[11] = 0
    rest = weights > 0
    assert abs(chi_square_z(counts[rest], (weights / weights.sum() * 6000)[rest])) < 4


def test_exact_uniform_draws_are_uniform() -> None:
    left = [1, 90, 150, 151, 199]
    row = torch.tensor([item for item in range(1, 201) if item not in left])
    noisy = random_replacement(  # (195 / 200) ** 32 = 0.44 of them are exact
        row.expand(400, -1), num_items=200, seed=8, num_replacements=20, avoid_history=True
    )
    counts = torch.bincount(noisy.sequences[noisy.replaced], minlength=201)[left]
    assert int(counts.sum()) == 8000
    assert abs(chi_square_z(counts, 1600)) < 4
