"""Compiles the CUDA kernels for the host, with the bindings of ``_C``, into a second module ``_C``.

Sources are found by their place under ``csrc``, so a new op needs no line here. Objects are kept in
``build/emulator``, named by all that they are made of: what has not changed is not compiled again.
"""

from __future__ import annotations

import fcntl
import functools
import hashlib
import os
import re
import shlex
import shutil
import subprocess
import sysconfig
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

HERE = Path(__file__).parent
CHECKOUT = HERE.parents[1]
CSRC = CHECKOUT / "csrc"
BUILD = CHECKOUT / "build" / "emulator"

_COMPILER = shlex.split(os.environ.get("CXX", "g++"))
_FLAGS = ["-std=c++17", "-fPIC", "-fvisibility=hidden"]
_TESTED_FLAGS = [*_FLAGS, "-O1", "-g1", "-ffp-contract=off"]
_SANITIZE = ["-fsanitize=address,undefined", "-fno-omit-frame-pointer"]
# Only the calls that it inserts: their targets are in emulator.cpp. It excludes the above.
_RACES = ["-fsanitize=thread", "--param=tsan-instrument-func-entry-exit=0"]
# Locals that a kernel does not initialize hold a pattern, not what a thread before it left there.
# nvcc includes cuda_runtime.h by itself.
_KERNEL_FLAGS = [
    *("-ftrivial-auto-var-init=pattern", "-Wno-unknown-pragmas"),
    *(f"-I{HERE / 'include'}", "-include", "cuda_runtime.h"),
]
_DEFINITIONS = [
    "-DATJT_HAVE_CUDA=1",
    "-DATJT_CUDA_MEMORY=::emulator::cuda_memory()",
    '-DATJT_CUDA_ARCHITECTURES="emulator"',
    '-DATJT_CUDA_VERSION="emulator"',
    '-DATJT_VERSION="emulator"',
    "-DATJT_X86_LEVELS=0",
]

_SHARED = re.compile(
    r"^(?P<indent>[ \t]*)(?P<extern>extern\s+)?__shared__\s+"
    r"(?:(?:__align__|alignas)\((?P<alignment>[^()]+)\)\s+)?(?P<declaration>[^;=]+);",
    re.MULTILINE,
)
_DECLARATOR = re.compile(
    r"(?P<type>.*\S)?\s*\b(?P<name>\w+)\s*(?P<extents>(?:\[.*\])?)\s*", re.DOTALL
)
_KERNEL = re.compile(r"\b__global__\s+void\s+(?:__launch_bounds__\s*(?=\())?")


def _end_of_parentheses(source: str, start: int) -> int:
    depth = 0
    for i in range(start, len(source)):
        depth += (source[i] == "(") - (source[i] == ")")
        if depth == 0:
            return i + 1
    raise ValueError("unbalanced parentheses")


def translate(source: str) -> str:
    """Say in C++ what it has no words for; no line moves.

    Shared variables become references into memory that the emulator gives to each block. Kernels
    begin by telling it their name and ``__launch_bounds__``.
    """
    return _enter_kernels(_declare_shared(source))


def _enter_kernels(source: str) -> str:
    done, rest = "", source
    while match := _KERNEL.search(rest):
        end, bounds = match.end(), ""
        if rest[end] == "(":
            end = _end_of_parentheses(rest, end)
            bounds = ", " + rest[match.end() + 1 : end - 1]
        end = _end_of_parentheses(rest, rest.index("(", end))
        body = re.compile(r"\s*\{").match(rest, end)
        if body is not None:  # otherwise a declaration
            end = body.end()
            call = f" ::emulator::enter_kernel(__PRETTY_FUNCTION__{' '.join(bounds.split())});"
        done += rest[:end] + (call if body is not None else "")
        rest = rest[end:]
    return done + rest


def _declare_shared(source: str) -> str:

    def declaration(match: re.Match[str]) -> str:
        alignment, kind, texts = match["alignment"] or "1", None, []
        for part in _split_at_commas(match["declaration"]):
            declarator = _DECLARATOR.fullmatch(part)
            if declarator is None:
                raise ValueError(f"not understood: {match[0]}")
            kind, name = kind or declarator["type"].strip(), declarator["name"]
            if match["extern"]:
                memory = f"static_cast<{kind}*>(::emulator::dynamic_shared())"
                texts.append(f"auto* const {name} = {memory};")
            else:
                extents = declarator["extents"]
                memory = f"::emulator::shared<{kind}{extents}, {alignment}>([] {{}})"
                texts.append(f"auto& {name} = {memory};")
        text = " ".join(" ".join(texts).split())
        return match["indent"] + text + "\n" * match[0].count("\n")

    return _SHARED.sub(declaration, source)


def _split_at_commas(text: str) -> list[str]:
    """Where no bracket is open."""
    parts, depth = [""], 0
    for character in text:
        depth += (character in "<[") - (character in ">]")
        if character == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += character
    return parts


def _read(paths: Iterable[Path]) -> str:
    return "\0".join(f"{path}\0{path.read_text()}" for path in sorted(paths))


def _digest(*parts: object) -> str:
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:20]


def _files(folder: Path, *suffixes: str) -> list[Path]:
    return sorted(p for p in folder.rglob("*") if p.suffix in suffixes)


def _run(command: list[str]) -> None:
    # What Python has to load first under sanitizers only slows the compiler down.
    environment = {name: value for name, value in os.environ.items() if name != "LD_PRELOAD"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    if done.returncode != 0:
        raise RuntimeError(f"{shlex.join(command)}\n{done.stdout}{done.stderr}")


def _write(path: Path, text: str) -> None:
    """Whole or not at all: another process may be reading."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.{os.getpid()}")
    part.write_text(text)
    part.replace(path)


def _translated_cuda() -> Path:
    """A folder with a translation of ``csrc/cuda``."""
    sources = _files(CSRC / "cuda", ".cu", ".cuh", ".h")
    texts = {
        source.relative_to(CSRC): f'#line 1 "{source}"\n{translate(source.read_text())}'
        for source in sources
    }
    folder = BUILD / f"translated-{_digest(texts)}"
    for path, text in texts.items():
        _write(folder / path, text)
    return folder


class _Object:
    """One source and the command that compiles it."""

    def __init__(self, source: Path, arguments: list[str], headers: str) -> None:
        self.command = [*_COMPILER, *arguments, "-x", "c++", "-c", str(source)]
        self.path = BUILD / f"{source.stem}-{_digest(self.command, headers, _read([source]))}.o"

    def compile(self) -> None:
        if not self.path.exists():
            part = self.path.with_suffix(f".{os.getpid()}")
            _run([*self.command, "-o", str(part)])
            part.replace(self.path)


@functools.cache
def _version_of_the_compiler() -> str:
    return subprocess.run(
        [*_COMPILER, "--version"], capture_output=True, text=True, check=True
    ).stdout


def _link(objects: list[_Object], target: Path, arguments: list[str]) -> None:
    BUILD.mkdir(parents=True, exist_ok=True)
    with (BUILD / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # a second process waits for what the first one compiles
        if target.exists():
            return
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            list(pool.map(_Object.compile, objects))
        target.parent.mkdir(exist_ok=True)
        part = target.with_suffix(f".{os.getpid()}")
        _run([*_COMPILER, *arguments, *(str(o.path) for o in objects), "-o", str(part)])
        part.replace(target)
        _forget_old_builds()


def _forget_old_builds() -> None:
    for path in BUILD.iterdir():
        if path.name != "lock" and path.stat().st_mtime < time.time() - 7 * 24 * 3600:
            shutil.rmtree(path) if path.is_dir() else path.unlink()


def _runtime_headers() -> str:
    return _version_of_the_compiler() + _read(_files(HERE, ".h"))


def _runtime_objects(*, sanitize: bool) -> list[_Object]:
    asan = f"-DEMULATOR_ASAN={int(sanitize)}"
    arguments = [*_FLAGS, "-O2", asan, "-isystem", str(CSRC / "third_party")]
    return [_Object(source, arguments, _runtime_headers()) for source in _files(HERE, ".cpp")]


def _flags(*, sanitize: bool) -> tuple[list[str], list[str]]:
    """For host code and for kernels."""
    host = _TESTED_FLAGS + (_SANITIZE if sanitize else [])
    return host, [*host, *_KERNEL_FLAGS, *([] if sanitize else _RACES)]


def build_module(*, sanitize: bool) -> Path:
    """The path of the emulated ``_C``, compiled if need be.

    Raises:
        RuntimeError: The compiler's messages, if it fails.
        FileNotFoundError: There is no g++ (and no ``CXX``).
    """
    import pybind11

    host, kernel = _flags(sanitize=sanitize)
    headers = _runtime_headers() + _read(_files(CSRC, ".h", ".cuh"))
    objects = []
    # Half of the time goes here: no optimization, and one build for both kinds of module.
    binding = [
        *(*_FLAGS, *_DEFINITIONS, "-include", str(HERE / "memory.h")),
        *(f"-I{CSRC}", "-isystem", str(CSRC / "third_party")),
        *("-isystem", sysconfig.get_path("include"), "-isystem", pybind11.get_include()),
    ]
    for source in _files(CSRC / "bindings", ".cpp"):
        objects.append(_Object(source, binding, headers))
    for source in _files(CSRC / "cpu", ".cpp"):
        isa = ["-DATJT_ISA=baseline"] if source.stem.endswith("_rows") else []
        cpu = [*host, "-DATJT_X86_LEVELS=0", "-Wno-unknown-pragmas", f"-I{CSRC}", *isa]
        objects.append(_Object(source, cpu, headers))
    translated = _translated_cuda()
    for source in _files(translated / "cuda", ".cu"):
        objects.append(_Object(source, [*kernel, f"-I{translated}", f"-I{CSRC}"], headers))
    objects += _runtime_objects(sanitize=sanitize)

    suffix = sysconfig.get_config_var("EXT_SUFFIX")
    target = BUILD / _digest([o.path.name for o in objects]) / f"_C{suffix}"
    _link(objects, target, ["-shared", *(_SANITIZE if sanitize else [])])
    return target


def build_program(source: Path, *, sanitize: bool) -> Path:
    """The path of an executable of one CUDA source with a ``main``, which may include ``csrc``."""
    _, kernel = _flags(sanitize=sanitize)
    text = f'#line 1 "{source}"\n{translate(source.read_text())}'
    folder = _translated_cuda()
    translated = BUILD / f"translated-{_digest(text)}" / source.name
    _write(translated, text)
    headers = _runtime_headers() + _read(_files(CSRC, ".h", ".cuh"))
    objects = [_Object(translated, [*kernel, f"-I{folder}", f"-I{CSRC}"], headers)]
    objects += _runtime_objects(sanitize=sanitize)
    target = BUILD / _digest([o.path.name for o in objects]) / source.stem
    _link(objects, target, _SANITIZE if sanitize else [])
    return target
