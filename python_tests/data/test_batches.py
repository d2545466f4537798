"""Training windows: every interaction with a predecessor is a target once, whatever the lengths."""

from __future__ import annotations

from collections import Counter

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from atjt_ext.data import DataError, Sequences, TrainingRows
from helpers.tiny import tiny_sequences

LENGTHS = st.lists(st.integers(0, 23), min_size=1, max_size=8).filter(lambda x: max(x) >= 2)


def _sequences(lengths: list[int], *, noise: bool = True) -> Sequences:
    """Item code = position + 1, so that a window says where it was cut; every third is noise."""
    users = [part.tolist() for part in torch.arange(1, sum(lengths) + 1).split(lengths)]
    truth = [item % 3 == 0 for items in users for item in items] if noise else None
    return tiny_sequences(*users, num_items=sum(lengths), noise=truth, source="log.csv")


def test_windows_by_hand() -> None:
    rows = TrainingRows(_sequences([7, 1, 3]), max_length=2)
    batch = rows.gather(torch.arange(len(rows)))
    assert batch.sequences.tolist() == [[5, 6, 7], [3, 4, 5], [1, 2, 3], [9, 10, 11]]
    assert batch.users.tolist() == [0, 0, 0, 2]
    assert batch.inputs.tolist() == [[5, 6], [3, 4], [1, 2], [9, 10]]
    assert batch.targets.tolist() == [[6, 7], [4, 5], [2, 3], [10, 11]]


def test_the_first_window_is_shorter_and_padded_on_the_left() -> None:
    rows = TrainingRows(_sequences([6]), max_length=3)
    batch = rows.gather(torch.tensor([0, 1]))
    assert batch.sequences.tolist() == [[3, 4, 5, 6], [0, 1, 2, 3]]
    assert batch.is_target.tolist() == [[True, True, True], [False, True, True]]
    assert rows.gather(torch.tensor([1])).sequences.tolist() == [[1, 2, 3]]  # trimmed


@given(lengths=LENGTHS, max_length=st.integers(1, 25))
def test_every_interaction_with_a_predecessor_is_a_target_once(
    lengths: list[int], max_length: int
) -> None:
    sequences = _sequences(lengths)
    rows = TrainingRows(sequences, max_length=max_length)
    batch = rows.gather(torch.arange(len(rows)))
    assert batch.inputs.shape[1] <= max_length
    pairs = zip(
        batch.inputs[batch.is_target].tolist(),
        batch.targets[batch.is_target].tolist(),
        strict=True,
    )
    first = set((sequences.offsets[:-1] + 1).tolist())
    wanted = Counter((code - 1, code) for code in sequences.items.tolist() if code not in first)
    assert Counter(pairs) == wanted
    # Nobody reads another user's items.
    filled = batch.sequences > 0
    users = batch.users[:, None].expand_as(batch.sequences)
    assert torch.equal(sequences.owners[batch.sequences[filled] - 1], users[filled])


@given(lengths=LENGTHS, max_length=st.integers(1, 25), data=st.data())
def test_a_gathered_row_depends_on_its_batch_only_in_its_padding(
    lengths: list[int], max_length: int, data: st.DataObject
) -> None:
    rows = TrainingRows(_sequences(lengths), max_length=max_length)
    chosen = data.draw(st.lists(st.integers(0, len(rows) - 1), min_size=1))
    batch = rows.gather(torch.tensor(chosen))
    alone = [rows.gather(torch.tensor([row])).sequences[0] for row in chosen]
    assert batch.sequences.shape[1] == max(map(len, alone))
    for got, own in zip(batch.sequences, alone, strict=True):
        assert torch.equal(got[-len(own) :], own)
        assert not got[: -len(own)].any()


@given(lengths=LENGTHS, max_length=st.integers(1, 25))
def test_noise_and_positions_lie_where_the_items_lie(lengths: list[int], max_length: int) -> None:
    rows = TrainingRows(_sequences(lengths), max_length=max_length)
    everything = torch.arange(len(rows))
    batch, noise = rows.gather(everything), rows.noise(everything)
    assert noise is not None
    assert noise.dtype == torch.bool
    assert torch.equal(noise, (batch.sequences % 3 == 0) & (batch.sequences > 0))
    assert torch.equal(rows.positions(everything), batch.sequences - 1)


def test_noise_is_none_where_the_truth_is_unknown() -> None:
    rows = TrainingRows(_sequences([4], noise=False), max_length=3)
    assert rows.noise(torch.tensor([0])) is None


def _order(rows: TrainingRows, **kwargs: int) -> list[int]:
    return torch.cat([batch.rows for batch in rows.batches(4, **kwargs)]).tolist()


def test_an_epoch_visits_every_row_once() -> None:
    rows = TrainingRows(_sequences([30, 2, 9]), max_length=2)
    batches = list(rows.batches(4, seed=0, epoch=0))
    assert [len(batch) for batch in batches[:-1]] == [4] * (len(batches) - 1)
    assert sorted(_order(rows, seed=0, epoch=0)) == list(range(len(rows)))
    for batch in batches:
        assert torch.equal(batch.sequences, rows.gather(batch.rows).sequences)


def test_the_order_depends_on_seed_and_epoch_only() -> None:
    rows = TrainingRows(_sequences([60]), max_length=2)
    straight = _order(rows, seed=3, epoch=7)
    for epoch in range(7):  # epochs before it, and torch's own generator, leave no trace
        _order(rows, seed=3, epoch=epoch)
    torch.manual_seed(99)
    assert _order(rows, seed=3, epoch=7) == straight
    assert straight != sorted(straight)
    others = [(3, 8), (4, 7), (7, 3)]
    assert all(_order(rows, seed=seed, epoch=epoch) != straight for seed, epoch in others)


def test_a_subset_of_rows_is_visited_once_and_alone() -> None:
    rows = TrainingRows(_sequences([30]), max_length=2)
    chosen = torch.tensor([9, 2, 5, 11, 7])
    got = torch.cat([batch.rows for batch in rows.batches(2, seed=0, epoch=0, rows=chosen)])
    assert sorted(got.tolist()) == sorted(chosen.tolist())
    assert list(rows.batches(2, seed=0, epoch=0, rows=chosen[:0])) == []


def test_nothing_to_predict_is_refused() -> None:
    with pytest.raises(DataError, match=r"log\.csv: no user has two training interactions.*k_core"):
        TrainingRows(_sequences([1, 0, 1]), max_length=5)


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (torch.tensor([12]), r"rows must be in 0\.\.11, got 12\.\.12"),
        (torch.tensor([3, -1]), r"rows must be in 0\.\.11, got -1\.\.3"),
        (torch.tensor([[1]]), r"rows must be \[B\] torch.int64 with B >= 1, got \[1, 1\]"),
        (torch.tensor([1.0]), "got .*torch.float32"),
        (torch.tensor([], dtype=torch.int64), r"got \[0\] torch.int64"),
    ],
)
def test_rows_that_do_not_exist_are_refused(bad: torch.Tensor, message: str) -> None:
    rows = TrainingRows(_sequences([13]), max_length=1)
    with pytest.raises(ValueError, match=message):
        rows.gather(bad)


@pytest.mark.parametrize(("name", "least"), [("batch_size", 1), ("seed", 0), ("epoch", 0)])
def test_batches_refuse_numbers_out_of_range(name: str, least: int) -> None:
    rows = TrainingRows(_sequences([13]), max_length=1)
    with pytest.raises(ValueError, match=f"{name} must be at least {least}, got -1"):
        next(rows.batches(**{"batch_size": 2, "seed": 0, "epoch": 0, name: -1}))


def test_max_length_below_one_is_refused() -> None:
    with pytest.raises(ValueError, match="max_length must be at least 1, got 0"):
        TrainingRows(_sequences([3]), max_length=0)


@pytest.mark.cuda
def test_batches_are_gathered_on_the_device_of_the_sequences() -> None:
    if not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")
    here = TrainingRows(_sequences([30, 2, 9]), max_length=4)
    there = here.to("cuda")
    for a, b in zip(
        here.batches(3, seed=0, epoch=0), there.batches(3, seed=0, epoch=0), strict=True
    ):
        assert b.sequences.device.type == b.rows.device.type == "cuda"
        assert torch.equal(a.sequences, b.sequences.cpu())
        assert torch.equal(here.noise(a.rows), there.noise(b.rows).cpu())  # type: ignore[arg-type, union-attr]


# ---- windows closer together --------------------------------------------------------------------


def test_windows_with_a_stride_by_hand() -> None:
    rows = TrainingRows(_sequences([5, 1, 2]), max_length=2, stride=1)
    batch = rows.gather(torch.arange(len(rows)))
    assert batch.sequences.tolist() == [[3, 4, 5], [2, 3, 4], [1, 2, 3], [0, 1, 2], [0, 7, 8]]
    assert batch.users.tolist() == [0, 0, 0, 0, 2]


@given(lengths=LENGTHS, max_length=st.integers(1, 25))
def test_with_stride_one_every_interaction_is_the_last_target_once(
    lengths: list[int], max_length: int
) -> None:
    sequences = _sequences(lengths)
    rows = TrainingRows(sequences, max_length=max_length, stride=1)
    batch = rows.gather(torch.arange(len(rows)))
    first = set((sequences.offsets[:-1] + 1).tolist())
    wanted = [item for item in sequences.items.tolist() if item not in first]
    assert sorted(batch.targets[:, -1].tolist()) == wanted
    for window in batch.sequences.tolist():
        items = [item for item in window if item]
        assert items == list(range(items[0], items[-1] + 1))
        # As much history as there is and fits.
        assert len(items) == max_length + 1 or items[0] in first


def test_the_stride_goes_along_to_another_device() -> None:
    rows = TrainingRows(_sequences([9]), max_length=4, stride=2)
    assert (rows.stride, rows.to("cpu").stride, len(rows.to("cpu"))) == (2, 2, len(rows))
    assert TrainingRows(_sequences([9]), max_length=4).stride == 4


@pytest.mark.parametrize("stride", [0, 5])
def test_a_stride_out_of_range_is_refused(stride: int) -> None:
    with pytest.raises(ValueError, match=rf"stride must be in 1..4 \(max_length\), got {stride}"):
        TrainingRows(_sequences([9]), max_length=4, stride=stride)
