"""SIGINT and SIGTERM: gone within 5 s, one line that says how to go on, nothing left."""

from __future__ import annotations

import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from helpers.command_line import SMALL
from helpers.commands import ENVIRONMENT, LONG, Commands, gone, hidden, in_session

SIGNALS = 20 if LONG else 1
EXIT = {signal.SIGINT: (130, "interrupted; "), signal.SIGTERM: (143, "terminated; ")}
WAY = {
    "train": "--resume continues after the last whole epoch",
    "demo": "--resume continues after the last whole epoch",
    "experiment": "the same command continues after the last whole cell",
}


def call(command: str, ratings: Path, run: Path, out: Path) -> list[object]:
    """A call that writes below the folder ``out``."""
    return {
        "train": ["train", ratings, "--out", out, *SMALL, "--epochs=200", "--min_epochs=200"],
        "demo": ["demo", "--out", out, "--epochs=50"],
        "experiment": ["experiment", f"--files={ratings}", "--out", out, "--no_figures"],
        "audit": ["audit", ratings, "--out", out],
        "export": ["export", "--run", run, "--out", out],
        "evaluate": ["evaluate", "--run", run],
        "recommend": ["recommend", "--run", run, "--users=all", "--out", out / "recs.csv"],
        "report": ["report", "--run", run, "--out", out / "report.html"],
    }[command]


COMMANDS = ["train", "demo", "experiment", "audit", "export", "evaluate", "recommend", "report"]


@pytest.mark.parametrize("number", EXIT, ids=lambda number: number.name)
@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_ends_in_one_line(
    command: str, number: signal.Signals, warm: Commands, ratings_file: Path, a_run: Path
) -> None:
    out, status = warm.folder / f"{command}_{number}", -1
    usual, chosen = 1.0, random.Random(f"{command} {number}")
    stopped = 0
    while stopped < SIGNALS:
        shutil.rmtree(out, ignore_errors=True)
        begun = time.monotonic()
        started = warm.start(*call(command, ratings_file, a_run, out))
        if (status_of_whole := started.wait(chosen.uniform(0, usual))) is not None:
            assert status_of_whole == 0, started.said  # it was faster
            usual = 0.8 * (time.monotonic() - begun)
            continue
        sent = time.monotonic()
        started.send(number)
        status = started.wait(10)
        if status == 0:  # it had just finished
            continue
        if status == -number:  # before Python code ran at all in the child
            usual += 0.05
            continue
        stopped += 1
        took = time.monotonic() - sent
        assert took < 5
        code, verb = EXIT[number]
        assert status == code, started.said
        # Before the command is known, the way to go on is the same for all.
        ways = {"run the same command again", WAY.get(command, "")}
        said = [line for line in started.said if verb in line]
        assert len(said) == 1, started.said
        assert started.said[-1] == said[0]
        assert said[0].removeprefix(verb) in ways
        assert not any(line.startswith(("Traceback", "error")) for line in started.said), (
            started.said
        )
        assert gone(started.pid, 0.5), in_session(started.pid)
        assert hidden(out) == []
        assert hidden(a_run) == []


STUBBORN = """
import os, sys, time
from pathlib import Path
from atjt_ext.cli.signals import Signals
from atjt_ext.data.files import write_atomically
from atjt_ext.data.locks import exclusive

def write(temporary):
    temporary.write_text("half")
    told = False
    while True:
        try:
            if not told:
                told = True
                print("writing", flush=True)
            time.sleep(60)
        except KeyboardInterrupt:
            pass  # as libraries do

signals = Signals()
signals.start_raising()
with exclusive(Path("out")):
    write_atomically(Path("out/file"), write)
"""


def started(folder: Path, word: str, program: str, *arguments: str) -> subprocess.Popen[str]:
    """A Python process that runs ``program`` in ``folder`` and has printed ``word``."""
    process = subprocess.Popen(
        [sys.executable, "-c", program, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=ENVIRONMENT,
        cwd=folder,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == f"{word}\n"
    return process


@pytest.mark.parametrize("number", EXIT, ids=lambda number: number.name)
def test_a_library_that_swallows_the_exception_does_not_keep_the_process(
    number: signal.Signals, tmp_path: Path
) -> None:
    process = started(tmp_path, "writing", STUBBORN)
    assert len(hidden(tmp_path)) == 2
    sent = time.monotonic()
    process.send_signal(number)
    _, said = process.communicate(timeout=10)
    assert time.monotonic() - sent < 5
    code, verb = EXIT[number]
    assert (process.returncode, said) == (code, f"{verb}run the same command again\n")
    assert hidden(tmp_path) == []


FORGETFUL = """
import sys, time
from atjt_ext.cli.signals import Signals

signals = Signals()
swallows = int(sys.argv[1])

def work():
    global swallows
    told = False
    while True:
        try:
            if not told:
                told = True
                print("working", flush=True)
            while True:
                time.sleep(0.001)
                print("epoch", file=sys.stderr, flush=True)
        except KeyboardInterrupt:
            swallows -= 1
            if swallows < 0:
                raise

signals.start_raising()
try:
    work()
except KeyboardInterrupt:
    signals.raise_no_more()
    print(f"ended in order; {signals.line}", file=sys.stderr, flush=True)
    sys.exit(signals.status)
"""


@pytest.mark.parametrize("number", EXIT, ids=lambda number: number.name)
@pytest.mark.parametrize(("swallows", "end"), [(1, "ended in order; "), (100, "")])
def test_a_swallowed_exception_is_raised_again_and_the_line_is_the_last(
    number: signal.Signals, swallows: int, end: str, tmp_path: Path
) -> None:
    process = started(tmp_path, "working", FORGETFUL, str(swallows))
    sent = time.monotonic()
    process.send_signal(number)
    _, said = process.communicate(timeout=10)
    assert time.monotonic() - sent < 5
    code, verb = EXIT[number]
    assert process.returncode == code
    assert said.splitlines()[-1] == f"{end}{verb}run the same command again"


HANGING = """
import os, sys, time
from atjt_ext.cli.signals import Signals
from atjt_ext.data import files, locks

hangs = sys.argv[1]
if hangs == "stderr":  # a full pipe that nobody reads
    os.set_blocking(2, False)
    try:
        while True:
            os.write(2, b"x" * 65536)
    except BlockingIOError:
        os.set_blocking(2, True)
if hangs == "cleanup":
    files.discard_temporaries = lambda: time.sleep(60)
signals = Signals()
signals.start_raising()
with files.undisturbed(), locks._guard:  # as on a slow network drive
    print("hanging", flush=True)
    time.sleep(60)
"""


@pytest.mark.parametrize("hangs", ["guard", "cleanup", "stderr"])
def test_a_cleanup_that_hangs_does_not_keep_the_process(hangs: str, tmp_path: Path) -> None:
    process = started(tmp_path, "hanging", HANGING, hangs)
    sent = time.monotonic()
    process.send_signal(signal.SIGTERM)
    try:
        assert process.wait(10) == 143
    finally:
        process.kill()
        _, said = process.communicate()
    assert time.monotonic() - sent < 5
    if hangs != "stderr":
        assert said == "terminated; run the same command again\n"


@pytest.mark.parametrize("number", EXIT, ids=lambda number: number.name)
def test_a_signal_while_modules_are_imported_is_one_line(
    number: signal.Signals, tmp_path: Path
) -> None:
    # Imports of native libraries turn the exception into errors of their own.
    slow = "import time\nprint('importing', flush=True)\n"
    slow += "try:\n    time.sleep(60)\nexcept BaseException:\n    raise ImportError('no module')\n"
    (tmp_path / "jsonargparse.py").write_text(slow)
    path = f"{tmp_path}:{ENVIRONMENT['PYTHONPATH']}"
    process = subprocess.Popen(
        [sys.executable, "-m", "atjt_ext", "train", "x"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**ENVIRONMENT, "PYTHONPATH": path},
        cwd=tmp_path,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "importing\n"
    process.send_signal(number)
    _, said = process.communicate(timeout=10)
    code, verb = EXIT[number]
    assert (process.returncode, said) == (code, f"{verb}run the same command again\n")


def test_signals_that_were_ignored_stay_ignored(tmp_path: Path) -> None:
    script = "import signal, os\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\n"
    script += (
        "from atjt_ext.cli.signals import Signals\nsignals = Signals()\nsignals.start_raising()\n"
    )
    script += "os.kill(os.getpid(), signal.SIGINT)\nprint('lives')\nsignals.leave()\n"
    script += "print(signal.getsignal(signal.SIGTERM) == signal.SIG_DFL)"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, env=ENVIRONMENT, timeout=30
    )
    assert (done.stdout, done.stderr) == ("lives\nTrue\n", "")
