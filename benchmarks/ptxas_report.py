"""Registers, shared memory and spills of every kernel, from the log of a verbose build.

    .ci/build_strict ON
    python benchmarks/ptxas_report.py build/strict-ON/build.log > benchmarks/results/ptxas.md

These figures are static: they show spills and how many blocks fit, not speed.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

_ENTRY = re.compile(r"Compiling entry function '(?P<symbol>\w+)' for '(?P<arch>\w+)'")
_SPILL = re.compile(
    r"(?P<stack>\d+) bytes stack frame, (?P<stores>\d+) bytes spill stores, (?P<loads>\d+) bytes"
)
_USED = re.compile(r"Used (?P<registers>\d+) registers")
_SHARED = re.compile(r"(?P<bytes>\d+) bytes smem")
_DYNAMIC = re.compile(r"(?:Matrix|Exact)Products<(?P<type>[\w:]+), *\(?(?:int\)?)?(?P<width>\d+)>")

Usage = dict[str, dict[str, str]]
"""By kernel, then by architecture: registers, shared memory and spills as text."""


def parse(lines: Iterable[str]) -> Usage:
    """ptxas' reports, by the compiler's name of the kernel."""
    usage: Usage = {}
    symbol = arch = ""
    spilled = 0
    for line in lines:
        if entry := _ENTRY.search(line):
            symbol, arch, spilled = entry["symbol"], entry["arch"], 0
        elif spill := _SPILL.search(line):
            spilled = int(spill["stores"]) + int(spill["loads"]) + int(spill["stack"])
        elif (used := _USED.search(line)) and symbol:
            shared = _SHARED.search(line)
            words = used["registers"]
            if shared is not None:
                words += f" + {int(shared['bytes'])} B"
            if spilled:
                words += f" SPILLS {spilled} B"
            usage.setdefault(symbol, {})[arch] = words
            symbol = ""
    return usage


def readable(symbols: list[str]) -> list[str]:
    """Demangled names, without arguments."""
    done = subprocess.run(
        ["c++filt"], input="\n".join(symbols), capture_output=True, text=True, check=True
    )
    names = []
    for name in done.stdout.splitlines():
        name = re.sub(r"\(anonymous namespace\)::|atjt::cuda::|atjt::|^void ", "", name)
        name = re.sub(r"\((?:int|bool)\)", "", name)
        names.append(name.split("(")[0].strip())
    return names


def dynamic_shared(name: str) -> str:
    """KiB of dynamic shared memory of a kernel over tiles: TileShape in common/cuda/tile.cuh."""
    match = _DYNAMIC.search(name)
    if match is None:
        return ""
    row = int(match["width"]) * (4 if match["type"] == "float" else 2)
    block = 128 if row <= 512 else 64
    tile = 64 if row <= 128 else 32 if row <= 512 else 16
    stages = 3 if row <= 256 else 2
    return f"{(block * row + stages * (tile * row + 8 * tile)) / 1024:.1f}"


def table(usage: Usage) -> str:
    """A Markdown table: a line for each kernel, a column for each architecture."""
    architectures = sorted({arch for of in usage.values() for arch in of}, key=_number)
    head = ["kernel", "dynamic KiB", *architectures]
    lines = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    for name, symbol in sorted(zip(readable(list(usage)), usage, strict=True)):
        cells = [usage[symbol].get(arch, "") for arch in architectures]
        lines.append("| " + " | ".join([f"`{name}`", dynamic_shared(name), *cells]) + " |")
    return "\n".join(lines)


def _number(architecture: str) -> int:
    return int(re.sub(r"\D", "", architecture) or 0)


_HEAD = """# What ptxas reports

Registers of a thread, static shared memory of a block (a GPU has 65536 registers and 100 to 228 KiB
for the blocks of a multiprocessor), and the dynamic shared memory of kernels over tiles. Static
figures: no GPU was involved.

    .ci/build_strict ON
    python benchmarks/ptxas_report.py build/strict-ON/build.log > benchmarks/results/ptxas.md
"""


def main() -> None:
    """Print the report for the log named on the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("log", type=Path)
    log = parser.parse_args().log
    usage = parse(log.read_text().splitlines())
    if not usage:
        sys.exit(f"{log} holds no ptxas report: build with ATJT_PTXAS_VERBOSE=ON")
    print(_HEAD)
    print(table(usage))


if __name__ == "__main__":
    main()
