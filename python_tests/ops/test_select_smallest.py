"""The search for a cutoff, which CPU and CUDA share: it separates exactly the k smallest keys."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atjt_ext import _C

TOP = 2**32 - 1


@given(
    # From keys that all differ to keys that are nearly all equal; the ends of the range included.
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
    cutoff, ties = _C.find_cutoff(keys, k)
    below = [i for i, key in enumerate(keys) if key < cutoff]
    equal = [i for i, key in enumerate(keys) if key == cutoff]
    assert 0 <= ties <= len(equal)
    by_key_and_position = sorted(range(len(keys)), key=lambda i: (keys[i], i))
    assert sorted(below + equal[:ties]) == sorted(by_key_and_position[:k])


@pytest.mark.parametrize("k", [-1, 0, 3])
def test_a_k_that_needs_no_search_is_refused(k: int) -> None:
    with pytest.raises(ValueError, match="k must be in"):
        _C.find_cutoff([1, 2, 3], k)
