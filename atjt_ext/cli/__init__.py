"""The command line ``atjt``: one file per command, named in the table of ``main.py``."""

from .main import main

__all__ = ["main"]
