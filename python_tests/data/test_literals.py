"""Lines that are Python literals: read as Python reads them, and never evaluated."""

from __future__ import annotations

import ast
import warnings

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from atjt_ext.data.readers.json_lines import _literal

# Pieces that make lines nearly valid, and escapes of every kind.
_PIECES = r"""{ } [ ] : , ' " + # é \ \' \" \n \x41 \x4 \u00e9 \ud83d \ude00 \U0001f600 \N{BULLET}
\/ \0 \a 'a' "b" u'c' b'd' True None true NaN 1 -1 01 1. 1e5 1_0 0x1"""
PIECES = st.sampled_from([*_PIECES.split(), " ", "\t", "\x0c"])


@given(pieces=st.lists(PIECES, max_size=12))
@example(pieces=["{", "'a'", ":", "1", ",", "}"])
@example(pieces=["'", "\\", "'"])
def test_broken_and_odd_lines_are_read_or_refused_as_by_python(pieces: list[str]) -> None:
    line = "".join(pieces).lstrip()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            expected = ast.literal_eval(line)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        with pytest.raises(ValueError):  # noqa: PT011 (Python's own words)
            _literal(line)
    else:
        assert repr(_literal(line)) == repr(expected)  # types and the sign of zero too


def test_nothing_is_evaluated() -> None:
    for line in ("__import__('os').getcwd()", "{'a': open('x')}", "[1 for _ in 'a']", "1 + 1"):
        with pytest.raises(ValueError, match=r"malformed node|invalid"):
            _literal(line)


def test_deep_nesting_is_refused_not_crashed() -> None:
    with pytest.raises(ValueError):  # noqa: PT011
        _literal("[" * 100_000)
