"""The race of the host libraries: processes, turns, deaths, and a whole small race."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

from atjt_ext.data import simulate_interactions
from race.contenders import OURS, RECTOOLS, REPLAY, Contender
from race.environments import python_of, wheel_of
from race.worker import DiedError, Worker

host_libraries = pytest.importorskip("host_libraries", reason="matplotlib is not installed")
REPOSITORY = Path(__file__).parents[2]
BENCHMARKS = REPOSITORY / "benchmarks"

# A library that prints a lot, also below Python, and knows the answer to nothing.
LIBRARY = """
import os, sys, time
import numpy as np
from race.job import RaceData
from race.turns import connect

print("a library that prints")
os.write(1, b"{not json}\\n")
job, turns = connect()
data = RaceData.read(job.data)
random = np.random.default_rng(job.seed)
hidden = random.normal(size=(len(data.histories), 4)).astype(np.float32)
items = random.normal(size=(data.num_items, 4)).astype(np.float32)
known = np.ones(data.num_items, bool)
MODE = job.contender["model"].get("mode")

def lists():
    scores = hidden @ items.T
    for user, seen in enumerate(data.of_users()):
        scores[user, seen - 1] = -np.inf
    return np.argsort(-scores)[:, :10] + 1

turns.begin(
    lambda: {"hidden": hidden, "items": items, "known": known},
    steps_per_epoch=10,
    targets_per_epoch=100,
    packages=("numpy",),
)
for step in range(1_000_000):
    ends = time.process_time() + 0.01
    while time.process_time() < ends:
        pass
    if MODE == "dies" and step == 15:
        raise RuntimeError("out of luck")
    print("step", step)
    if turns.step_done():
        break
turns.finish(lists, lambda lists: lists if MODE != "lies" else lists * 0)
"""


def _worker(tmp_path: Path, code: str, *, patience: float = 60.0) -> Worker:
    """A process that runs ``code`` with the descriptors of its pipes as arguments."""
    script = tmp_path / "script.py"
    script.write_text(textwrap.dedent(code))
    command = [sys.executable, str(script)]
    log = tmp_path / "log"
    return Worker("w", command, log=log, folder=tmp_path, patience=patience)


# ---- processes ----------------------------------------------------------------------------------


def test_answers_have_a_pipe_of_their_own_and_one_thread(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    code = """
        import json, os, sys
        orders, answers = os.fdopen(int(sys.argv[1])), os.fdopen(int(sys.argv[2]), "w")
        print("{}")
        for line in orders:
            print("noise", flush=True)
            threads = os.environ["OMP_NUM_THREADS"]
            print(json.dumps({"heard": json.loads(line), "threads": threads}), file=answers)
            answers.flush()
    """
    with _worker(tmp_path, code) as worker:
        for seconds in (1, 2):
            assert worker.ask(train=seconds) == {"heard": {"train": seconds}, "threads": "1"}
    assert worker._process.returncode == 0
    assert (tmp_path / "log").read_text() == "{}\nnoise\nnoise\n"


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("raise SystemExit('the end')", r"w: ended with status 1; see .*log\n    the end"),
        ("import time; time.sleep(60)", r"w: no answer in 1 s"),
        ("import os, sys; os.write(int(sys.argv[2]), b'hello\\n')", r"w: said 'hello\\n', which"),
    ],
)
def test_a_process_without_an_answer_is_dead_and_its_last_words_are_told(
    tmp_path: Path, code: str, reason: str
) -> None:
    patience, status = (1.0, -signal.SIGKILL) if "sleep" in code else (60.0, None)
    with (
        _worker(tmp_path, code, patience=patience) as worker,
        pytest.raises(DiedError, match=reason),
    ):
        worker.hear()
    assert status in (None, worker._process.returncode)


def test_an_order_to_the_dead_is_an_error_with_the_reason(tmp_path: Path) -> None:
    with _worker(tmp_path, "raise SystemExit(3)") as worker:
        worker._process.wait()
        with pytest.raises(DiedError, match="ended with status 3"):
            worker.ask(train=1)


def test_a_program_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DiedError, match="cannot start no-such-program"):
        Worker("w", ["no-such-program"], log=tmp_path / "l", folder=tmp_path, patience=1)


# ---- a race -------------------------------------------------------------------------------------


@pytest.fixture
def data(tmp_path: Path) -> Path:
    file = tmp_path / "small.csv"
    frame = simulate_interactions(num_users=60, num_items=100, seed=1).frame
    frame.select("user", "item", "time").write_csv(file)
    return file


def _race(tmp_path: Path, data: Path, seeds: int = 1) -> Any:
    """A race of ours and of two host libraries, for which a script stands in."""
    script = tmp_path / "library.py"
    script.write_text(LIBRARY)
    out = tmp_path / "out"
    out.mkdir(exist_ok=True)
    arguments = ["--file", str(data), "--out", str(out), "--seeds", str(seeds)]
    options = host_libraries.parsed([*arguments, "--budget", "0.5", "--turn", "0.2"])
    stand_in = [sys.executable, str(script)]
    ours = [sys.executable, "-m", "race.train_ours"]
    return host_libraries.Race(
        options, {OURS: ours, RECTOOLS: stand_in, REPLAY: stand_in}, "a digest"
    )


CONTENDERS = (
    Contender("ours", OURS, {"dropout": 0.2}, {"softmax": "linear"}),
    Contender("stand-in", RECTOOLS),
)


def test_contenders_train_in_turns_and_a_race_continues(tmp_path: Path, data: Path) -> None:
    race, notes = _race(tmp_path, data), list[str]()
    race.run(CONTENDERS, notes.append)
    results = {one.contender.name: one for one in race.record.results}
    assert set(results) == {"ours", "stand-in"}
    assert race.record.deaths == []
    for name, other in (("ours", "stand-in"), ("stand-in", "ours")):
        result = results[name]
        assert [point.cpu for point in result.curve] == sorted(point.cpu for point in result.curve)
        assert 0.5 <= result.curve[-1].cpu < 2.0
        assert result.agreement == 1.0
        assert result.beside == [other]
        assert 10 < result.peak_mb < 4000
        assert len(result.end["top10_cpu"]) == 3
    # Three turns of 0.2, 0.2 and 0.1 s; a step lasts 0.01 s or a little more.
    seconds = [point.cpu for point in results["stand-in"].curve]
    assert seconds == pytest.approx([0.2, 0.4, 0.5], abs=0.09)
    assert results["stand-in"].curve[-1].epochs == pytest.approx(5, abs=1)
    assert notes[0].startswith("seed 0  ours")
    assert notes[1].startswith("seed 0  stand-in")
    written = {path.name for path in (tmp_path / "out").iterdir()}
    assert {"race.jsonl", "race.md", "race.svg", "logs"} <= written

    again = _race(tmp_path, data, seeds=2)
    again.run(CONTENDERS[1:], notes.append)
    assert [(one.contender.name, one.seed) for one in again.record.results] == [
        ("ours", 0),
        ("stand-in", 0),
        ("stand-in", 1),
    ]
    assert "| stand-in | 2 |" in (tmp_path / "out" / "race.md").read_text()


def test_a_contender_that_dies_or_lies_is_reported_and_the_others_go_on(
    tmp_path: Path, data: Path
) -> None:
    race, notes = _race(tmp_path, data), list[str]()
    contenders = [
        Contender("dies", RECTOOLS, {"mode": "dies"}),
        Contender("lies", REPLAY, {"mode": "lies"}),
        Contender("goes on", RECTOOLS),
    ]
    race.run(contenders, notes.append)
    assert [one.contender.name for one in race.record.results] == ["goes on"]
    deaths = {one.contender.name: one.reason for one in race.record.deaths}
    assert set(deaths) == {"dies", "lies"}
    assert deaths["dies"].endswith("RuntimeError: out of luck")
    assert "only 0.0% of the library's own top-10 lists" in deaths["lies"]
    report = (tmp_path / "out" / "race.md").read_text()
    assert "NO RESULT: dies, seed 0: dies, seed 0: ended with status 1" in report


def test_the_status_tells_of_a_contender_without_a_result(
    tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    script = tmp_path / "python"
    script.write_text("#!/bin/sh\necho no such module; exit 1\n")
    script.chmod(0o755)
    wheel = tmp_path / "atjt_ext-1-py3-none-any.whl"
    wheel.write_text("")
    monkeypatch.setattr(host_libraries, "python_of", lambda library, wheel: script)
    file = tmp_path / "contenders.json"
    file.write_text(json.dumps([{"name": "a", "library": "replay"}]))
    arguments = ["--file", str(data), "--out", str(tmp_path / "out"), "--wheel", str(wheel)]
    assert host_libraries.main([*arguments, "--seeds", "1", "--contenders", str(file)]) == 1
    assert "NO RESULT: a, seed 0" in capsys.readouterr().out
    file.write_text("[]")
    assert host_libraries.main([*arguments, "--contenders", str(file)]) == 1
    assert "host_libraries: " in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--file", "nowhere.csv"], "no such file: nowhere.csv"),
        (["--file", __file__, "--budget", "0"], "--budget must be above 0, got 0.0"),
        (["--file", __file__, "--seeds", "-1"], "--seeds must be above 0, got -1"),
    ],
)
def test_wrong_options_are_refused(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        host_libraries.parsed(arguments)
    assert message in capsys.readouterr().err


# ---- environments -------------------------------------------------------------------------------


def test_a_wheel_is_given_or_built_once_and_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    built: list[tuple[str, ...]] = []

    def run(*command: str) -> None:
        built.append(command)
        (tmp_path / "atjt_ext-0.1.0-cp311.whl").write_text("")

    monkeypatch.setattr("race.environments._run", run)
    with pytest.raises(ValueError, match="--wheel must be a wheel"):
        wheel_of(tmp_path, tmp_path / "nothing.whl")
    first = wheel_of(tmp_path, None)
    assert wheel_of(tmp_path, None) == first == (tmp_path / "atjt_ext-0.1.0-cp311.whl").resolve()
    assert len(built) == 1
    assert wheel_of(tmp_path / "elsewhere", first) == first


def test_each_library_has_the_environment_of_its_integration(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    commands: list[tuple[str, ...]] = []
    monkeypatch.setattr("race.environments._run", lambda *command: commands.append(command))
    wheel = Path("a.whl")
    folders = [python_of(library, wheel).parents[1].name for library in (OURS, RECTOOLS, REPLAY)]
    assert folders == ["alone", "rectools", "replay"]
    assert [command[-1] for command in commands] == folders


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "environment: a wheel and a host wanted, got: "),
        (["nothing.whl", "replay"], "environment: no such wheel: nothing.whl"),
        ([__file__, "spotlight"], "environment: no host spotlight; hosts: recbole rectools"),
    ],
)
def test_the_script_of_environments_refuses_what_it_cannot_make(
    arguments: list[str], message: str
) -> None:
    script = REPOSITORY / "python_tests" / "integrations" / "environment"
    done = subprocess.run([script, *arguments], capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.startswith(message)
