"""CSV cells that a spreadsheet would run as formulas."""

from __future__ import annotations

import csv
import io

import polars as pl
from hypothesis import example, given
from hypothesis import strategies as st

from atjt_ext.data.formula_cells import without_formulas

RUNS = tuple("=+-@\t\r\n\uff1d\uff0b\uff0d\uff20")
TEXTS = st.text(st.sampled_from("=+-@\t\r\n'\"a1., \uff1d") | st.characters(exclude_categories="C"))


def cells(texts: list[str | None]) -> list[str | None]:
    return without_formulas(pl.DataFrame({"id": pl.Series(texts, dtype=pl.String)}))["id"].to_list()


def test_formulas_get_an_apostrophe_and_nothing_else_does() -> None:
    formulas = ["=1+1", "=cmd|'/C calc'!A0", "+1", "+1+1", "@SUM(1)", "-2+3", "-", "\t=1", "\r=1"]
    assert cells(formulas) == [f"'{text}" for text in formulas]
    harmless = ["a=b", "1", "-5", "-0.25", "x@y.z", "", None, " =1", "#sku", "é", '"=1']
    assert cells(harmless) == harmless
    assert cells(["'=1", "'n"]) == ["''=1", "''n"]


def test_only_columns_of_text_change() -> None:
    frame = pl.DataFrame({"n": [-1, 2], "x": [-0.5, float("inf")], "t": ["=", "b"]})
    changed = without_formulas(frame)
    assert changed.select("n", "x").equals(frame.select("n", "x"))
    assert changed.columns == frame.columns
    assert without_formulas(frame.lazy()).collect().equals(changed)


@given(st.lists(TEXTS, min_size=1))
@example(["\r", "\n=1", "'", "''"])
def test_no_cell_runs_and_every_text_can_be_restored(texts: list[str]) -> None:
    found = cells(texts)
    for text, cell in zip(texts, found, strict=True):
        assert cell is not None
        assert not cell.startswith(RUNS) or cell[1:].replace(".", "", 1).isdecimal()
        assert cell.removeprefix("'") == text


@given(st.lists(TEXTS, min_size=1))
def test_a_csv_reader_reads_these_cells(texts: list[str]) -> None:
    frame = pl.DataFrame({"id": texts, "rank": range(len(texts))})
    written = without_formulas(frame).write_csv()
    rows = list(csv.reader(io.StringIO(written, newline=""), strict=True))
    assert [row[0] for row in rows[1:]] == cells(texts)
