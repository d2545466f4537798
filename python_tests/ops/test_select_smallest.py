"""The search for a cutoff, on CPU and CUDA: it separates exactly the k smallest keys."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from helpers.native_parts import find_cutoff

TOP = 2**32 - 1


@given(
    # From keys that all differ to keys nearly all equal, with both ends of the range.
    keys=st.sampled_from([3, 20, 2**20, 2**32]).flatmap(
        lambda span: st.lists(
            st.one_of(st.integers(0, span - 1), st.integers(TOP - span + 1, TOP)),
            min_size=2,
            max_size=60,
        )
    ),
    data=st.data(),
)
def test_the_cutoff_separates_the_k_smallest(keys: list[int], data: st.DataObject) -> None:
    k = data.draw(st.integers(1, len(keys) - 1))
    cutoff, ties = find_cutoff(keys, k)
    below = [i for i, key in enumerate(keys) if key < cutoff]
    equal = [i for i, key in enumerate(keys) if key == cutoff]
    assert 0 <= ties <= len(equal)
    by_key_and_position = sorted(range(len(keys)), key=lambda i: (keys[i], i))
    assert sorted(below + equal[:ties]) == sorted(by_key_and_position[:k])
