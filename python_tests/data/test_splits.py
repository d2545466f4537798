"""Leave-one-out, evaluation batches and user folds."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from atjt_ext.data import DataError, leave_one_out, user_folds
from helpers.tiny import tiny_evaluation_set, tiny_sequences

USERS = st.lists(st.lists(st.integers(1, 9), min_size=3, max_size=8), min_size=1, max_size=6)


def test_leave_one_out_by_hand() -> None:
    split = leave_one_out(tiny_sequences([1, 2, 3, 4, 5], [6, 7, 6]))
    assert split.train.items.tolist() == [1, 2, 3, 6]
    assert split.train.offsets.tolist() == [0, 3, 4]
    assert split.valid.targets.tolist() == [4, 7]
    assert split.test.targets.tolist() == [5, 6]
    assert split.valid.histories is split.train
    assert split.test.histories.items_of(0).tolist() == [1, 2, 3, 4]
    assert split.test.histories.items_of(1).tolist() == [6, 7]
    assert split.test.users.tolist() == [0, 1]
    assert split.train.num_items == 9  # the catalogue stays whole


@given(users=USERS)
def test_history_and_target_give_the_sequence_back(users: list[list[int]]) -> None:
    split = leave_one_out(tiny_sequences(*users))
    for user, items in enumerate(users):
        for part, cut in ((split.valid, -1), (split.test, len(items))):
            history = part.histories.items_of(user).tolist()
            assert [*history, int(part.targets[user])] == items[:cut]


def test_the_order_of_length_is_that_of_what_is_read() -> None:
    data = tiny_evaluation_set([[1, 2, 3], [4], [5, 6, 7, 8], [9, 1], [2]], [1, 1, 1, 1, 1])
    assert data.order_of_length(9).tolist() == [1, 4, 3, 0, 2]
    assert data.order_of_length(2).tolist() == [1, 4, 0, 2, 3]
    assert data.select(torch.tensor([2, 3])).order_of_length(9).tolist() == [1, 0]
    read = tiny_sequences([1], [], [5, 6], [], [2, 3, 4])
    assert replace(data, read=read).order_of_length(9).tolist() == [1, 3, 0, 2, 4]


def test_short_users_are_named_with_the_way_out() -> None:
    with pytest.raises(DataError) as caught:
        leave_one_out(tiny_sequences([1, 2, 3], [4, 5], [6], source="log.csv"))
    assert str(caught.value) == (
        "log.csv: user 'u1' has 2 interactions, leave-one-out needs at least 3 (2 such users); "
        "filter with min_length=3, or with k_core=3, which drops rare items as well"
    )
    with pytest.raises(DataError, match=r"'u0' has 1 interaction, leave-one-out needs at least 3;"):
        leave_one_out(tiny_sequences([1]))


def test_evaluation_batches_by_hand() -> None:
    test = leave_one_out(tiny_sequences([1, 2, 3, 4, 5], [6, 7, 8], [9, 9, 9, 1])).test
    first, second = test.batches(2, max_length=3)
    assert first.users.tolist() == [0, 1]
    assert first.inputs.tolist() == [[2, 3, 4], [0, 6, 7]]
    assert first.targets.tolist() == [5, 8]
    pairs = list(zip(first.seen_rows.tolist(), first.seen_items.tolist(), strict=True))
    assert pairs == [(0, 1), (0, 2), (0, 3), (0, 4), (1, 6), (1, 7)]  # item 1 is seen, if not read
    assert second.users.tolist() == [2]
    assert second.inputs.tolist() == [[9, 9, 9]]
    assert second.seen_rows.tolist() == [0, 0, 0]


@given(users=USERS, batch_size=st.integers(1, 7), max_length=st.integers(1, 9))
def test_evaluation_batches_cover_every_user_once(
    users: list[list[int]], batch_size: int, max_length: int
) -> None:
    seen_users: list[int] = []
    for batch in leave_one_out(tiny_sequences(*users)).test.batches(batch_size, max_length):
        assert batch.inputs.shape[1] <= max_length
        for row, user in enumerate(batch.users.tolist()):
            history = users[user][:-1]
            read = [item for item in batch.inputs[row].tolist() if item]
            assert read == history[-max_length:]
            assert batch.inputs[row].tolist()[-len(read) :] == read  # padding is on the left
            assert batch.seen_items[batch.seen_rows == row].tolist() == history
            assert int(batch.targets[row]) == users[user][-1]
            seen_users.append(user)
    assert seen_users == list(range(len(users)))


def test_a_selection_keeps_users_with_their_histories() -> None:
    test = leave_one_out(tiny_sequences([1, 2, 3], [4, 5, 6], [7, 8, 9])).test
    (batch,) = test.select(torch.tensor([2, 0])).batches(8, max_length=5)
    assert batch.users.tolist() == [2, 0]
    assert batch.inputs.tolist() == [[7, 8], [1, 2]]
    assert batch.targets.tolist() == [9, 3]
    assert len(test.select(torch.tensor([False, True, False]))) == 1


@pytest.mark.parametrize("bad", [{"batch_size": 0}, {"max_length": 0}])
def test_evaluation_batches_refuse_sizes_below_one(bad: dict[str, int]) -> None:
    test = leave_one_out(tiny_sequences([1, 2, 3])).test
    with pytest.raises(ValueError, match=f"{next(iter(bad))} must be at least 1, got 0"):
        next(test.batches(**{"batch_size": 1, "max_length": 1, **bad}))


@given(num_users=st.integers(1, 60), data=st.data())
def test_folds_differ_by_at_most_one_user(num_users: int, data: st.DataObject) -> None:
    num_folds = data.draw(st.integers(1, num_users))
    folds = user_folds(num_users, num_folds, seed=data.draw(st.integers(0, 5)))
    sizes = folds.bincount(minlength=num_folds)
    assert folds.shape == (num_users,)
    assert folds.dtype == torch.int64
    assert len(sizes) == num_folds
    assert int(sizes.max() - sizes.min()) <= 1


def test_folds_depend_on_the_seed_and_are_shuffled() -> None:
    first = user_folds(1000, 2, seed=0)
    assert torch.equal(first, user_folds(1000, 2, seed=0))
    assert not torch.equal(first, user_folds(1000, 2, seed=1))
    # Neighbours agree about half the time: neither blocks (999) nor alternation (0).
    assert 400 < int((first[1:] == first[:-1]).sum()) < 600


def test_more_folds_than_users_and_negative_seeds_are_refused() -> None:
    with pytest.raises(ValueError, match=r"num_folds must be in 1\.\.3 \(number of users\), got 4"):
        user_folds(3, 4, seed=0)
    with pytest.raises(ValueError, match="seed must be at least 0, got -1"):
        user_folds(3, 2, seed=-1)
