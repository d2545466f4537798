"""Text cells that a spreadsheet would run as formulas."""

from __future__ import annotations

from typing import TypeVar

import polars as pl

__all__ = ["without_formulas"]

Frame = TypeVar("Frame", pl.DataFrame, pl.LazyFrame)

# Spreadsheets also take full-width signs, and skip tabs and line ends before a sign. A leading
# apostrophe gets one more, so that the text can be restored.
_STARTS = "^['=+\\-@\t\r\n\uff1d\uff0b\uff0d\uff20]"
_NEGATIVE_NUMBER = r"^-\d+(\.\d+)?$"


def without_formulas(frame: Frame) -> Frame:
    """``frame`` with an apostrophe before every text that a spreadsheet would run as a formula.

    These texts start with ``=``, ``+``, ``-``, ``@``, a tab or a line end; negative numbers stay. A
    text that starts with an apostrophe gets a second one, so dropping one leading apostrophe
    restores every text.
    """
    text = pl.col(pl.String)  # not pl.selectors: their `+` means something else in polars 1.27
    risky = text.str.contains(_STARTS) & ~text.str.contains(_NEGATIVE_NUMBER)
    return frame.with_columns(pl.when(risky).then("'" + text).otherwise(text).name.keep())
