"""How many processes train together: one, until distributed training is there."""

from __future__ import annotations

import os
import sys

__all__ = ["number_of_processes", "require_one_process"]


def number_of_processes() -> int:
    """The size of torch's process group, or of the one that a launcher like torchrun wants."""
    # A module that is not loaded has no process group.
    distributed = sys.modules.get("torch.distributed")
    if distributed is not None and distributed.is_available() and distributed.is_initialized():
        return int(distributed.get_world_size())
    size = os.environ.get("WORLD_SIZE", "")
    return int(size) if size.isdecimal() else 1


def require_one_process(name: str) -> None:
    """Refuses to run ``name`` in several processes: each would train a copy into one folder.

    Raises:
        ValueError: this process is one of several.
    """
    if (size := number_of_processes()) > 1:
        raise ValueError(
            f"{name} runs in one process, got {size} (WORLD_SIZE or a process group): distributed "
            "training is not supported yet, so start it without torchrun"
        )
