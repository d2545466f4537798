"""Breaks the kernels on purpose and checks that tests notice.

    make mutations                                   # every break, a minute each
    PYTHONPATH=python_tests python -m mutations --list
    PYTHONPATH=python_tests python -m mutations "ties of bfloat16 go up"

Each break of ``breaks.txt`` edits one place of a copy of the checkout, builds the broken kernels
there and runs the tests named beside it. They pass without the break; with it one must fail.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path

from mutations.mutation import MUTATIONS, Mutation

ROOT = Path(__file__).parents[2]
TIME_LIMIT = 600  # seconds; a break that makes a kernel run forever counts as noticed


def copy_checkout(to: Path) -> None:
    """Copy the files that git tracks or would track."""
    names = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    for name in names.stdout.splitlines():
        if (ROOT / name).is_file():
            (to / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, to / name)


def build_cpu(root: Path) -> None:
    """Compile the CPU kernels into the checkout, beside the sources that import them."""
    target = root / "build" / "broken"
    pip = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target", str(target)]
    subprocess.run([*pip, "--config-settings", "cmake.define.ATJT_CUDA=OFF", str(root)], check=True)
    (library,) = (target / "atjt_ext").glob("_C*.so")
    shutil.copy(library, root / "atjt_ext")


def run_tests(root: Path, kernels: str, tests: Iterable[str]) -> list[str]:
    """The first failure among the tests; an empty list if they pass."""
    if kernels == "cpu":
        build_cpu(root)
    marker = "emulator" if kernels == "cuda" else "not emulator"
    files = [f"python_tests/ops/{test}" for test in tests]
    try:
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-x", "-q", "-m", marker, *files],
            cwd=root,
            capture_output=True,
            text=True,
            timeout=TIME_LIMIT,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return [f"no end after {TIME_LIMIT} s"]
    failures = [line for line in done.stdout.splitlines() if line.startswith("FAILED")]
    if done.returncode not in (0, 1) or (done.returncode == 1 and not failures):
        raise RuntimeError(f"no test ran: {tests}\n{done.stdout}\n{done.stderr}")
    return failures


def require_green(mutations: Iterable[Mutation]) -> None:
    """Raise RuntimeError if a test fails without a break."""
    for kernels in ("cpu", "cuda"):
        tests = {m.test for m in mutations if m.kernels == kernels}
        with tempfile.TemporaryDirectory() as folder:
            copy_checkout(Path(folder))
            if tests and (failures := run_tests(Path(folder), kernels, sorted(tests))):
                raise RuntimeError(f"a test fails without a break: {failures}")


def is_noticed(mutation: Mutation) -> bool:
    """Whether a test fails with this break."""
    with tempfile.TemporaryDirectory() as folder:
        copy_checkout(Path(folder))
        mutation.apply(Path(folder))
        failures = run_tests(Path(folder), mutation.kernels, [mutation.test])
        for line in failures:
            print(f"  {line}")
        return bool(failures)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help="which breaks; none: all of them")
    parser.add_argument("--list", action="store_true", help="only name them")
    options = parser.parse_args()
    unknown = set(options.names) - {mutation.name for mutation in MUTATIONS}
    if unknown:
        parser.error(f"names must be among those of --list, got {sorted(unknown)}")
    chosen = [m for m in MUTATIONS if not options.names or m.name in options.names]
    if options.list:
        print("\n".join(f"{mutation.name} ({mutation.file})" for mutation in chosen))
        return
    require_green(chosen)
    missed = []
    for mutation in chosen:
        print(f"{mutation.name} ({mutation.file})", flush=True)
        start = time.perf_counter()
        if not is_noticed(mutation):
            missed.append(mutation.name)
        print(f"  {time.perf_counter() - start:.0f} s", flush=True)
    if missed:
        raise SystemExit(f"no test noticed: {missed}")


if __name__ == "__main__":
    main()
