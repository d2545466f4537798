"""How Markdown that GitHub shows as it stands becomes pages of the site."""

from __future__ import annotations

import re
from pathlib import Path

_INCLUDE = re.compile(r"^<!-- include (\S+) -->$", re.M)
_LINK = re.compile(r"\[([^\]]+)\]\(([^)\s#:]+)(#[^)\s]*)?\)")
# Files outside of docs/ that have a page.
_PAGES = {"README.md": "index.md", "CHANGELOG.md": "changelog.md", "examples": "examples.md"}


def page_source(text: str, page: Path, docs: Path, source_url: str | None) -> str:
    """``text`` of ``page`` with ``<!-- include FILE -->`` replaced by the file, and links rebased.

    Args:
        text: Markdown.
        page: where it stands.
        docs: the folder of pages.
        source_url: of the repository's files; without it links to them become plain text.
    """

    def included(match: re.Match[str]) -> str:
        file = (page.parent / match[1]).resolve()
        return _rebased(file.read_text(encoding="utf-8"), file, docs, source_url)

    return _INCLUDE.sub(included, _rebased(text, page, docs, source_url))


def _rebased(text: str, file: Path, docs: Path, source_url: str | None) -> str:
    repository = docs.parent.resolve()

    def link(match: re.Match[str]) -> str:
        label, anchor = match[1], match[3] or ""
        target = (file.parent / match[2]).resolve()
        if not target.exists() or not target.is_relative_to(repository):
            return match[0]  # code that looks like a link, or a dead one, which the build refuses
        if target.is_relative_to(docs.resolve()):
            return f"[{label}](/{target.relative_to(docs.resolve()).as_posix()}{anchor})"
        path = target.relative_to(repository)
        for name in (path.as_posix(), path.parts[0]):
            if name in _PAGES:
                return f"[{label}](/{_PAGES[name]}{anchor})"
        return label if source_url is None else f"[{label}]({source_url}/{path.as_posix()})"

    return _LINK.sub(link, text)
