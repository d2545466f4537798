"""The errors that a user can act on, each as one line."""

from __future__ import annotations

__all__ = ["in_one_line"]

# By name: the modules of these classes import torch, and an early failure need not wait for that.
_OWN = {"CheckpointError", "TrainingDivergedError"}
# Allocators raise RuntimeError: torch's on the CPU, those of C++ libraries, the start of a thread.
_OUT_OF_MEMORY = (
    "can't allocate memory",
    "cannot allocate memory",
    "not enough memory",
    "out of memory",
    "std::bad_alloc",
    "can't start new thread",
)


def in_one_line(error: BaseException, less_memory: str) -> str | None:
    """The line for an error that a user can act on; None for other errors, whose traceback helps.

    Args:
        error: what a command raised.
        less_memory: what helps if memory is short.
    """
    lines = str(error).strip().splitlines() or [type(error).__name__]
    if _is_out_of_memory(error):
        return f"out of memory ({lines[0]}); {less_memory}"
    own = any(kind.__name__ in _OWN for kind in type(error).__mro__)
    if own or isinstance(error, ValueError | ImportError | OSError):
        return " ".join(lines)
    return None


def _is_out_of_memory(error: BaseException) -> bool:
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    text = str(error).lower()
    kinds = RuntimeError | ImportError | OSError
    return isinstance(error, kinds) and any(sign in text for sign in _OUT_OF_MEMORY)
