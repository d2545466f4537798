"""random_replacement: bit for bit the reference, and what its definition promises."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from atjt_ext import _C, build_info, reference
from atjt_ext.ops import RandomReplacementOutput, random_replacement


def padded_sequences(rows: int, length: int, num_items: int, seed: int = 0) -> Tensor:
    """Left-padded rows of every length from 0 to `length`."""
    generator = torch.Generator().manual_seed(seed)
    items = torch.randint(1, num_items + 1, (rows, length), generator=generator)
    lengths = torch.randint(0, length + 1, (rows, 1), generator=generator)
    return torch.where(torch.arange(length) >= length - lengths, items, 0)


def assert_same(got: RandomReplacementOutput, wanted: tuple[Tensor, Tensor, Tensor]) -> None:
    for name, a, b in zip(got._fields, got, wanted, strict=True):
        assert torch.equal(a.cpu(), b.cpu()), name


# Lengths around the group of 4 draws, the 8 and 16 lanes of a vector and a warp; 200 is typical.
@pytest.mark.parametrize("length", [1, 3, 4, 5, 15, 16, 17, 31, 33, 64, 129, 200, 1000])
@pytest.mark.parametrize("amount", [{"num_replacements": 3}, {"replace_ratio": 0.3}])
def test_equals_the_reference_to_the_bit(
    device: torch.device, length: int, amount: dict[str, Any]
) -> None:
    sequences = padded_sequences(67, length, num_items=50)
    options = dict(num_items=50, seed=9, step=2, sequence_fraction=0.6, **amount)
    got = random_replacement(sequences.to(device), **options)
    assert_same(got, reference.random_replacement(sequences, **options))


@given(
    rows=st.integers(0, 9),
    length=st.integers(0, 40),
    num_items=st.sampled_from([2, 3, 50, 2**31 - 1]),
    seed=st.integers(0, 2**64 - 1),
    step=st.integers(0, 2**32 - 1),
    fraction=st.floats(0, 1),
    ratio=st.floats(0, 1),
    key=st.integers(-(2**63), 2**63 - 10),
)
@settings(max_examples=200, deadline=None)
def test_equals_the_reference_for_any_options(
    rows: int,
    length: int,
    num_items: int,
    seed: int,
    step: int,
    fraction: float,
    ratio: float,
    key: int,
) -> None:
    sequences = padded_sequences(rows, length, num_items, seed % 1000)
    options = dict(
        num_items=num_items,
        seed=seed,
        step=step,
        sequence_fraction=fraction,
        replace_ratio=ratio,
        row_keys=torch.arange(rows) + key,
    )
    got = random_replacement(sequences, **options)
    assert_same(got, reference.random_replacement(sequences, **options))


@pytest.mark.parametrize("isa", build_info()["cpu_isas"])
def test_every_instruction_set_gives_the_same_bits(isa: str) -> None:
    sequences = padded_sequences(100, 77, num_items=1000)
    options = dict(num_items=1000, seed=5, replace_ratio=0.4, sequence_fraction=0.5)
    try:
        _C.use_cpu_isa(isa)
    except ValueError:
        pytest.skip(f"this processor lacks {isa}")
    try:
        got = random_replacement(sequences, **options)
    finally:
        _C.use_cpu_isa("auto")
    assert_same(got, reference.random_replacement(sequences, **options))


@pytest.mark.usefixtures("num_threads")
def test_the_number_of_threads_changes_nothing() -> None:
    sequences = padded_sequences(2000, 50, num_items=99)
    results = []
    for threads in (1, 2, 3):
        torch.set_num_threads(threads)
        results.append(random_replacement(sequences, num_items=99, seed=1, replace_ratio=0.5))
    assert_same(results[0], results[1])
    assert_same(results[0], results[2])


def test_int32_gives_the_same_numbers_as_int64(device: torch.device) -> None:
    sequences = padded_sequences(40, 30, num_items=500).to(device)
    wide = random_replacement(sequences, num_items=500, seed=3, num_replacements=4)
    narrow = random_replacement(sequences.int(), num_items=500, seed=3, num_replacements=4)
    assert narrow.sequences.dtype == torch.int32
    assert torch.equal(narrow.sequences.long(), wide.sequences)
    assert torch.equal(narrow.replaced, wide.replaced)


def test_what_is_drawn_for_a_row_depends_on_its_key_alone(device: torch.device) -> None:
    sequences = padded_sequences(30, 20, num_items=70).to(device)
    keys = torch.arange(30, device=device) * 10**12 - 7
    options = dict(num_items=70, seed=8, replace_ratio=0.5)
    whole = random_replacement(sequences, row_keys=keys, **options)
    order = torch.randperm(30)[:11].to(device)
    part = random_replacement(sequences[order], row_keys=keys[order], **options)
    assert torch.equal(part.sequences, whole.sequences[order])


@pytest.mark.parametrize("more", [1, 2, 3, 4, 37])
def test_padding_on_the_left_changes_nothing(device: torch.device, more: int) -> None:
    # A row is padded to the longest of its batch; what is drawn for it must not depend on that.
    sequences = padded_sequences(40, 21, num_items=50).to(device)
    wider = torch.nn.functional.pad(sequences, (more, 0))
    options = {"num_items": 50, "seed": 4, "sequence_fraction": 0.7, "replace_ratio": 0.4}
    narrow, wide = (random_replacement(s, **options) for s in (sequences, wider))
    assert torch.equal(wide.sequences[:, more:], narrow.sequences)
    assert torch.equal(wide.replaced[:, more:], narrow.replaced)
    assert not wide.sequences[:, :more].any()


@pytest.mark.parametrize("change", [{"seed": 1}, {"seed": 2**32}, {"step": 1}, {"row_keys": 1}])
def test_every_part_of_the_key_changes_the_draws(change: dict[str, Any]) -> None:
    sequences = padded_sequences(50, 50, num_items=10**6)
    options: dict[str, Any] = dict(num_items=10**6, seed=0, replace_ratio=0.5)
    if "row_keys" in change:
        change = {"row_keys": torch.arange(50) + 2**32}
    before = random_replacement(sequences, **options)
    after = random_replacement(sequences, **options | change)
    share_in_common = (before.replaced & after.replaced).sum() / before.replaced.sum()
    assert 0.4 < share_in_common < 0.6  # two independent halves of the positions


def test_counts_are_exact(device: torch.device) -> None:
    sequences = padded_sequences(101, 37, num_items=500).to(device)
    items = (sequences != 0).sum(dim=1)
    by_share = random_replacement(sequences, num_items=500, seed=1, replace_ratio=0.29)
    assert torch.equal(by_share.replaced.sum(dim=1), (items * 0.29 + 0.5).floor().long())
    by_count = random_replacement(sequences, num_items=500, seed=1, num_replacements=6)
    assert torch.equal(by_count.replaced.sum(dim=1), items.clamp(max=6))


@pytest.mark.parametrize(("fraction", "rows"), [(0.0, 0), (0.5, 51), (0.29, 29), (1.0, 101)])
def test_the_number_of_rows_is_exact(device: torch.device, fraction: float, rows: int) -> None:
    sequences = torch.ones(101, 8, dtype=torch.int64, device=device)
    noisy = random_replacement(
        sequences, num_items=5, seed=4, sequence_fraction=fraction, num_replacements=2
    )
    assert int(noisy.noise_labels.sum()) == rows
    assert torch.equal(noisy.replaced.any(dim=1), noisy.noise_labels)


def test_equal_row_keys_are_settled_by_the_row_index(device: torch.device) -> None:
    sequences = torch.ones(40, 4, dtype=torch.int64, device=device)
    keys = torch.zeros(40, dtype=torch.int64, device=device)
    noisy = random_replacement(
        sequences, num_items=5, seed=4, sequence_fraction=0.3, num_replacements=1, row_keys=keys
    )
    assert noisy.noise_labels.tolist() == [True] * 12 + [False] * 28


def test_equal_draws_of_positions_are_settled_by_the_position(device: torch.device) -> None:
    length = 2**17  # enough 32-bit draws for some to be equal
    groups = torch.arange((2**28 - length) // 4, 2**26)  # indices are counted from the end
    seed = 2
    draws = reference._draws(torch.tensor([0]), reference._POSITION, groups, seed, 0).flatten()
    order = torch.argsort(draws, stable=True)
    (twins,) = (draws[order[:-1]] == draws[order[1:]]).nonzero(as_tuple=True)
    assert len(twins) > 0
    rank = int(twins[0])
    sequences = torch.ones(1, length, dtype=torch.int64, device=device)
    for skipped in (0, 1):  # with padding, the keys of padding must not take part
        sequences[0, order[rank + 2 :: 7]] = skipped
        count = rank + 1  # the first of the twins, not the second
        noisy = random_replacement(sequences, num_items=5, seed=seed, num_replacements=count)
        assert torch.equal(noisy.replaced[0].nonzero()[:, 0].cpu(), order[:count].sort().values)


def test_a_replacement_is_another_item_and_nothing_else_changes(device: torch.device) -> None:
    sequences = padded_sequences(300, 25, num_items=4).to(device)
    noisy = random_replacement(sequences, num_items=4, seed=2, replace_ratio=0.5)
    assert torch.equal(noisy.sequences != sequences, noisy.replaced)
    assert not noisy.replaced[sequences == 0].any()
    new = noisy.sequences[noisy.replaced]
    assert int(new.min()) == 1
    assert int(new.max()) == 4


def test_of_two_items_the_other_one_is_taken(device: torch.device) -> None:
    sequences = padded_sequences(20, 12, num_items=2).to(device)
    noisy = random_replacement(sequences, num_items=2, seed=2, replace_ratio=1.0)
    assert torch.equal(noisy.sequences, torch.where(sequences == 0, 0, 3 - sequences))


@pytest.mark.parametrize("padding_idx", [-1, 0, 8])
def test_any_id_outside_the_catalogue_can_be_padding(
    device: torch.device, padding_idx: int
) -> None:
    sequences = torch.tensor([[padding_idx, 1, 7], [padding_idx] * 3], device=device)
    noisy = random_replacement(
        sequences, num_items=7, seed=1, replace_ratio=1.0, padding_idx=padding_idx
    )
    assert torch.equal(noisy.replaced, sequences != padding_idx)
    assert torch.equal(noisy.sequences == padding_idx, sequences == padding_idx)


def test_a_chosen_row_without_items_is_not_labelled_as_noise(device: torch.device) -> None:
    sequences = torch.tensor([[0, 0], [0, 3]], device=device)
    noisy = random_replacement(sequences, num_items=5, seed=0, num_replacements=1)
    assert noisy.noise_labels.tolist() == [False, True]


@pytest.mark.parametrize("shape", [(0, 5), (5, 0), (0, 0)])
def test_empty_batches_come_back_empty(device: torch.device, shape: tuple[int, int]) -> None:
    sequences = torch.ones(shape, dtype=torch.int64, device=device)
    noisy = random_replacement(sequences, num_items=5, seed=0, replace_ratio=0.5)
    assert noisy.sequences.shape == noisy.replaced.shape == shape
    assert noisy.noise_labels.tolist() == [False] * shape[0]


def test_inputs_are_not_written_and_may_have_any_strides(device: torch.device) -> None:
    wide = padded_sequences(20, 60, num_items=30).to(device)
    view = wide[::2, 1::3]
    before = wide.clone()
    got = random_replacement(view, num_items=30, seed=6, replace_ratio=0.5)
    assert torch.equal(wide, before)
    wanted = random_replacement(view.contiguous(), num_items=30, seed=6, replace_ratio=0.5)
    assert_same(got, wanted)
    one_row = wide[:1].expand(4, -1)
    assert random_replacement(one_row, num_items=30, seed=6, replace_ratio=0.5)[0].shape == (4, 60)


def chi_square_z(counts: Tensor, expected: float, shrink: float = 1.0) -> float:
    """Standard normal, roughly, if `counts` are uniform; `shrink`: variance / Poisson variance."""
    degrees = counts.numel() - 1
    statistic = float(((counts.double() - expected) ** 2 / expected).sum()) / shrink
    return (statistic - degrees) / (2 * degrees) ** 0.5


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
    cells = torch.bincount(positions * (ITEMS + 1) + many.sequences[rows, positions])
    table = torch.cat([cells, cells.new_zeros(LENGTH * (ITEMS + 1) - len(cells))])
    table = table.view(LENGTH, ITEMS + 1)
    table = table[:, table.sum(dim=0) > 0].double()
    expected = table.sum(1, keepdim=True) * table.sum(0, keepdim=True) / table.sum()
    degrees = (table.shape[0] - 1) * (table.shape[1] - 1)
    z = (float(((table - expected) ** 2 / expected).sum()) - degrees) / (2 * degrees) ** 0.5
    assert abs(z) < 4


def test_rows_are_uniform() -> None:
    sequences = torch.ones(50, 1, dtype=torch.int64)
    counts = torch.zeros(50)
    steps = 4000
    for step in range(steps):
        counts += random_replacement(
            sequences, num_items=3, seed=7, step=step, sequence_fraction=0.2, num_replacements=1
        ).noise_labels
    assert abs(chi_square_z(counts, steps * 0.2, (1 - 0.2) * 50 / 49)) < 4


@pytest.mark.parametrize("bad", [51, -3, 2**40])
def test_an_id_outside_the_catalogue_is_refused_on_the_cpu(bad: int) -> None:
    sequences = padded_sequences(300, 200, num_items=50)
    sequences[170, 30] = bad
    with pytest.raises(ValueError, match=rf"1\.\.50 or padding_idx = 0, got {bad} at \[170, 30\]"):
        random_replacement(sequences, num_items=50, seed=0, replace_ratio=0.1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_items": 0}, "num_items must be in"),
        ({"num_items": 2**31}, "num_items must be in"),
        ({"num_items": 1}, "num_items must be at least 2"),
        ({"seed": -1}, "seed must be in"),
        ({"seed": 2**64}, "seed must be in"),
        ({"step": 2**32}, "step must be in"),
        ({"sequence_fraction": 1.5}, "sequence_fraction must be in"),
        ({"sequence_fraction": float("nan")}, "sequence_fraction must be in"),
        ({"replace_ratio": -0.1}, "replace_ratio must be in"),
        ({"replace_ratio": None}, "exactly one of num_replacements and replace_ratio"),
        ({"num_replacements": 1}, "exactly one of num_replacements and replace_ratio"),
        ({"replace_ratio": None, "num_replacements": -1}, "num_replacements must be >= 0"),
        ({"padding_idx": 3}, "padding_idx must be an id"),
        ({"row_keys": torch.zeros(3, dtype=torch.int64)}, r"row_keys must be \[2\]"),
        ({"row_keys": torch.zeros(2)}, "row_keys must be int64"),
    ],
)
def test_wrong_options_are_refused(options: dict[str, Any], message: str) -> None:
    sequences = torch.ones(2, 3, dtype=torch.int64)
    right: dict[str, Any] = dict(num_items=5, seed=0, replace_ratio=0.5)
    with pytest.raises(ValueError, match=message):
        random_replacement(sequences, **right | options)


@pytest.mark.parametrize(
    ("sequences", "message"),
    [
        (torch.ones(3, dtype=torch.int64), r"must be \[B, L\], got shape \(3,\)"),
        (torch.ones(3, 2), "int32 or int64, got torch.float32"),
    ],
)
def test_wrong_sequences_are_refused(sequences: Tensor, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        random_replacement(sequences, num_items=5, seed=0, replace_ratio=0.5)


def test_one_item_is_enough_where_nothing_is_replaced() -> None:
    sequences = torch.ones(2, 3, dtype=torch.int64)
    noisy = random_replacement(sequences, num_items=1, seed=0, replace_ratio=0.0)
    assert torch.equal(noisy.sequences, sequences)


def test_the_operator_is_registered_correctly(device: torch.device) -> None:
    sequences = padded_sequences(6, 9, num_items=20).to(device)
    keys = torch.arange(6, device=device)
    torch.library.opcheck(
        torch.ops.atjt_ext._random_replacement.default,
        (sequences, keys, 20, 0, 0.5, -1, 0.3, 1, 2),
    )


# torch.compile imports parts of torch that torch itself has deprecated.
@pytest.mark.filterwarnings("ignore::DeprecationWarning:torch")
def test_it_compiles_without_a_graph_break(device: torch.device) -> None:
    sequences = padded_sequences(6, 9, num_items=20).to(device)

    @torch.compile(fullgraph=True)
    def corrupt(sequences: Tensor, step: int) -> tuple[Tensor, ...]:
        return tuple(
            random_replacement(sequences, num_items=20, seed=3, step=step, replace_ratio=0.5)
        )

    for step in (5, 6, 7):
        wanted = random_replacement(sequences, num_items=20, seed=3, step=step, replace_ratio=0.5)
        assert_same(wanted, corrupt(sequences, step))  # type: ignore[arg-type]
