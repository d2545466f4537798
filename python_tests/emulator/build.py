"""Compiles the CUDA kernels for the host, with the bindings of ``_C``, into a second module ``_C``.

Sources are found by their place under ``csrc``, as CMake finds them: a new op needs no line here.
"""

from __future__ import annotations

import re
import sysconfig
from pathlib import Path

from emulator.translate import translate
from helpers.compile_cpp import (
    BUILD,
    CSRC,
    FLAGS,
    Object,
    digest,
    files,
    headers_of_csrc,
    link,
    text_of,
    write,
)

RUNTIME = Path(__file__).parent / "runtime"

_TESTED_FLAGS = [*FLAGS, "-O1", "-g1", "-ffp-contract=off"]
_SANITIZE = ["-fsanitize=address,undefined", "-fno-omit-frame-pointer"]
# Only the calls that it inserts: their targets are in runtime/accesses.cpp. It excludes the above.
_RACES = ["-fsanitize=thread", "--param=tsan-instrument-func-entry-exit=0"]
# Locals that a kernel does not initialize hold a pattern, not what a thread before it left there.
# nvcc includes cuda_runtime.h by itself.
_KERNEL_FLAGS = [
    *("-ftrivial-auto-var-init=pattern", "-Wno-unknown-pragmas"),
    *(f"-I{RUNTIME / 'include'}", "-include", "cuda_runtime.h"),
]
_DEFINITIONS = [
    "-DATJT_HAVE_CUDA=1",
    "-DATJT_CUDA_MEMORY=::emulator::cuda_memory()",
    '-DATJT_CUDA_ARCHITECTURES="emulator"',
    '-DATJT_CUDA_VERSION="emulator"',
    '-DATJT_VERSION="emulator"',
    "-DATJT_X86_LEVELS=0",
]
_CUDA_DECLARATIONS = re.compile(r"^\s*namespace (atjt::)?cuda\b", re.MULTILINE)
_THIRD_PARTY = ["-isystem", str(CSRC / "third_party")]


def build_module(*, sanitize: bool) -> Path:
    """The path of the emulated ``_C``, compiled if need be.

    Raises:
        FileNotFoundError: As ``require_cuda_sources`` and ``link`` do.
        RuntimeError: As ``link`` does.
    """
    import pybind11

    require_cuda_sources(CSRC)
    host, kernel = _flags(sanitize=sanitize)
    headers = _headers()
    # Half of the time goes here: no optimization, and one build for both kinds of module.
    binding = [
        *(*FLAGS, *_DEFINITIONS, "-include", str(RUNTIME / "memory.h")),
        *(f"-I{CSRC}", *_THIRD_PARTY),
        *("-isystem", sysconfig.get_path("include"), "-isystem", pybind11.get_include()),
    ]
    objects = [
        Object(path, binding, headers) for path in files(CSRC, "module.cpp", "*/binding.cpp")
    ]
    for source in files(CSRC, "*/cpu/*.cpp"):
        isa = ["-DATJT_ISA=baseline"] if source.stem.endswith("_rows") else []
        cpu = [*host, "-DATJT_X86_LEVELS=0", "-Wno-unknown-pragmas", f"-I{CSRC}", *isa]
        objects.append(Object(source, cpu, headers))
    translated = _translated_cuda()
    for source in files(translated, "*/cuda/*.cu"):
        objects.append(Object(source, [*kernel, f"-I{translated}", f"-I{CSRC}"], headers))
    objects += _runtime_objects(sanitize=sanitize)
    name = f"_C{sysconfig.get_config_var('EXT_SUFFIX')}"
    return link(objects, name, ["-shared", *(_SANITIZE if sanitize else [])])


def require_cuda_sources(csrc: Path) -> None:
    """Check that every op whose header declares CUDA functions has a ``.cu`` file.

    The linker accepts undefined functions in a module. Python would then refuse the whole module
    for one undefined symbol, and no CUDA kernel could be tested.

    Raises:
        FileNotFoundError: The message names the header and the missing file.
    """
    for header in files(csrc, "*/*.h"):
        op = header.parent
        if _CUDA_DECLARATIONS.search(header.read_text()) and not files(op, "cuda/*.cu"):
            raise FileNotFoundError(
                f"{header} declares functions in namespace cuda, but no .cu file defines them: "
                f"add {op / 'cuda' / op.name}.cu, or remove the declarations if the op runs on the "
                "CPU only"
            )


def build_program(source: Path, *, sanitize: bool) -> Path:
    """The path of an executable of one CUDA source with a ``main``, which may include ``csrc``."""
    _, kernel = _flags(sanitize=sanitize)
    text = _translation(source)
    translated = BUILD / f"translated-{digest(text)}" / source.name
    write(translated, text)
    arguments = [*kernel, f"-I{_translated_cuda()}", f"-I{CSRC}"]
    objects = [Object(translated, arguments, _headers()), *_runtime_objects(sanitize=sanitize)]
    return link(objects, source.stem, _SANITIZE if sanitize else [])


def _flags(*, sanitize: bool) -> tuple[list[str], list[str]]:
    """For host code and for kernels."""
    host = _TESTED_FLAGS + (_SANITIZE if sanitize else [])
    return host, [*host, *_KERNEL_FLAGS, *([] if sanitize else _RACES)]


def _headers() -> str:
    return headers_of_csrc() + text_of(files(RUNTIME, "**/*.h"))


def _runtime_objects(*, sanitize: bool) -> list[Object]:
    arguments = [*FLAGS, "-O2", f"-DEMULATOR_ASAN={int(sanitize)}", *_THIRD_PARTY]
    headers = text_of(files(RUNTIME, "**/*.h"))
    return [Object(source, arguments, headers) for source in files(RUNTIME, "*.cpp")]


def _translation(source: Path) -> str:
    return f'#line 1 "{source}"\n{translate(source.read_text())}'


def _translated_cuda() -> Path:
    """A folder that holds a translation of all ``.cu`` and ``.cuh`` below ``csrc``."""
    sources = files(CSRC, "*/cuda/*.cu", "*/cuda/*.cuh")
    texts = {source.relative_to(CSRC): _translation(source) for source in sources}
    folder = BUILD / f"translated-{digest(texts)}"
    for path, text in texts.items():
        write(folder / path, text)
    return folder
