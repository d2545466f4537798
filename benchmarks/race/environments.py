"""The Python of each library, in an environment that the tests of the integrations make as well."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

from .contenders import OURS

REPOSITORY = Path(__file__).parents[2]
_SCRIPT = REPOSITORY / "python_tests" / "integrations" / "environment"


def wheel_of(folder: Path, given: Path | None) -> Path:
    """The wheel to race: the given one, or one built from the sources here and kept in ``folder``,
    so that a race that is continued keeps its wheel.

    Raises:
        ValueError: ``given`` is no wheel.
        RuntimeError: the build failed.
    """
    if given is not None:
        if given.suffix != ".whl" or not given.is_file():
            raise ValueError(f"--wheel must be a wheel of atjt_ext, got {given}")
        return given.resolve()
    if not (built := sorted(folder.glob("atjt_ext-*.whl"))):
        print(f"building a wheel of {REPOSITORY.name}: some minutes", flush=True)
        _run(sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", str(folder), ".")
        built = sorted(folder.glob("atjt_ext-*.whl"))
    return built[0].resolve()


def python_of(library: str, wheel: Path) -> Path:
    """The interpreter of the library's environment, with ``wheel`` in it; made if it is missing.

    Raises:
        RuntimeError: the environment cannot be made.
    """
    host = "alone" if library == OURS else library
    _run(str(_SCRIPT), "--python", sys.executable, str(wheel), host)
    return REPOSITORY / "build" / "hosts" / host / "bin" / "python"


def digest(file: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    return hashlib.sha256(file.read_bytes()).hexdigest()


def _run(*command: str) -> None:
    # A race is about CPUs: without this, a machine with nvcc compiles for half an hour.
    environment = {"SKBUILD_CMAKE_DEFINE": "ATJT_CUDA=OFF", **os.environ}
    done = subprocess.run(command, cwd=REPOSITORY, env=environment)
    if done.returncode:
        raise RuntimeError(f"status {done.returncode} of {' '.join(command)}")
