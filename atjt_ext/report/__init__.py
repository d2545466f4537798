"""Reports on a run: the audit of its interactions, and one self-contained HTML page."""

from .page import write_page

__all__ = ["write_page"]
