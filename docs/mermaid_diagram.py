"""Diagrams of mermaid, which GitHub draws by itself, on the site."""

from __future__ import annotations

from html import escape

from docutils import nodes
from docutils.parsers.rst import Directive

_MERMAID = "https://cdn.jsdelivr.net/npm/mermaid@11/dist/mermaid.esm.min.mjs"


class MermaidDiagram(Directive):
    """Drawn by the browser where it can load mermaid; elsewhere its source stays, as text."""

    has_content = True

    def run(self) -> list[nodes.Node]:
        source = escape("\n".join(self.content))
        html = (
            '<pre class="mermaid" style="overflow-x: auto; font-size: var(--code-font-size)">'
            f"\n{source}\n</pre>\n"
            '<script type="module">\n'
            f'import("{_MERMAID}").then(loaded => loaded.default.run()).catch(() => null);\n'
            "</script>"
        )
        return [nodes.raw("", html, format="html")]
