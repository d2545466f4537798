"""Reports on a run: the audit of its interactions, and one HTML page that loads nothing."""

from .page import write_page

__all__ = ["write_page"]
