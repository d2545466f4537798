"""Python-literal lines: what ast.literal_eval reads, by way of JSON where that is the same."""

from __future__ import annotations

import ast
import json
import warnings

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from atjt_ext.data.readers import literals
from atjt_ext.data.readers.literals import literal_value, literals_to_json

SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary()
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.tuples(inner, inner),
        st.dictionaries(st.text(max_size=5) | st.integers(), inner, max_size=4),
    ),
    max_leaves=10,
)
# Pieces that make lines nearly valid, and escapes of every kind.
_PIECES = r"""{ } [ ] : , ' " + # é \ \' \" \n \x41 \x4 \u00e9 \ud83d \ude00 \U0001f600 \N{BULLET}
\/ \0 \a 'a' "b" u'c' b'd' True None true NaN 1 -1 01 1. 1e5 1_0 0x1"""
PIECES = st.sampled_from([*_PIECES.split(), " ", "\t", "\x0c"])


def _expected(line: str) -> object:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return ast.literal_eval(line)


def _assert_agrees(line: str) -> None:
    try:
        expected = _expected(line)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        with pytest.raises(ValueError):  # noqa: PT011 (Python's own words)
            literal_value(line)
    else:
        got = literal_value(line)
        assert repr(got) == repr(expected)  # types and the sign of zero too


@given(value=VALUES)
@example(value={"a": 'it\'s "both"\\', "b": [True, None, -0.0, 1e300], "c": {"d": ()}})
@example(value={"True": "None", "n": "\x00\x1f\x7f\x85\u2028\ud83d\ude00"})
def test_what_python_writes_is_read_as_python_reads_it(value: object) -> None:
    _assert_agrees(repr(value))


@given(pieces=st.lists(PIECES, max_size=12))
@example(pieces=["'", "\\ud83d", "\\ude00", "'"])
@example(pieces=["{", "'a'", ":", "1", ",", "}"])
@example(pieces=["'a'", '"b"'])
@example(pieces=["'", "\\", "'"])
def test_broken_and_odd_lines_are_read_or_refused_as_by_python(pieces: list[str]) -> None:
    _assert_agrees("".join(pieces).lstrip())


@given(
    values=st.lists(
        st.dictionaries(
            st.text(max_size=5), st.text() | st.integers() | st.none() | st.booleans(), max_size=3
        ),
        min_size=1,
        max_size=4,
    )
)
def test_many_lines_become_as_many(values: list[dict[str, object]]) -> None:
    text = "\n".join(map(repr, values))
    translated = literals_to_json(text)
    if translated is not None:  # no rare escape
        assert [json.loads(line) for line in translated.split("\n")] == values


def test_ordinary_lines_never_reach_the_slow_parser(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(line: str) -> object:
        raise AssertionError(f"slow: {line}")

    monkeypatch.setattr(literals.ast, "literal_eval", refuse)
    value = {
        "a": "it's",
        "b": 'say "x"',
        "c": "both ' and \"",
        "d": "\\n\n\t\xa0é",
        "e": [True, None],
    }
    assert literal_value(repr(value)) == value


def test_nothing_is_evaluated() -> None:
    for line in ("__import__('os').getcwd()", "{'a': open('x')}", "[1 for _ in 'a']", "1 + 1"):
        with pytest.raises(ValueError, match=r"malformed node|invalid"):
            literal_value(line)


def test_long_numbers_take_linear_time() -> None:
    with pytest.raises(ValueError, match="invalid"):
        literal_value("1" * 4000 + "x")


def test_deep_nesting_is_refused_not_crashed() -> None:
    with pytest.raises(ValueError):  # noqa: PT011
        literal_value("[" * 100_000)
