"""The hardware and versions that a record holds, and the devices that can be measured."""

from __future__ import annotations

import os
import platform
import subprocess
from datetime import datetime, timezone
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

import atjt_ext


def why_not(device: str) -> str | None:
    """The reason why ``device`` cannot be measured; ``None`` if it can."""
    if device == "cpu":
        return None
    if not torch.cuda.is_available():
        return "no CUDA device that torch can use"
    if not atjt_ext.build_info()["gpu_usable"]:
        return "atjt_ext has no CUDA kernels for this GPU"
    return None


def processor() -> str:
    """The processor's name according to the operating system."""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor()


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _commit() -> str | None:
    """The commit of the benchmarks, ``-dirty`` with changes on top; ``None`` outside a checkout."""
    try:
        done = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--abbrev=12"],
            cwd=Path(__file__).parent,
            capture_output=True,
            text=True,
        )
    except FileNotFoundError:
        return None
    return done.stdout.strip() or None


def _gpu() -> dict[str, Any] | None:
    if not torch.cuda.is_available():
        return None
    facts = torch.cuda.get_device_properties(0)
    return {
        "name": facts.name,
        "memory_gib": round(facts.total_memory / 2**30, 1),
        "compute_capability": f"{facts.major}.{facts.minor}",
        "cuda_of_torch": torch.version.cuda,
    }


def facts() -> dict[str, Any]:
    """Hardware, versions and load."""
    return {
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "commit": _commit(),
        "processor": processor(),
        "processors": os.cpu_count(),
        "gpu": _gpu(),
        "system": platform.platform(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "triton": _version("triton"),
        "liger-kernel": _version("liger-kernel"),
        "build": atjt_ext.build_info(),
        "malloc": {name: os.environ[name] for name in sorted(os.environ) if "MALLOC_" in name},
        "load": os.getloadavg()[0],
    }
