"""Text for a terminal: nothing in it acts, all that can be read stays."""

from __future__ import annotations

import unicodedata

from hypothesis import given
from hypothesis import strategies as st

from atjt_ext.data.errors import printable

ACTS = {"Cc", "Zl", "Zp", "Cs"}  # controls, line and paragraph separators, surrogates
TURNS = {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}


def test_what_acts_on_a_terminal_is_an_escape() -> None:
    assert printable("\x1b[31mRED\x07") == r"\x1b[31mRED\x07"
    assert printable("a\rb\nc\td\x7f\x9b") == r"a\rb\nc\td\x7f\x9b"
    assert printable("\u202eevil\u2066\u200f\u061c") == r"\u202eevil\u2066\u200f\u061c"
    assert printable("a\u2028b\u200bc\ufeff\xad\udcff") == r"a\u2028b\u200bc\ufeff\xad\udcff"


def test_text_of_all_scripts_stays() -> None:
    family = "\U0001f468\u200d\U0001f469\u200d\U0001f467"
    arabic, persian = "\u0639\u0631\u0628\u064a", "\u0645\u06cc\u200c\u062e"
    for text in ("é", "日本", arabic, persian, family, r"C:\new", "[red] :smile:"):
        assert printable(text) == text


def test_characters_to_keep_stay() -> None:
    assert printable("a\nb\tc\r", keep="\n\t") == "a\nb\tc\\r"


@given(st.text(st.characters(exclude_categories=[])))
def test_nothing_that_acts_is_left_and_no_more_is_changed(text: str) -> None:
    shown = printable(text)
    for character in shown:
        assert unicodedata.category(character) not in ACTS
        assert unicodedata.bidirectional(character) not in TURNS
        assert character not in "\u200e\u200f\u061c\ufeff"
    shown.encode()
    assert printable(shown) == shown
    assert all(printable(c) == c for c in text if c.isprintable())
