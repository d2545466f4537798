"""How Markdown becomes pages of the site."""

from __future__ import annotations

import pytest

from helpers.documents import DOCS
from site_pages import page_source


def of(text: str, page: str = "index.md", source_url: str | None = None) -> str:
    return page_source(text, DOCS / page, DOCS, source_url)


def test_links_of_an_included_file_are_rebased() -> None:
    page = of("<!-- include ../README.md -->")
    assert page.startswith("# atjt_ext")
    assert "[docs/evidence.md](/evidence.md)" in page
    assert "](docs/" not in page


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("[a](plain-pytorch.md#the-loop)", "[a](/integrations/plain-pytorch.md#the-loop)"),
        ("[a](../../README.md)", "[a](/index.md)"),
        ("[a](../../examples/README.md)", "[a](/examples.md)"),
        ("[`a`](../../atjt_ext/training/trainer.py)", "`a`"),
        ("[a](https://example.org)", "[a](https://example.org)"),
        ('models["a"](b)', 'models["a"](b)'),
        ("[a](no-such-page.md)", "[a](no-such-page.md)"),  # for the build to refuse
    ],
)
def test_links_from_a_page_in_a_folder(text: str, wanted: str) -> None:
    assert of(text, "integrations/recbole.md") == wanted


def test_links_to_sources_lead_to_the_repository_where_that_is_known() -> None:
    page = of("[a](../atjt_ext/training/trainer.py)", source_url="https://example.org/blob/main")
    assert page == "[a](https://example.org/blob/main/atjt_ext/training/trainer.py)"
