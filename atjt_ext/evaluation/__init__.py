"""TODO."""

from .ranking import evaluate, full_ranks, top_k

__all__ = ["evaluate", "full_ranks", "top_k"]
