"""Deletion, insertion, adjacent swaps and their mixture: what is damaged, where, and how often."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from atjt_ext import (
    AdjacentSwap,
    ItemDeletion,
    ItemInsertion,
    JointTrainer,
    MixedCorruption,
    RandomReplacement,
    SASRec,
    TargetAttentionNoiseModel,
)
from atjt_ext import reference as slow
from atjt_ext.corruption import Corruption, CorruptionOutput
from atjt_ext.data import LeaveOneOut
from atjt_ext.ops import Purpose
from chi_square import chi_square_z
from joint import config, parameters

NUM_ITEMS = 60  # as in the fixture `split`
Kind = Callable[..., Any]


def deletion(amount: float = 2, **options: Any) -> ItemDeletion:
    name = "num_deletions" if isinstance(amount, int) else "delete_ratio"
    return ItemDeletion(**{name: amount, **options})


def insertion(amount: float = 2, **options: Any) -> ItemInsertion:
    name = "num_insertions" if isinstance(amount, int) else "insert_ratio"
    return ItemInsertion(**{"num_items": NUM_ITEMS, name: amount, **options})


def swap(amount: float = 2, **options: Any) -> AdjacentSwap:
    name = "num_swaps" if isinstance(amount, int) else "swap_ratio"
    return AdjacentSwap(**{name: amount, **options})


def sequences_of(rows: int = 200, width: int = 11, *, num_items: int = NUM_ITEMS) -> Tensor:
    """Row r has ``r % (width + 1)`` items, left-padded."""
    generator = torch.Generator().manual_seed(0)
    sequences = torch.randint(1, num_items + 1, (rows, width), generator=generator)
    lengths = torch.arange(rows) % (width + 1)
    return sequences.masked_fill(torch.arange(width) < (width - lengths)[:, None], 0)


def items_of(row: Tensor) -> list[int]:
    return [item for item in row.tolist() if item != 0]


# ---- the meaning, row by row --------------------------------------------------------------------


class Reference:
    """The kinds of damage in plain Python: for each row, draw by draw."""

    def __init__(self, sequences: Tensor, keys: Tensor, *, seed: int, step: int) -> None:
        self.rows = sequences.tolist()
        self.width = sequences.shape[1]
        self.name: dict[str, Any] = {"seed": seed, "step": step}
        self.keys = keys

    def draws(self, purpose: Purpose, length: int | None = None) -> list[list[int]]:
        length = self.width if length is None else length
        drawn: list[list[int]] = slow.keyed_draws(
            self.keys, length, purpose=purpose, **self.name
        ).tolist()
        return drawn

    def chosen_rows(self, purpose: Purpose, options: Any) -> set[int]:
        draws = [draw for (draw,) in self.draws(purpose, 1)]
        if options.sequence_probability is not None:
            limit = options.sequence_probability
            return {r for r, draw in enumerate(draws) if (draw % 2**64 >> 11) / 2**53 < limit}
        fraction = 0.5 if options.sequence_fraction is None else options.sequence_fraction
        order = sorted(range(len(draws)), key=lambda row: (draws[row], row))
        return set(order[: math.floor(fraction * len(draws) + 0.5)])

    def open_columns(self, row: list[int], options: Any) -> list[int]:
        end = self.width if options.include_target else self.width - 1
        return [column for column in range(end) if row[column] != 0]

    def finished(self, rows: list[list[tuple[int, bool]]]) -> tuple[Tensor, Tensor, Tensor]:
        """Each row: (item, mark); it is cut or padded on the left."""
        padded = [([(0, False)] * self.width + row)[len(row) :] for row in rows]
        cells = torch.tensor(padded, dtype=torch.int64).view(len(rows), self.width, 2)
        replaced = cells[..., 1].bool()
        return cells[..., 0], replaced, replaced.any(dim=1)

    def item_deletion(self, options: ItemDeletion) -> tuple[Tensor, Tensor, Tensor]:
        chosen = self.chosen_rows(Purpose.DELETED_ROW, options)
        draws = self.draws(Purpose.DELETED_POSITION)
        out = []
        for r, row in enumerate(self.rows):
            columns = self.open_columns(row, options)
            k = amount(options.num_deletions, options.delete_ratio, len(columns))
            k = min(k, max(len(columns) - 1, 0)) if r in chosen else 0
            removed = sorted(columns, key=lambda c: (draws[r][c] >> 1, c))[:k]
            new: list[tuple[int, bool]] = []
            gap = False
            for column, item in enumerate(row):
                if column in removed:
                    gap = True
                elif item != 0:
                    new.append((item, gap))
                    gap = False
            if gap:
                new[-1] = (new[-1][0], True)
            out.append(new)
        return self.finished(out)

    def item_insertion(self, options: ItemInsertion) -> tuple[Tensor, Tensor, Tensor]:
        chosen = self.chosen_rows(Purpose.INSERTED_ROW, options)
        draws = self.draws(Purpose.INSERTED_POSITION)
        item_draws = self.draws(Purpose.INSERTED_ITEM)
        out = []
        for r, row in enumerate(self.rows):
            columns = self.open_columns(row, options)
            k = amount(options.num_insertions, options.insert_ratio, len(columns))
            k = k if r in chosen else 0
            behind = sorted(columns, key=lambda c: (draws[r][c] >> 1, c))[:k]
            new = []
            for column, item in enumerate(row):
                if item == 0:
                    continue
                new.append((item, False))
                if column in behind:
                    neighbours = {item, *row[column + 1 : column + 2]}
                    others = [i for i in range(1, options.num_items + 1) if i not in neighbours]
                    new.append((others[item_draws[r][column] % 2**64 * len(others) >> 64], True))
            out.append(new)
        return self.finished([row[-self.width :] for row in out])

    def adjacent_swap(self, options: AdjacentSwap) -> tuple[Tensor, Tensor, Tensor]:
        chosen = self.chosen_rows(Purpose.SWAPPED_ROW, options)
        draws = self.draws(Purpose.SWAPPED_POSITION, self.width - 1)
        out = []
        for r, row in enumerate(self.rows):
            columns = self.open_columns(row, options)
            ratio = None if options.swap_ratio is None else options.swap_ratio / 2
            k = amount(options.num_swaps, ratio, len(columns)) if r in chosen else 0
            new = [[item, False] for item in row]
            pairs = [c for c in columns if c + 1 in columns and row[c] != row[c + 1]]
            for left in sorted(pairs, key=lambda c: (draws[r][c] >> 1, c)):
                if k > 0 and not new[left][1] and not new[left + 1][1]:
                    new[left], new[left + 1] = [row[left + 1], True], [row[left], True]
                    k -= 1
            out.append([(item, mark) for item, mark in new])
        return self.finished(out)  # type: ignore[arg-type]


def amount(count: int | None, ratio: float | None, items: int) -> int:
    if count is not None:
        return min(count, items)
    assert ratio is not None
    return math.floor(ratio * items + 0.5)


def assert_same(got: CorruptionOutput, wanted: tuple[Tensor, Tensor, Tensor]) -> None:
    assert torch.equal(got.sequences.cpu().long(), wanted[0])
    assert torch.equal(got.replaced.cpu(), wanted[1])
    assert torch.equal(got.noise_labels.cpu(), wanted[2])


@pytest.mark.parametrize("include_target", [False, True])
@pytest.mark.parametrize(
    "options",
    [
        {"amount": 1},
        {"amount": 3, "sequence_fraction": 1.0},
        {"amount": 0.3, "sequence_fraction": 0.7},
        {"amount": 1.0, "sequence_probability": 0.6},
        {"amount": 100, "sequence_fraction": 1.0},
    ],
    ids=str,
)
@pytest.mark.parametrize("kind", [deletion, insertion, swap])
@pytest.mark.parametrize("num_items", [3, 50])  # of three items, many neighbours are the same
def test_equals_the_row_by_row_reference(
    device: torch.device, num_items: int, kind: Kind, options: dict[str, Any], include_target: bool
) -> None:
    sequences = sequences_of(100, num_items=num_items)
    corruption = kind(**options, include_target=include_target)
    keys = torch.arange(100) * 10**10 - 5
    got = corruption(sequences.to(device), seed=2**63 + 7, step=3, row_keys=keys.to(device))
    by_row = Reference(sequences, keys, seed=2**63 + 7, step=3)
    wanted = {
        "deletion": by_row.item_deletion,
        "insertion": by_row.item_insertion,
        "swap": by_row.adjacent_swap,
    }[kind.__name__](corruption)
    assert_same(got, wanted)


# ---- what every kind promises -------------------------------------------------------------------

KINDS: dict[str, Corruption] = {
    "replacement": RandomReplacement(num_items=NUM_ITEMS, num_replacements=2),
    "deletion": deletion(2),
    "deletion by share": deletion(0.4, include_target=True),
    "insertion": insertion(2),
    "insertion by share": insertion(0.4, include_target=True),
    "swap": swap(2),
    "swap by share": swap(0.4, include_target=True),
    "mixture": MixedCorruption((deletion(1), insertion(1), swap(1))),
}
EVERY_KIND = pytest.mark.parametrize("kind", KINDS)
ALL_ROWS: dict[str, Any] = {"sequence_fraction": 1.0}


@EVERY_KIND
def test_outputs_are_consistent_and_inputs_untouched(device: torch.device, kind: str) -> None:
    sequences = sequences_of().to(device)
    before = sequences.clone()
    noisy = KINDS[kind](sequences, seed=1)
    assert torch.equal(sequences, before)
    assert noisy.sequences.shape == noisy.replaced.shape == sequences.shape
    assert torch.equal(noisy.noise_labels, noisy.replaced.any(dim=1))
    assert torch.equal(noisy.noise_labels, (noisy.sequences != sequences).any(dim=1))
    assert not noisy.replaced[noisy.sequences == 0].any()
    is_item = (noisy.sequences != 0).long()
    assert not (is_item.diff(dim=1) < 0).any()  # padding stays on the left


@EVERY_KIND
def test_int32_gives_the_same_numbers_as_int64(device: torch.device, kind: str) -> None:
    sequences = sequences_of().to(device)
    wide = KINDS[kind](sequences, seed=3)
    narrow = KINDS[kind](sequences.int(), seed=3)
    assert narrow.sequences.dtype == torch.int32
    assert torch.equal(narrow.sequences.long(), wide.sequences)
    assert torch.equal(narrow.replaced, wide.replaced)


@EVERY_KIND
@pytest.mark.parametrize("shape", [(0, 5), (5, 0), (0, 0), (4, 1), (4, 2)])
def test_empty_and_tiny_batches(kind: str, shape: tuple[int, int]) -> None:
    noisy = KINDS[kind](torch.ones(shape, dtype=torch.int64), seed=0)
    assert noisy.sequences.shape == noisy.replaced.shape == shape
    assert noisy.noise_labels.shape == shape[:1]


@EVERY_KIND
@pytest.mark.parametrize("more", [1, 2, 5])
def test_padding_on_the_left_changes_nothing(kind: str, more: int) -> None:
    sequences = sequences_of()
    narrow = KINDS[kind](sequences, seed=4)
    wide = KINDS[kind](torch.nn.functional.pad(sequences, (more, 0)), seed=4)
    # A wider row has room for inserted items; the newest columns are the same.
    assert torch.equal(wide.sequences[:, more:], narrow.sequences)
    assert torch.equal(wide.replaced[:, more:], narrow.replaced)
    assert torch.equal(wide.noise_labels, narrow.noise_labels)


@pytest.mark.parametrize("kind", [deletion, insertion, swap])
@pytest.mark.parametrize("chosen", [{"sequence_fraction": 1.0}, {"sequence_probability": 0.5}])
def test_a_row_is_damaged_alike_in_whatever_batch_it_sits(
    kind: Kind, chosen: dict[str, Any]
) -> None:
    sequences, keys = sequences_of(), torch.arange(200) * 7
    whole = kind(**chosen)(sequences, seed=7, row_keys=keys)
    rows = torch.tensor([150, 3, 77, 11])
    part = kind(**chosen)(sequences[rows], seed=7, row_keys=keys[rows])
    assert torch.equal(part.sequences, whole.sequences[rows])
    assert torch.equal(part.replaced, whole.replaced[rows])


@EVERY_KIND
def test_same_arguments_same_result_and_each_part_of_the_key_counts(kind: str) -> None:
    sequences, keys = sequences_of(), torch.arange(200)
    call = KINDS[kind]
    first = call(sequences, seed=7, step=8, row_keys=keys)
    torch.manual_seed(123)  # torch's own generator has no say
    assert torch.equal(call(sequences, seed=7, step=8).sequences, first.sequences)
    for other in ({"seed": 8}, {"step": 9}, {"row_keys": keys + 1}):
        changed = call(sequences, **{"seed": 7, "step": 8, "row_keys": keys, **other})  # type: ignore[arg-type]
        assert not torch.equal(changed.sequences, first.sequences)


@EVERY_KIND
def test_seed_and_step_may_lie_on_the_device(device: torch.device, kind: str) -> None:
    sequences = sequences_of().to(device)
    seed, step = torch.tensor(5, device=device), torch.tensor(6, device=device)
    got = KINDS[kind](sequences, seed=seed, step=step)
    assert torch.equal(got.sequences, KINDS[kind](sequences, seed=5, step=6).sequences)


# torch.compile imports parts of torch that torch itself has deprecated.
@pytest.mark.filterwarnings("ignore::DeprecationWarning:torch")
@EVERY_KIND
def test_it_compiles_without_a_graph_break(device: torch.device, kind: str) -> None:
    torch.compiler.reset()
    compiled = torch.compile(KINDS[kind], fullgraph=True, backend="aot_eager")
    sequences = sequences_of(20).to(device)
    for step in (5, 6, 7):
        got, wanted = (call(sequences, seed=3, step=step) for call in (compiled, KINDS[kind]))
        assert torch.equal(got.sequences, wanted.sequences)
        assert torch.equal(got.replaced, wanted.replaced)


@pytest.mark.cuda
@pytest.mark.usefixtures("cuda_kernels")
@EVERY_KIND
def test_nothing_waits_for_the_device(kind: str) -> None:
    sequences = sequences_of().cuda()
    KINDS[kind](sequences, seed=1)
    torch.cuda.set_sync_debug_mode("error")
    try:
        KINDS[kind](sequences, seed=2)
    finally:
        torch.cuda.set_sync_debug_mode("default")


@pytest.mark.parametrize("kind", [deletion, insertion, swap])
def test_the_number_of_rows_is_exact(kind: Kind) -> None:
    sequences = torch.arange(1, 9).repeat(101, 1)
    for fraction, rows in ((0.0, 0), (None, 51), (0.29, 29), (1.0, 101)):
        noisy = kind(1, sequence_fraction=fraction)(sequences, seed=4)
        assert int(noisy.noise_labels.sum()) == rows


@pytest.mark.parametrize("kind", [deletion, insertion, swap])
def test_rows_are_damaged_with_the_probability_asked_for(kind: Kind) -> None:
    sequences = torch.arange(1, 5).repeat(10_000, 1)
    share = kind(1, sequence_probability=0.3)(sequences, seed=4).noise_labels.double().mean()
    assert abs(float(share) - 0.3) < 4 * (0.3 * 0.7 / 10_000) ** 0.5
    for certain in (0.0, 1.0):
        noisy = kind(1, sequence_probability=certain)(sequences, seed=4)
        assert bool((noisy.noise_labels == bool(certain)).all())


@pytest.mark.parametrize("kind", [deletion, insertion, swap])
def test_the_target_is_damaged_only_when_asked_for(kind: Kind) -> None:
    sequences = torch.arange(1, 9).repeat(300, 1)
    noisy = kind(3, **ALL_ROWS)(sequences, seed=1)
    assert torch.equal(noisy.sequences[:, -1], sequences[:, -1])
    noisy = kind(3, **ALL_ROWS, include_target=True)(sequences, seed=1)
    assert bool((noisy.sequences[:, -1] != sequences[:, -1]).any())


def test_the_kinds_are_independent_of_each_other_at_the_same_seed_and_step() -> None:
    rows, width = 4000, 9
    sequences = torch.arange(1, width + 1).repeat(rows, 1)
    options: dict[str, Any] = {"sequence_fraction": 0.5}
    noisy = {
        "replacement": RandomReplacement(num_items=NUM_ITEMS, num_replacements=1, **options),
        "deletion": deletion(1, **options),
        "insertion": insertion(1, **options),
        "swap": swap(1, **options),
    }
    outputs = {name: kind(sequences, seed=1, step=2) for name, kind in noisy.items()}
    names = list(outputs)
    for i, one in enumerate(names):
        for other in names[i + 1 :]:
            both = outputs[one].noise_labels & outputs[other].noise_labels
            assert abs(int(both.sum()) - rows / 4) < 4.5 * (rows * 3 / 16) ** 0.5
            columns = [outputs[name].replaced[both].long().argmax(dim=1) for name in (one, other)]
            table = torch.bincount(columns[0] * width + columns[1], minlength=width * width)
            table = table.view(width, width).double()
            expected = table.sum(1, keepdim=True) * table.sum(0, keepdim=True) / table.sum()
            used = expected > 0
            degrees = (int((table.sum(0) > 0).sum()) - 1) * (int((table.sum(1) > 0).sum()) - 1)
            chi_square = float(((table - expected)[used] ** 2 / expected[used]).sum())
            assert abs(chi_square - degrees) < 4.5 * (2 * degrees) ** 0.5, (one, other)


# ---- deletion -----------------------------------------------------------------------------------


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


# ---- insertion ----------------------------------------------------------------------------------


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
    # Behind which of the nine history items: what stands on the left of a mark, less the marks.
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


# ---- adjacent swap ------------------------------------------------------------------------------


@pytest.mark.parametrize("include_target", [False, True])
def test_a_swap_moves_two_neighbours_and_nothing_else(include_target: bool) -> None:
    sequences = sequences_of(500, num_items=4)
    noisy = swap(2, **ALL_ROWS, include_target=include_target)(sequences, seed=5)
    assert torch.equal(noisy.sequences.sort(dim=1).values, sequences.sort(dim=1).values)
    assert torch.equal(noisy.replaced, noisy.sequences != sequences)
    marks = noisy.replaced.sum(dim=1)
    assert bool((marks % 2 == 0).all())
    assert int(marks.max()) == 4


def test_swaps_are_exact_where_pairs_are_enough() -> None:
    sequences = torch.arange(1, 14).repeat(300, 1)
    noisy = swap(3, **ALL_ROWS)(sequences, seed=5)
    assert bool((noisy.replaced.sum(dim=1) == 6).all())
    by_share = swap(0.5, **ALL_ROWS)(sequences, seed=5)  # of 12 in the history
    assert torch.equal(by_share.sequences, noisy.sequences)


def test_as_many_as_possible_leaves_no_pair_of_untouched_neighbours() -> None:
    sequences = torch.arange(1, 31).repeat(200, 1)
    noisy = swap(1.0, **ALL_ROWS, include_target=True)(sequences, seed=5)
    assert not (~noisy.replaced[:, 1:] & ~noisy.replaced[:, :-1]).any()


def test_items_that_are_all_the_same_cannot_be_swapped() -> None:
    noisy = swap(2, **ALL_ROWS)(torch.full((5, 8), 3), seed=0)
    assert not noisy.noise_labels.any()


def test_swapped_pairs_are_uniform() -> None:
    sequences = torch.arange(1, 13).repeat(20_000, 1)
    noisy = swap(1, **ALL_ROWS)(sequences, seed=13)
    counts = torch.bincount(noisy.replaced.long().argmax(dim=1))
    assert len(counts) == 10  # pairs of the eleven items in the history
    assert abs(chi_square_z(counts, 2000)) < 4


# ---- mixture ------------------------------------------------------------------------------------


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
    assert_same(
        MixedCorruption((swap(2),))(sequences, seed=1, step=2),
        tuple(swap(2)(sequences, seed=1, step=2)),  # type: ignore[arg-type]
    )


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


# ---- refusals and training ----------------------------------------------------------------------


@pytest.mark.parametrize("kind", [ItemDeletion, ItemInsertion, AdjacentSwap])
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"count": None}, "exactly one of {count} and {ratio} must be given, got {count}=None"),
        ({"ratio": 0.5}, "exactly one of {count} and {ratio} must be given, got {count}=1"),
        ({"count": -1}, r"{count} must be >= 0 \({ratio} takes a share\), got -1"),
        ({"count": None, "ratio": 1.5}, r"{ratio} must be in \[0, 1\], got 1.5"),
        ({"count": None, "ratio": float("nan")}, "{ratio} must be in .* got nan"),
        ({"sequence_fraction": -0.1}, r"sequence_fraction must be in \[0, 1\], got -0.1"),
        ({"sequence_probability": 2.0}, r"sequence_probability must be in \[0, 1\], got 2.0"),
        (
            {"sequence_fraction": 0.5, "sequence_probability": 0.5},
            "at most one of sequence_fraction and sequence_probability",
        ),
    ],
    ids=str,
)
def test_wrong_options_are_refused(kind: Kind, options: dict[str, Any], message: str) -> None:
    names = {
        ItemDeletion: {"count": "num_deletions", "ratio": "delete_ratio"},
        ItemInsertion: {"count": "num_insertions", "ratio": "insert_ratio"},
        AdjacentSwap: {"count": "num_swaps", "ratio": "swap_ratio"},
    }[kind]  # type: ignore[index]
    given = {names.get(name, name): value for name, value in {"count": 1, **options}.items()}
    if kind is ItemInsertion:
        given["num_items"] = NUM_ITEMS
    for name, spelt in names.items():
        message = message.replace("{" + name + "}", spelt)
    with pytest.raises(ValueError, match=message):
        kind(**given)


@pytest.mark.parametrize("kind", [ItemDeletion, ItemInsertion, AdjacentSwap, RandomReplacement])
@pytest.mark.parametrize("value", [0.3, 1.0, "1"])
def test_a_count_that_is_no_integer_is_refused(kind: Kind, value: Any) -> None:
    count, ratio = {
        ItemDeletion: ("num_deletions", "delete_ratio"),
        ItemInsertion: ("num_insertions", "insert_ratio"),
        AdjacentSwap: ("num_swaps", "swap_ratio"),
        RandomReplacement: ("num_replacements", "replace_ratio"),
    }[kind]  # type: ignore[index]
    catalogue = {"num_items": 9} if kind in (ItemInsertion, RandomReplacement) else {}
    message = rf"{count} must be an integer >= 0 \({ratio} takes a share\), got {value!r}"
    with pytest.raises(TypeError, match=message):
        kind(**catalogue, **{count: value})
    with pytest.raises(TypeError, match=rf"{ratio} must be a number in \[0, 1\], got 'x'"):
        kind(**catalogue, **{ratio: "x"})
    with pytest.raises(TypeError, match=r"sequence_fraction must be a number .* got 'x'"):
        kind(**catalogue, **{count: 1}, sequence_fraction="x")


@pytest.mark.parametrize("kind", [deletion, insertion, swap])
def test_padding_on_the_right_of_an_item_is_refused_on_the_cpu(kind: Kind) -> None:
    right, inside = torch.tensor([[0, 1, 2, 3], [1, 2, 0, 0]]), torch.tensor([[1, 0, 2, 3]])
    for sequences, place in ((right, [1, 2]), (inside, [0, 1])):
        message = rf"left-padded with 0, got 0 on the right of an item at \{place!r}"
        with pytest.raises(ValueError, match=message):
            kind(1)(sequences, seed=0)


def test_a_catalogue_too_small_and_an_empty_mixture_are_refused() -> None:
    with pytest.raises(ValueError, match=r"num_items must be in \[3, 2\*\*31\), got 2"):
        insertion(1, num_items=2)
    with pytest.raises(ValueError, match="corruptions must hold at least one"):
        MixedCorruption(())


@pytest.mark.parametrize(
    ("corruptions", "message"),
    [
        (ItemDeletion(num_deletions=1), "corruptions must be a sequence of .* got ItemDeletion"),
        ((ItemDeletion(num_deletions=1), 3), r"corruptions\[1\] must be a kind of damage, got 3"),
        ([ItemDeletion], r"corruptions\[0\] must be a kind of damage, got <class"),
    ],
    ids=["one", "a number", "a class"],
)
def test_what_is_no_kind_of_damage_is_refused(corruptions: Any, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        MixedCorruption(corruptions)


@EVERY_KIND
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"sequences": torch.ones(3, dtype=torch.int64)},
            r"sequences must be \[B, [WL]\], got shape",
        ),
        ({"sequences": torch.ones(2, 3)}, "sequences must be int32 or int64, got torch.float32"),
        ({"row_keys": torch.arange(3)}, r"row_keys must be \[2\], got shape \(3,\)"),
        ({"row_keys": torch.ones(2)}, "row_keys must be int64"),
        ({"seed": -1}, "seed must be in"),
        ({"step": 2**32}, "step must be in"),
    ],
)
def test_wrong_arguments_are_refused(kind: str, change: dict[str, Any], message: str) -> None:
    right = {"sequences": torch.ones(2, 3, dtype=torch.int64), "seed": 0}
    with pytest.raises(ValueError, match=message):
        KINDS[kind](**{**right, **change})


# What two epochs teach a noise model is not the point.
@pytest.mark.filterwarnings("ignore::atjt_ext.trainer.WeightsCollapsedWarning")
@EVERY_KIND
def test_the_trainer_trains_with_it(split: LeaveOneOut, kind: str) -> None:
    steps = []

    def corruption(sequences: Tensor, **options: Any) -> CorruptionOutput:
        noisy = KINDS[kind](sequences, **options)
        steps.append((options["step"], bool(noisy.noise_labels.any())))
        return noisy

    torch.manual_seed(0)
    made = JointTrainer(
        SASRec(NUM_ITEMS, max_length=12, embedding_dim=8, num_blocks=1),
        TargetAttentionNoiseModel(NUM_ITEMS, embedding_dim=8, hidden_dims=(16,)),
        corruption,
        config(epochs=2, gate_auc=0.0, warmup_epochs=1),
    )
    untrained = parameters(made.noise_model)
    history = made.fit(split.train, progress=False)
    assert [record.weights_used for record in history] == ["none", "all"]
    assert all(record.noise_loss is not None and record.noise_auc is not None for record in history)
    assert all(damaged for _, damaged in steps)
    assert len({step for step, _ in steps}) == made.state.steps + 1  # and the held-out one
    assert made.state.noise_models is not None
    for model in made.state.noise_models.models:
        assert not torch.equal(parameters(model), untrained)
