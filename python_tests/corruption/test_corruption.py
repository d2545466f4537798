"""RandomReplacement: the damaged rows, positions and items."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor

from atjt_ext import ItemInsertion, RandomReplacement
from atjt_ext.ops import alias_table

NUM_ITEMS = 50
TABLE = alias_table(torch.arange(50, dtype=torch.float64))
replacement = partial(RandomReplacement, num_items=NUM_ITEMS)


def _sequences(rows: int = 200, width: int = 11, *, seed: int = 0) -> Tensor:
    """Row r has ``2 + r % (width - 1)`` items, left-padded."""
    generator = torch.Generator().manual_seed(seed)
    sequences = torch.randint(1, NUM_ITEMS + 1, (rows, width), generator=generator)
    lengths = 2 + torch.arange(rows) % (width - 1)
    return sequences.masked_fill(torch.arange(width) < (width - lengths)[:, None], 0)


def test_only_the_history_is_damaged_by_default() -> None:
    sequences = _sequences()
    corruption = replacement(sequence_fraction=1.0, replace_ratio=1.0)
    noisy = corruption(sequences, seed=1)
    assert torch.equal(noisy.sequences[:, -1], sequences[:, -1])
    assert not noisy.replaced[:, -1].any()
    # Everything except target and padding was removed.
    assert torch.equal(noisy.replaced[:, :-1], sequences[:, :-1] != 0)


def test_the_target_is_damaged_too_when_asked_for() -> None:
    sequences = _sequences()
    corruption = replacement(sequence_fraction=1.0, replace_ratio=1.0, include_target=True)
    noisy = corruption(sequences, seed=1)
    assert torch.equal(noisy.replaced, sequences != 0)
    assert bool((noisy.sequences[:, -1] != sequences[:, -1]).all())


@pytest.mark.parametrize("include_target", [False, True])
def test_outputs_say_what_was_changed(include_target: bool) -> None:
    sequences = _sequences()
    before = sequences.clone()
    corruption = replacement(num_replacements=2, include_target=include_target)
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
    corruption = replacement(
        sequence_fraction=fraction, num_replacements=3, include_target=include_target
    )
    noisy = corruption(sequences, seed=5)
    assert int(noisy.noise_labels.sum()) == fraction * len(sequences)
    open_to_change = (sequences != 0).sum(dim=1) - int(not include_target)
    wanted = open_to_change.clamp(max=3)[noisy.noise_labels]
    assert torch.equal(noisy.replaced.sum(dim=1)[noisy.noise_labels], wanted)


def test_replace_ratio_is_a_share_of_the_history() -> None:
    sequences = _sequences()
    noisy = replacement(sequence_fraction=1.0, replace_ratio=0.3)(sequences, seed=6)
    history = (sequences[:, :-1] != 0).sum(dim=1)
    assert torch.equal(noisy.replaced.sum(dim=1), (0.3 * history + 0.5).floor().long())


def test_history_of_one_item_can_be_damaged() -> None:
    noisy = replacement(sequence_fraction=1.0, num_replacements=1)(torch.tensor([[4, 7]]), seed=0)
    assert noisy.replaced.tolist() == [[True, False]]


CALL = replacement(sequence_fraction=1.0, num_replacements=2)


def test_rows_and_positions_can_be_damaged_with_a_probability() -> None:
    sequences = _sequences(1000)
    noisy = replacement(sequence_probability=0.3, replace_probability=0.5)(sequences, seed=2)
    assert not noisy.replaced[:, -1].any()
    assert 200 < int(noisy.noise_labels.sum()) < 330
    assert len(noisy.replaced.sum(dim=1).unique()) > 5


def test_new_items_can_be_drawn_by_popularity_from_outside_the_history() -> None:
    sequences = _sequences()
    counts = torch.bincount(sequences.flatten(), minlength=NUM_ITEMS + 1)[1:]
    counts[30:] = 0
    noisy = replacement(
        sequence_fraction=1.0,
        replace_ratio=1.0,
        alias_table=alias_table(counts.double() ** 0.75),
        avoid_history=True,
    )(sequences, seed=2)
    assert torch.equal(noisy.replaced[:, :-1], sequences[:, :-1] != 0)
    for row, new in zip(sequences, noisy.sequences[:, :-1], strict=True):
        assert not set(new.tolist()) - {0} & set(row.tolist())
    assert int(noisy.sequences[noisy.replaced].max()) <= 30


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"replace_ratio": 0.5}, "exactly one of num_replacements, replace_ratio and replace_p"),
        ({"num_replacements": None}, "exactly one of num_replacements, replace_ratio and replace"),
        ({"num_items": 0}, r"num_items must be in \[2, 2\*\*31\), got 0"),
        ({"num_replacements": -1}, "num_replacements must be >= 0"),
        ({"sequence_fraction": 1.5}, "sequence_fraction must be in"),
        ({"num_replacements": None, "replace_ratio": 1.5}, "replace_ratio must be in"),
        ({"num_replacements": None, "replace_probability": -1}, "replace_probability must be in"),
        ({"alias_table": TABLE.float()}, r"alias_table must be \[50\] torch.int64, got \[50\]"),
        ({"alias_table": TABLE[1:]}, r"alias_table must be \[50\] torch.int64, got \[49\]"),
        ({"feature_tables": [torch.zeros(51).half()]}, r"feature_tables\[0\] must be \[51\] int32"),
        ({"feature_tables": [torch.zeros(50)]}, r"feature_tables\[0\] must be .* got \[50\]"),
    ],
    ids=str,
)
def test_values_out_of_range_are_refused_at_once(options: dict[str, Any], message: str) -> None:
    right: dict[str, Any] = {"num_items": NUM_ITEMS, "num_replacements": 1}
    with pytest.raises(ValueError, match=message):
        RandomReplacement(**right | options)


@pytest.mark.parametrize("value", [TABLE.tolist(), "uniform"], ids=["list", "word"])
def test_an_alias_table_is_a_tensor(value: Any) -> None:
    with pytest.raises(TypeError, match="alias_table must be a tensor, got"):
        replacement(num_replacements=1, alias_table=value)


def test_features_follow_their_items() -> None:
    sequences, tables = _sequences(), (torch.arange(51) * 3, torch.arange(51) / 2)
    corruption = replacement(replace_ratio=0.5, feature_tables=list(tables))
    noisy = corruption(sequences, seed=1, features=[table[sequences] for table in tables])
    assert bool(noisy.replaced.any())
    for column, table in zip(noisy.features, tables, strict=True):
        assert torch.equal(column, table[noisy.sequences])
    with pytest.raises(ValueError, match="a table for each of the 0 features, got 2"):
        corruption(sequences, seed=1)


def test_what_is_printed_says_what_will_happen() -> None:
    shown = repr(replacement(num_replacements=1, alias_table=TABLE))
    assert "sequence_fraction=0.5, sequence_probability=None" in shown
    assert "alias_table=<int64 [50]>, avoid_history=False, feature_tables=()" in shown
    shown = repr(ItemInsertion(num_items=50, insert_ratio=0.1, sequence_probability=0.2))
    assert "sequence_fraction=None, sequence_probability=0.2" in shown
    assert "alias_table=None" in shown
    prices = torch.zeros(51)
    corruption = replacement(num_replacements=1, feature_tables=[prices])
    assert "feature_tables=(<float32 [51]>,)" in repr(corruption)


@pytest.mark.parametrize("kind", [RandomReplacement, ItemInsertion])
def test_equal_are_those_with_equal_options_and_the_same_tables(kind: Any) -> None:
    count = "num_replacements" if kind is RandomReplacement else "num_insertions"
    options: dict[str, Any] = {"num_items": NUM_ITEMS, count: 1}
    uniform, weighted = kind(**options), kind(**options, alias_table=TABLE)
    assert uniform == kind(**options, sequence_fraction=0.5)
    assert weighted == kind(**options, alias_table=TABLE)
    different = [uniform, weighted, kind(**options, alias_table=TABLE.clone()), 3]
    different.append(kind(**options, include_target=True))
    assert len(set(different)) == 5
    assert len({weighted, kind(**options, alias_table=TABLE)}) == 1
