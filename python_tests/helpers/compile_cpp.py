"""Compiles C++ for tests. What has not changed is not compiled again.

Objects lie in ``build/emulator``. An object's name holds a digest of its compiler, its command, its
source and all headers that it may include.
"""

from __future__ import annotations

import fcntl
import functools
import hashlib
import os
import shlex
import shutil
import subprocess
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

CHECKOUT = Path(__file__).parents[2]
CSRC = CHECKOUT / "csrc"
BUILD = CHECKOUT / "build" / "emulator"
FLAGS = ["-std=c++17", "-fPIC", "-fvisibility=hidden"]

_COMPILER = shlex.split(os.environ.get("CXX", "g++"))


def files(folder: Path, *patterns: str) -> list[Path]:
    """The files below the folder whose paths match one of the patterns."""
    return sorted({path for pattern in patterns for path in folder.glob(pattern)})


def text_of(paths: Iterable[Path]) -> str:
    """The files' names and contents."""
    return "\0".join(f"{path}\0{path.read_text()}" for path in sorted(paths))


def headers_of_csrc() -> str:
    """The text of all headers that a source in ``csrc`` may include."""
    return text_of(files(CSRC, "**/*.h", "**/*.cuh"))


def digest(*parts: object) -> str:
    """A name for what is made of the parts."""
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:20]


def write(path: Path, text: str) -> None:
    """Write the whole file or nothing: another process may be reading."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.{os.getpid()}")
    part.write_text(text)
    part.replace(path)


class Object:
    """One source and the command that compiles it.

    Args:
        source: C++ or translated CUDA.
        arguments: The compiler's.
        headers: The text of all headers that the source may include.
    """

    def __init__(self, source: Path, arguments: list[str], headers: str) -> None:
        self.command = [*_COMPILER, *arguments, "-x", "c++", "-c", str(source)]
        parts = digest(_version_of_the_compiler(), self.command, headers, text_of([source]))
        self.path = BUILD / f"{source.stem}-{parts}.o"

    def compile(self) -> None:
        """Make the object unless it is there."""
        if not self.path.exists():
            part = self.path.with_suffix(f".{os.getpid()}")
            _run([*self.command, "-o", str(part)])
            part.replace(self.path)


def link(objects: list[Object], name: str, arguments: list[str]) -> Path:
    """Compile the objects and link them; the path of the result, whose file has that name.

    Raises:
        RuntimeError: The compiler's messages, if it fails.
        FileNotFoundError: There is no g++ (and no ``CXX``).
    """
    target = BUILD / digest([o.path.name for o in objects], arguments) / name
    BUILD.mkdir(parents=True, exist_ok=True)
    with (BUILD / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # a second process waits for what the first one compiles
        if target.exists():
            return target
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            list(pool.map(Object.compile, objects))
        target.parent.mkdir(exist_ok=True)
        part = target.with_suffix(f".{os.getpid()}")
        _run([*_COMPILER, *arguments, *(str(o.path) for o in objects), "-o", str(part)])
        part.replace(target)
        _forget_old_builds()
    return target


@functools.cache
def _version_of_the_compiler() -> str:
    return subprocess.run(
        [*_COMPILER, "--version"], capture_output=True, text=True, check=True
    ).stdout


def _run(command: list[str]) -> None:
    # Sanitizers' libraries, which Python must load first, would only slow the compiler down.
    environment = {name: value for name, value in os.environ.items() if name != "LD_PRELOAD"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    if done.returncode != 0:
        raise RuntimeError(f"{shlex.join(command)}\n{done.stdout}{done.stderr}")


def _forget_old_builds() -> None:
    for path in BUILD.iterdir():
        if path.name != "lock" and path.stat().st_mtime < time.time() - 7 * 24 * 3600:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
