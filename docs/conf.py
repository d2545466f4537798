"""The documentation site: `make docs` builds it from these pages and the docstrings."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import tomllib
from sphinx.application import Sphinx

DOCS = Path(__file__).parent
sys.path.insert(0, str(DOCS))

from mermaid_diagram import MermaidDiagram  # noqa: E402  # found by the line above
from site_pages import page_source  # noqa: E402

PROJECT = tomllib.loads((DOCS.parent / "pyproject.toml").read_text(encoding="utf-8"))["project"]

project = PROJECT["name"]
version = release = PROJECT["version"]
author = "The atjt_ext maintainers"
copyright = author

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]

myst_fence_as_directive = ["mermaid"]
myst_heading_anchors = 3

autodoc_default_options = {
    "members": True,
    "member-order": "bysource",
    # What torch and Python bring along is documented there.
    "inherited-members": "Module, Dataset, object, tuple, int, str, Exception, Warning, IntEnum",
}
autodoc_typehints_format = "short"
napoleon_numpy_docstring = False
napoleon_use_ivar = True  # attributes as a list: as entries they would be there twice
python_maximum_signature_line_length = 80

html_theme = "furo"
html_title = f"{project} {version}"
html_show_sphinx = False
html_copy_source = False

# Links to sources lead to where the project lives, where that is known.
SOURCE = os.environ.get("ATJT_SOURCE_URL") or PROJECT.get("urls", {}).get("Source")


def setup(app: Sphinx) -> None:
    def read(_: Sphinx, name: str, source: list[str]) -> None:
        path = Path(app.env.doc2path(name))
        source[0] = page_source(source[0], path, DOCS, SOURCE)

    app.connect("source-read", read)
    app.add_directive("mermaid", MermaidDiagram)
