"""Interactions, k-core and sequences: values by hand, the fixed point, ids that come back."""

from __future__ import annotations

from dataclasses import replace

import polars as pl
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from atjt_ext.data import DataError, Interactions, Sequences, drop_short_users, k_core, to_sequences


def _interactions(pairs: list[tuple[str, str]], **columns: list[object]) -> Interactions:
    frame = pl.DataFrame(pairs, schema={"user": pl.String, "item": pl.String}, orient="row")
    return Interactions(frame.with_columns(**{k: pl.Series(v) for k, v in columns.items()}))


PAIRS = st.lists(st.tuples(st.sampled_from("abcdef"), st.sampled_from("uvwxyz")), min_size=1)


# Interactions


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"user": ["a"]}, "a column 'item', found 'user'"),
        ({"user": [1], "item": ["x"]}, "'user' must be String, got Int64"),
        ({"user": ["a"], "item": ["x"], "time": ["5"]}, "'time' must be Int64 or Float64, got"),
        ({"user": ["a", None], "item": ["x", "y"]}, "'user' must be filled, 1 rows are empty"),
    ],
)
def test_frames_of_another_shape_are_refused(
    columns: dict[str, list[object]], message: str
) -> None:
    with pytest.raises(DataError, match=message):
        Interactions(pl.DataFrame(columns))


def test_no_interactions_are_refused() -> None:
    with pytest.raises(DataError, match=r"log\.csv: no interactions"):
        Interactions(pl.DataFrame(schema={"user": pl.String, "item": pl.String}), source="log.csv")


# short users


def test_short_users_go_and_items_of_others_stay() -> None:
    pairs = [("b", "z"), ("a", "x"), ("c", "z"), ("a", "y"), ("b", "x"), ("a", "q")]
    got = drop_short_users(_interactions(pairs), 2)
    assert got.frame.rows() == [("b", "z"), ("a", "x"), ("a", "y"), ("b", "x"), ("a", "q")]
    assert drop_short_users(_interactions(pairs), 1).frame.height == 6
    with pytest.raises(DataError, match="min_length is 4, the longest user has 3"):
        drop_short_users(_interactions(pairs), 4)
    with pytest.raises(ValueError, match="min_length must be at least 0, got -1"):
        drop_short_users(_interactions(pairs), -1)


# k-core


def test_k_core_removes_what_its_own_removals_made_rare() -> None:
    # c has one interaction; without it z has one; without z, b has one; a and its items stay.
    pairs = [("b", "z"), ("a", "x"), ("c", "z"), ("a", "y"), ("b", "x"), ("d", "x"), ("d", "y")]
    got = k_core(_interactions(pairs), 2)
    assert got.frame.rows() == [("a", "x"), ("a", "y"), ("d", "x"), ("d", "y")]


@given(pairs=PAIRS, k=st.integers(2, 4))
def test_k_core_is_a_fixed_point_and_the_largest(pairs: list[tuple[str, str]], k: int) -> None:
    left = list(pairs)  # by the definition: drop one offender at a time
    while True:
        users, items = [u for u, _ in left], [i for _, i in left]
        bad = [p for p in left if users.count(p[0]) < k or items.count(p[1]) < k]
        if not bad:
            break
        left.remove(bad[0])
    if left:
        got = k_core(_interactions(pairs), k)
        assert sorted(got.frame.rows()) == sorted(left)
        assert k_core(got, k) is got
        order = iter(pairs)
        assert all(row in order for row in got.frame.rows())  # a subsequence of the file
    else:
        with pytest.raises(DataError, match=f"k_core={k} leaves nothing of {len(pairs)} inter"):
            k_core(_interactions(pairs), k)


def test_k_core_up_to_one_changes_nothing() -> None:
    interactions = _interactions([("a", "x")])
    assert k_core(interactions, 1) is interactions
    assert k_core(interactions, 0) is interactions


def test_k_core_keeps_the_other_columns() -> None:
    pairs = [("a", "x"), ("b", "y"), ("a", "x")]
    got = k_core(_interactions(pairs, time=[3, 2, 1]), 2)
    assert got.frame.rows() == [("a", "x", 3), ("a", "x", 1)]


# Sequences


def test_sequences_order_by_time_and_code_by_first_appearance() -> None:
    pairs = [("b", "y"), ("a", "x"), ("b", "x"), ("b", "z")]
    got = to_sequences(_interactions(pairs, time=[9, 1, 2, 2], is_noise=[True, False, False, True]))
    assert got.user_ids == ["b", "a"]
    assert got.item_ids == ["y", "x", "z"]
    assert got.offsets.tolist() == [0, 3, 4]
    assert got.items.tolist() == [2, 3, 1, 2]
    assert got.is_noise is not None
    assert got.is_noise.tolist() == [False, True, True, False]
    assert got.items.dtype == got.offsets.dtype == torch.int64


def test_without_a_time_column_the_file_gives_the_order() -> None:
    got = to_sequences(_interactions([("a", "z"), ("b", "x"), ("a", "x")]))
    assert got.decode_items(got.items_of(0)) == ["z", "x"]


@pytest.mark.parametrize(
    "time",
    [[2**62, -(2**62), 0, 2**62, 1], [0.5, -0.5, 0.25, 0.5, 0.3]],
    ids=["beyond one key of 64 bits", "fractions"],
)
def test_any_times_can_be_ordered(time: list[object]) -> None:
    pairs = [("a", "4"), ("a", "1"), ("b", "1"), ("a", "5"), ("b", "2")]
    sequences = to_sequences(_interactions(pairs, time=time))
    assert [sequences.decode_items(sequences.items_of(user)) for user in (0, 1)] == [
        ["1", "4", "5"],
        ["1", "2"],
    ]


@given(
    rows=st.lists(
        st.tuples(st.sampled_from("abc"), st.sampled_from("xyz"), st.integers(-3, 3)), min_size=1
    )
)
def test_ids_come_back_in_order_of_time(rows: list[tuple[str, str, int]]) -> None:
    interactions = _interactions([row[:2] for row in rows], time=[row[2] for row in rows])
    sequences = to_sequences(interactions)
    assert set(sequences.user_ids) == {user for user, _, _ in rows}
    for user_id in sequences.user_ids:
        codes = sequences.items_of(sequences.user_index(user_id))
        own = sorted((row for row in rows if row[0] == user_id), key=lambda row: row[2])
        ids = [item for _, item, _ in own]
        assert sequences.decode_items(codes) == ids
        assert sequences.encode_items(ids).tolist() == codes.tolist()


@pytest.fixture
def sequences() -> Sequences:
    return to_sequences(
        Interactions(
            pl.DataFrame({"user": ["7", "7", "8"], "item": ["x", "y", "x"]}), source="log.csv"
        )
    )


def test_unknown_ids_are_named_beside_known_ones(sequences: Sequences) -> None:
    with pytest.raises(DataError, match=r"^log\.csv: no item 'q'; known are 'x', 'y'$"):
        sequences.encode_items(["x", "q"])
    with pytest.raises(DataError, match=r"^log\.csv: no user '9'; known are '7', '8'$"):
        sequences.user_index("9")
    with pytest.raises(TypeError, match="user ids are strings, got int 7"):
        sequences.user_index(7)  # type: ignore[arg-type]


def test_codes_outside_the_catalogue_have_no_id(sequences: Sequences) -> None:
    for code in (0, 3, -1):
        with pytest.raises(ValueError, match=rf"in 1\.\.2, got {code}"):
            sequences.decode_items([code])
    with pytest.raises(IndexError, match=r"user must be in 0\.\.1, got 2"):
        sequences.items_of(2)


@given(lengths=st.lists(st.integers(0, 5), min_size=1), count=st.integers(0, 6))
def test_histories_are_cut_for_every_user(lengths: list[int], count: int) -> None:
    offsets = torch.tensor([0, *lengths]).cumsum(0)
    total = int(offsets[-1])
    users = [str(user) for user in range(len(lengths))]
    items = torch.arange(1, total + 1)
    full = Sequences(offsets, items, users, [str(i) for i in range(total)], items % 2 == 0)
    before, after = full.without_last(count), full.only_last(count)
    assert full.owners.tolist() == [user for user, n in enumerate(lengths) for _ in range(n)]
    assert full.positions.tolist() == [place for n in lengths for place in range(n)]
    assert full.from_the_end.tolist() == [n - place for n in lengths for place in range(n)]
    for user, length in enumerate(lengths):
        whole = full.items_of(user).tolist()
        cut = max(length - count, 0)
        assert before.items_of(user).tolist() == whole[:cut]
        assert after.items_of(user).tolist() == whole[cut:]
    for got in (before, after):
        assert got.num_items == full.num_items
        assert got.is_noise is not None
        assert torch.equal(got.is_noise, got.items % 2 == 0)
    for cut_of in (full.without_last, full.only_last):
        with pytest.raises(ValueError, match="count must be at least 0, got -1"):
            cut_of(-1)


def test_sequences_in_another_order_of_ids_are_the_same() -> None:
    rows = [("a", "x"), ("a", "y"), ("b", "z"), ("c", "y"), ("c", "x"), ("c", "z")]
    noise = [False, True, False, False, True, True]
    full = to_sequences(_interactions(rows, is_noise=noise))
    full = replace(full, weights=torch.arange(6) / 6)
    other = full.recoded(["c", "a", "b"], ["z", "x", "y"])
    assert [other.decode_items(other.items_of(user)) for user in range(3)] == [
        *(["y", "x", "z"], ["x", "y"], ["z"]),
    ]
    assert other.items.tolist() == [3, 2, 1, 2, 3, 1]
    assert other.is_noise is not None
    assert other.is_noise.tolist() == [False, True, True, False, True, False]
    assert other.weights is not None
    assert (other.weights * 6).round().tolist() == [3, 4, 5, 0, 1, 2]
    back = other.recoded(full.user_ids, full.item_ids)
    assert torch.equal(back.items, full.items)
    for users, items in ((["c", "a"], ["z", "x", "y"]), (["c", "a", "b"], ["z", "x", "x"])):
        with pytest.raises(
            ValueError, match=r"_ids must be the 3 (user|item) ids in another order"
        ):
            full.recoded(users, items)


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"offsets": torch.tensor([0, 3])}, ValueError, r"offsets must be \[3\], got \[2\]"),
        ({"offsets": torch.tensor([0, 1, 2])}, ValueError, "from 0 to the 3 items, got 0 to 2"),
        ({"offsets": torch.tensor([0, 4, 3])}, ValueError, "offsets must never fall"),
        ({"items": torch.tensor([1, 0, 2])}, ValueError, r"items must be in 1\.\.2, got 0\.\.2"),
        ({"items": torch.tensor([1, 3, 2])}, ValueError, r"items must be in 1\.\.2, got 1\.\.3"),
        ({"items": torch.tensor([1.0, 1, 2])}, TypeError, "items must be torch.int64, got torch.f"),
        ({"is_noise": torch.tensor([True])}, ValueError, r"is_noise must be \[3\], got \[1\]"),
    ],
)
def test_parts_that_do_not_fit_together_are_refused(
    changes: dict[str, torch.Tensor], error: type[Exception], message: str
) -> None:
    parts = {"offsets": torch.tensor([0, 2, 3]), "items": torch.tensor([1, 2, 1]), **changes}
    with pytest.raises(error, match=message):
        Sequences(user_ids=["a", "b"], item_ids=["x", "y"], **parts)


@settings(max_examples=20)
@given(pairs=PAIRS)
def test_every_interaction_becomes_one_item(pairs: list[tuple[str, str]]) -> None:
    got = to_sequences(_interactions(pairs))
    assert got.num_interactions == len(pairs)
    assert int(got.lengths.sum()) == len(pairs)
