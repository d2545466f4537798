"""Which rows, positions and items are damaged."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from atjt_ext import RandomReplacement
from atjt_ext.ops import alias_table

NUM_ITEMS = 50


def _sequences(rows: int = 200, width: int = 11, *, seed: int = 0) -> Tensor:
    """Row r has ``2 + r % (width - 1)`` items, left-padded."""
    generator = torch.Generator().manual_seed(seed)
    sequences = torch.randint(1, NUM_ITEMS + 1, (rows, width), generator=generator)
    lengths = 2 + torch.arange(rows) % (width - 1)
    return sequences.masked_fill(torch.arange(width) < (width - lengths)[:, None], 0)


def test_only_the_history_is_damaged_by_default() -> None:
    sequences = _sequences()
    corruption = RandomReplacement(num_items=NUM_ITEMS, sequence_fraction=1.0, replace_ratio=1.0)
    noisy = corruption(sequences, seed=1)
    assert torch.equal(noisy.sequences[:, -1], sequences[:, -1])
    assert not noisy.replaced[:, -1].any()
    # Everything but target and padding went.
    assert torch.equal(noisy.replaced[:, :-1], sequences[:, :-1] != 0)


def test_the_target_is_damaged_too_when_asked_for() -> None:
    sequences = _sequences()
    corruption = RandomReplacement(
        num_items=NUM_ITEMS, sequence_fraction=1.0, replace_ratio=1.0, include_target=True
    )
    noisy = corruption(sequences, seed=1)
    assert torch.equal(noisy.replaced, sequences != 0)
    assert bool((noisy.sequences[:, -1] != sequences[:, -1]).all())


@pytest.mark.parametrize("include_target", [False, True])
def test_outputs_say_what_was_changed(include_target: bool) -> None:
    sequences = _sequences()
    before = sequences.clone()
    corruption = RandomReplacement(
        num_items=NUM_ITEMS, num_replacements=2, include_target=include_target
    )
    noisy = corruption(sequences, seed=3, step=4)
    assert torch.equal(sequences, before)
    assert torch.equal(noisy.replaced, noisy.sequences != sequences)
    assert torch.equal(noisy.noise_labels, noisy.replaced.any(dim=1))
    assert torch.equal(noisy.sequences == 0, sequences == 0)
    assert int(noisy.sequences.max()) <= NUM_ITEMS


@pytest.mark.parametrize("fraction", [0.25, 0.5])
@pytest.mark.parametrize("include_target", [False, True])
def test_counts_are_exact(fraction: float, include_target: bool) -> None:
    sequences = _sequences()
    corruption = RandomReplacement(
        num_items=NUM_ITEMS,
        sequence_fraction=fraction,
        num_replacements=3,
        include_target=include_target,
    )
    noisy = corruption(sequences, seed=5)
    assert int(noisy.noise_labels.sum()) == fraction * len(sequences)
    open_to_change = (sequences != 0).sum(dim=1) - int(not include_target)
    wanted = open_to_change.clamp(max=3)[noisy.noise_labels]
    assert torch.equal(noisy.replaced.sum(dim=1)[noisy.noise_labels], wanted)


def test_replace_ratio_is_a_share_of_the_history() -> None:
    sequences = _sequences()
    noisy = RandomReplacement(num_items=NUM_ITEMS, sequence_fraction=1.0, replace_ratio=0.3)(
        sequences, seed=6
    )
    history = (sequences[:, :-1] != 0).sum(dim=1)
    assert torch.equal(noisy.replaced.sum(dim=1), (0.3 * history + 0.5).floor().long())


def test_history_of_one_item_can_be_damaged() -> None:
    noisy = RandomReplacement(num_items=NUM_ITEMS, sequence_fraction=1.0, num_replacements=1)(
        torch.tensor([[4, 7]]), seed=0
    )
    assert noisy.replaced.tolist() == [[True, False]]


CALL = RandomReplacement(num_items=NUM_ITEMS, sequence_fraction=1.0, num_replacements=2)


def test_same_arguments_same_result() -> None:
    sequences, keys = _sequences(), torch.arange(200) + 1000
    first = CALL(sequences, seed=7, step=8, row_keys=keys)
    torch.manual_seed(123)  # torch's own generator has no say
    again = CALL(sequences, seed=7, step=8, row_keys=keys)
    assert all(torch.equal(a, b) for a, b in zip(first[:3], again[:3], strict=True))


@pytest.mark.parametrize(
    "other",
    [
        lambda sequences: CALL(sequences, seed=8, step=8, row_keys=torch.arange(200)),
        lambda sequences: CALL(sequences, seed=7, step=9, row_keys=torch.arange(200)),
        lambda sequences: CALL(sequences, seed=7, step=8, row_keys=torch.arange(200) + 1),
    ],
    ids=["seed", "step", "row key"],
)
def test_each_part_of_the_key_draws_anew(other: Callable[[Tensor], tuple[Tensor, ...]]) -> None:
    sequences = _sequences()
    noisy = CALL(sequences, seed=7, step=8, row_keys=torch.arange(200))
    assert not torch.equal(noisy.sequences, other(sequences)[0])


@pytest.mark.parametrize("include_target", [False, True])
def test_a_row_is_damaged_alike_in_whatever_batch_it_sits(include_target: bool) -> None:
    sequences, keys = _sequences(), torch.arange(200) * 7
    corruption = RandomReplacement(
        num_items=NUM_ITEMS,
        sequence_fraction=1.0,
        num_replacements=2,
        include_target=include_target,
    )
    whole = corruption(sequences, seed=7, row_keys=keys)
    rows = torch.tensor([150, 3, 77])
    part = corruption(sequences[rows], seed=7, row_keys=keys[rows])
    assert torch.equal(part.sequences, whole.sequences[rows])
    assert torch.equal(part.replaced, whole.replaced[rows])


def test_rows_and_positions_can_be_damaged_with_a_probability() -> None:
    sequences = _sequences(1000)
    noisy = RandomReplacement(
        num_items=NUM_ITEMS, sequence_probability=0.3, replace_probability=0.5
    )(sequences, seed=2)
    assert not noisy.replaced[:, -1].any()
    assert 200 < int(noisy.noise_labels.sum()) < 330
    assert len(noisy.replaced.sum(dim=1).unique()) > 5


def test_new_items_can_be_drawn_by_popularity_from_outside_the_history() -> None:
    sequences = _sequences()
    counts = torch.bincount(sequences.flatten(), minlength=NUM_ITEMS + 1)[1:]
    counts[30:] = 0
    noisy = RandomReplacement(
        num_items=NUM_ITEMS,
        sequence_fraction=1.0,
        replace_ratio=1.0,
        alias_table=alias_table(counts.double() ** 0.75),
        avoid_history=True,
    )(sequences, seed=2)
    assert torch.equal(noisy.replaced[:, :-1], sequences[:, :-1] != 0)
    for row, new in zip(sequences, noisy.sequences[:, :-1], strict=True):
        assert not set(new.tolist()) - {0} & set(row.tolist())
    assert int(noisy.sequences[noisy.replaced].max()) <= 30


def test_without_a_number_of_rows_it_is_half_of_them() -> None:
    assert (
        int(
            RandomReplacement(num_items=9, num_replacements=1)(
                torch.ones(41, 3, dtype=torch.int64), seed=0
            ).noise_labels.sum()
        )
        == 21
    )


def test_dtype_is_kept() -> None:
    noisy = CALL(_sequences().int(), seed=7)
    assert noisy.sequences.dtype == torch.int32
    assert torch.equal(noisy.sequences.long(), CALL(_sequences(), seed=7).sequences)


@pytest.mark.parametrize("both", [True, False])
def test_one_amount_must_be_given(both: bool) -> None:
    amounts = {"num_replacements": 1, "replace_ratio": 0.5} if both else {}
    with pytest.raises(
        ValueError,
        match="exactly one of num_replacements, replace_ratio and replace_probability",
    ):
        RandomReplacement(num_items=NUM_ITEMS, **amounts)  # type: ignore[arg-type]


def test_values_out_of_range_are_refused() -> None:
    with pytest.raises(ValueError, match="sequence_fraction must be in"):
        RandomReplacement(num_items=NUM_ITEMS, sequence_fraction=1.5, num_replacements=1)(
            _sequences(), seed=0
        )
    with pytest.raises(ValueError, match="replace_ratio must be in"):
        RandomReplacement(num_items=NUM_ITEMS, replace_ratio=-0.5)(_sequences(), seed=0)
