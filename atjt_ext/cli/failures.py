"""The errors that a user can act on, each as one line."""

from __future__ import annotations

from ..data.errors import is_out_of_memory

__all__ = ["in_one_line"]

# By name: the modules of these classes import torch, and an early failure need not wait for that.
_OWN = {"CheckpointError", "TrainingDivergedError"}


def in_one_line(error: BaseException, less_memory: str) -> str | None:
    """The line for an error that a user can act on; None for other errors, whose traceback helps.

    Args:
        error: what a command raised.
        less_memory: what helps if memory is short.
    """
    lines = str(error).strip().splitlines() or [type(error).__name__]
    if is_out_of_memory(error):
        return f"out of memory ({lines[0]}); {less_memory}"
    own = any(kind.__name__ in _OWN for kind in type(error).__mro__)
    if own or isinstance(error, ValueError | ImportError | OSError):
        return " ".join(lines)
    return None
