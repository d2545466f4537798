"""Hostile text on the page of a run: nothing is turned around, invisible or obeyed."""

from __future__ import annotations

from dataclasses import replace

import html5lib
import pytest

from atjt_ext.data.errors import printable
from atjt_ext.report.contents import Contents, contents_of
from atjt_ext.report.page import render
from atjt_ext.runs.folder import Run

EVIL = "\x1b[31m\u202eevil\u2066\u200f\x07\u2028\x9b</title><script>alert(1)</script>\u200b\ufeff"
UNDECODABLE = "\udcff"  # of a folder's name


@pytest.fixture(scope="module")
def contents(trained_run: Run) -> Contents:
    """Of a run in which every text that a file can hold is hostile."""
    found = contents_of(trained_run)
    assert found.audit is not None
    sequences = found.audit.sequences
    ids = {
        "user_ids": [f"{EVIL}{number}" for number in range(sequences.num_users)],
        "item_ids": [f"{EVIL}{number}" for number in range(sequences.num_items)],
    }
    first, second = found.metrics
    data = replace(found.config.data, item_column=EVIL, item_columns=(EVIL,))
    return replace(
        found,
        title=EVIL + UNDECODABLE,
        config=replace(found.config, recipe=EVIL, data=data),
        changed=[EVIL],
        metrics={EVIL: found.metrics[first], second: found.metrics[second]},
        histories={EVIL: found.histories[first], second: found.histories[second]},
        audit=replace(found.audit, sequences=replace(sequences, **ids), judge=EVIL),
        versions={EVIL: EVIL},
    )


def test_a_page_shows_what_acts_as_escapes(contents: Contents) -> None:
    page = render(contents, top=5)
    page.encode()
    assert printable(page, keep="\n") == page
    assert page.count("<script") == 0
    tree = html5lib.HTMLParser(strict=True, namespaceHTMLElements=False).parse(page)
    cells = ["".join(cell.itertext()) for cell in tree.iter("th") if cell.get("class") == "id"]
    assert len(cells) == 10
    assert all(printable(EVIL) in cell for cell in cells)
    assert printable(EVIL + UNDECODABLE) in "".join(tree.find(".//h1").itertext())  # type: ignore[union-attr]


def test_an_id_does_not_turn_the_text_beside_it(contents: Contents) -> None:
    """Letters of right-to-left scripts stay, so an element keeps their direction to themselves."""
    tree = html5lib.HTMLParser(namespaceHTMLElements=False).parse(render(contents, top=3))
    heads = [cell for cell in tree.iter("th") if cell.get("class") == "id"]
    for cell in heads:
        assert not (cell.text or "").strip()
        assert [child.tag for child in cell] in (["bdi"], ["bdi", "bdi"])
