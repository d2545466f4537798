"""Any text that a shell can pass is the value of an option of text."""

from __future__ import annotations

import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from atjt_ext.cli.parser import CommandParser

# A shell passes bytes without NUL; undecodable ones become the surrogates U+DC80 to U+DCFF.
TEXTS = st.text(
    st.characters(exclude_characters="\0", exclude_categories=["Cs"])
    | st.integers(0xDC80, 0xDCFF).map(chr)
    | st.sampled_from("#~&*!|>'\"%@`[]{},:?- \t\n=0123456789eE.+_")
)
parser = CommandParser(prog="atjt x")
parser.add_argument("file", type=str | None, nargs="?", default=None)
parser.add_argument("--name", type=str | None, default=None)
parser.add_argument("--names", type=tuple[str, ...], default=())


@given(TEXTS)
@example("null")
@example("#sku")
@example("2024-01-01")
def test_an_option_of_text_is_the_text(text: str) -> None:
    options = parser.parse_args([f"--name={text}", "--names", json.dumps([text]), "--", text])
    assert (options.name, options.names, options.file) == (text, (text,), text)


@given(TEXTS)
@example("-2+3")
@example("-5")
def test_a_text_may_follow_its_option(text: str) -> None:
    if text.startswith("--") or text == "-h":
        with pytest.raises(SystemExit):
            parser.parse_args(["--name", text])
    else:
        assert parser.parse_args(["--name", text]).name == text


@given(st.text(st.characters(exclude_characters="\0,", exclude_categories=["Cs"])))
def test_an_element_of_a_list_is_its_text_without_blanks_around_it(text: str) -> None:
    if text.strip():
        assert parser.parse_args([f"--names=a,{text}"]).names == ("a", text.strip())
