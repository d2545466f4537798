"""PTX instructions on the block emulator: matrix products, their layouts, copies."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

import emulator
from emulator.build import build_program

pytestmark = pytest.mark.emulator

SOURCE = Path(emulator.__file__).parent / "programs" / "primitives.cu"


@pytest.fixture(scope="module", params=[False, True], ids=["races", "sanitized"])
def program(request: pytest.FixtureRequest) -> Path:
    return build_program(SOURCE, sanitize=request.param)


def run(program: Path, case: str) -> subprocess.CompletedProcess[str]:
    environment = {"ASAN_OPTIONS": "detect_leaks=0", "UBSAN_OPTIONS": "halt_on_error=1"}
    return subprocess.run(
        [str(program), case], capture_output=True, text=True, env=environment, timeout=120
    )


@pytest.mark.parametrize(
    "case",
    [
        *("layouts", "rounding", "copies"),
        *("bfloat16", "float16", "tf32", "float32", "narrow"),
    ],
)
def test_what_is_right_is_right(program: Path, case: str) -> None:
    done = run(program, case)
    assert (done.stdout, done.stderr) == ("right\n", "")


@pytest.mark.parametrize(
    "case",
    [
        *("copies_without_wait", "copies_without_barrier"),
        *("copies_waited_for_in_part", "copies_over_what_is_read"),
    ],
)
def test_a_copy_that_is_not_waited_for_is_a_race(case: str) -> None:
    done = run(build_program(SOURCE, sanitize=False), case)
    assert done.returncode == 1
    assert "a race: shared memory is" in done.stderr
    assert "no barrier between" in done.stderr


@pytest.mark.parametrize("case", ["copies_without_wait", "copies_waited_for_in_part"])
def test_a_copy_that_is_not_waited_for_has_not_happened(case: str) -> None:
    # Visible without the search for races, too: the reader gets old data.
    done = run(build_program(SOURCE, sanitize=True), case)
    assert done.returncode == 1
    assert "copied [" in done.stdout


@pytest.mark.parametrize(
    ("case", "message"),
    [
        ("copies_never_waited_for", "ends before its copies by cp.async have"),
        ("copies_misaligned", "cp.async of 16 bytes between addresses not so aligned"),
    ],
)
def test_a_wrong_copy_is_refused(program: Path, case: str, message: str) -> None:
    done = run(program, case)
    assert done.returncode == 1
    assert message in done.stderr
