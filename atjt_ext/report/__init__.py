"""A run as one page for the browser, with nothing to load from anywhere."""

from .page import write_page

__all__ = ["write_page"]
