"""Print what was built and what is usable here, as JSON."""

from __future__ import annotations

import json
import platform
from collections.abc import Sequence
from importlib import metadata
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jsonargparse import Namespace
    from rich.console import Console

    from .parser import CommandParser

__all__ = ["add_options", "execute"]

_PACKAGES = ("numpy", "polars", "jsonargparse", "rich")


def add_options(parser: CommandParser, arguments: Sequence[str]) -> None:
    """No options."""


def execute(options: Namespace, console: Console) -> int:
    """Prints the facts that a report of a bug needs: build, system, versions and GPUs."""
    import torch

    from ..ops._native import build_info

    info = {
        **build_info(),
        "system": platform.platform(),
        "processor": platform.machine(),
        "python": platform.python_version(),
        "packages": {name: metadata.version(name) for name in _PACKAGES},
        "torch": torch.__version__,
        "torch_cuda": torch.version.cuda,
        "torch_threads": torch.get_num_threads(),
        "gpus": [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())],
    }
    console.print_json(json.dumps(info))
    return 0
