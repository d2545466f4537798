"""How the benchmarks run: turns, clocks, tables, figures, the record, the script for a GPU."""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch

import compare
import suite
import tables
import timing
from question import EAGER, LOOP, OURS, Contender, Result
from timing import Times, clock_of, copy_bandwidth, take_turns

figures = pytest.importorskip("figures", reason="matplotlib is not installed")
BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


# ---- turns and clocks ---------------------------------------------------------------------------


class _ScriptedClock:
    """Calls last what the script says; wall and device time differ by a factor of two."""

    def __init__(self, seconds: dict[str, float]) -> None:
        self.seconds, self.log = seconds, list[str]()

    def measure(self, contender: Contender) -> tuple[float, float, Result]:
        (name,) = contender.run()
        self.log.append(str(name))
        return self.seconds[str(name)], 2 * self.seconds[str(name)], (name, len(self.log))  # type: ignore[return-value]

    def peak_bytes(self, contender: Contender) -> int | None:
        return None


def _scripted(name: str, *, slow: bool = False) -> Contender:
    return Contender(lambda: (name,), slow=slow)  # type: ignore[return-value]


def test_contenders_take_turns_in_bursts_but_slow_ones_run_once() -> None:
    clock = _ScriptedClock({"a": 1.0, "b": 3.0})
    checked = []
    times = take_turns(
        {"a": _scripted("a"), "b": _scripted("b", slow=True)},
        clock,
        seconds=0,
        check=lambda name, result: checked.append((name, result)),
    )
    turn = ["a"] * timing.BURST + ["b"]
    assert clock.log == ["a", "b", *turn * timing.FEWEST_TURNS]  # a warm-up, then turns
    assert times["a"] == Times([1.0] * 12, [2.0] * 12)
    assert times["b"] == Times([3.0] * 3, [6.0] * 3)
    calls = len(clock.log)
    assert checked == [("a", ("a", calls - 1)), ("b", ("b", calls))]  # the last timed results


def test_quick_contenders_fill_the_time_up_to_the_most_turns() -> None:
    clock = _ScriptedClock({"a": 1.0})
    nothing = {"seconds": 1e6, "check": lambda name, result: None}
    times = take_turns({"a": _scripted("a")}, clock, **nothing)  # type: ignore[arg-type]
    assert len(times["a"].wall) == timing.MOST_TURNS * timing.BURST


def test_preparing_is_not_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]

    def wait(seconds: float) -> Result:
        now[0] += seconds
        return ()

    monkeypatch.setattr(timing.time, "perf_counter", lambda: now[0])
    contender = Contender(lambda: wait(1), prepare=lambda: wait(10))
    assert timing.CpuClock().measure(contender)[0] == 1


def test_a_copy_counts_bytes_read_and_written(monkeypatch: pytest.MonkeyPatch) -> None:
    class Steady:
        def measure(self, contender: Contender) -> tuple[float, float, Result]:
            (target,) = contender.run()
            assert bool(target.eq(1).all())
            return 0.5, 0.25, (target,)

    monkeypatch.setattr(timing, "clock_of", lambda device: Steady())
    assert copy_bandwidth("cpu", mebibytes=1) == 2 * 2**20 / 0.5


def test_peak_memory_of_a_call_counts_what_it_gives_back_too() -> None:
    mebibytes = 64

    def call() -> Result:
        return (torch.ones(mebibytes * 2**18).sum(),)

    peak = clock_of("cpu").peak_bytes(Contender(call))
    if peak is None:
        pytest.skip("this system does not report the peak memory of a process")
    assert 0.9 * mebibytes < peak / 2**20 < 1.5 * mebibytes
    nothing = clock_of("cpu").peak_bytes(Contender(lambda: ()))
    assert nothing is not None
    assert nothing < 2**23


# ---- figures ------------------------------------------------------------------------------------


@dataclass
class _Asked:
    device: str
    bytes_moved: int = 8_000_000
    elements: int = 4_000_000


def test_ratios_are_to_ours_and_speeds_to_a_copy() -> None:
    times = {
        OURS: Times(wall=[0.001, 0.002, 0.009], device=[0.004, 0.004, 0.005]),
        EAGER: Times(wall=[0.020, 0.010, 0.030], device=[0.010, 0.012, 0.014]),
    }
    on_cpu = compare.summarise(_Asked("cpu"), times, copy=16e9)  # type: ignore[arg-type]
    assert on_cpu[OURS].pop("wall_ms_quartiles") == pytest.approx([1, 9])
    assert on_cpu[OURS] == pytest.approx(
        {
            "calls": 3,
            "wall_ms": 2,
            "device_ms": 4,
            "wall_ratio": 1,
            "device_ratio": 1,
            "ps_per_element": 500,
            "gb_per_s": 4,
            "share_of_copy": 0.25,
        }
    )
    assert on_cpu[EAGER]["wall_ratio"] == pytest.approx(10)
    assert on_cpu[EAGER]["device_ratio"] == pytest.approx(3)
    # On a GPU the speed is that of the kernels, without the time to launch them.
    on_cuda = compare.summarise(_Asked("cuda"), times, copy=16e9)  # type: ignore[arg-type]
    assert on_cuda[OURS]["gb_per_s"] == pytest.approx(2)
    assert on_cuda[OURS]["share_of_copy"] == pytest.approx(0.125)


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (0.01234, "0.0123"), (1, "1.00"), (12.34, "12.3"), (123.4, "123"), (98765, "98765")],
)
def test_numbers_have_three_significant_digits(value: float, text: str) -> None:
    assert tables.number(value) == text


def _numbers(ratio: float) -> dict[str, Any]:
    return {
        "wall_ms": 2.0 * ratio,
        "wall_ratio": ratio,
        "device_ms": ratio,
        "device_ratio": ratio,
        "ps_per_element": 500 * ratio,
        "gb_per_s": 4 / ratio,
        "share_of_copy": 0.8 / ratio,
        "error": None,
        "peak_bytes": 3_000_000,
    }


def _run(device: str = "cpu", threads: int | None = 2) -> dict[str, Any]:
    return {
        "question": "an_op [1, 2] float32, forward",
        "device": device,
        "threads": threads,
        "copy_gb_per_s": 5.0,
        "answers": {
            OURS: _numbers(1),
            EAGER: _numbers(40),
            LOOP: {"wrong": "python loop breaks a promise: it stops", **_numbers(9)},
            "Liger": {"left_out": "it needs a GPU"},
        },
    }


def test_tables_name_contenders_that_are_left_out_or_wrong() -> None:
    rows = list(tables.rows(_run()))
    assert rows == [
        [OURS, "2.00", "1.00", "1.00", "500", "4.00", "80%", "", "3.00"],
        [EAGER, "80.0", "40.0", "40.0", "20000", "0.100", "2%", "", "3.00"],
    ]
    assert tables.remarks(_run()) == [
        "a copy: 5.00 GB/s",
        "python loop: WRONG RESULT, python loop breaks a promise: it stops",
        "Liger: left out, it needs a GPU",
    ]


def test_the_figure_starts_at_one_and_needs_no_colour(tmp_path: Path) -> None:
    runs = [_run(), _run(), _run("cuda", None)]
    assert [path.name for path in figures.plot(tmp_path, runs)] == [
        "bench-cpu-2-threads.png",
        "bench-cuda.png",
    ]
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in tmp_path.iterdir())
    ratios, shares = figures.contenders_figure(runs[:2], "cpu, 2 threads").axes
    assert ratios.get_xscale() == "log"
    (bars,) = ratios.containers  # ours is the line at 1, the wrong one is not shown
    assert [(bar.get_x(), bar.get_x() + bar.get_width()) for bar in bars] == [(1, 40)] * 2
    hatches = [container.patches[0].get_hatch() for container in shares.containers]
    assert len(set(hatches)) == len(hatches) == 2
    assert [bar.get_width() for bar in shares.containers[0]] == pytest.approx([80, 80])


def test_a_curve_needs_three_catalogues(tmp_path: Path) -> None:
    def run(classes: int) -> dict[str, Any]:
        question = f"linear_op [64, 8] x [{classes}, 8] float32"
        return {**_run(), "question": question}

    assert len(figures.plot(tmp_path, [run(10), run(100), _run()])) == 1  # no catalogues
    runs = [run(1000), run(10), run(100), {**run(5), "question": "linear_op [64, 8] x [5, 8] half"}]
    _, path = figures.plot(tmp_path, runs)
    assert path.name == "catalogues-64x8-float32-cpu-2-threads.png"
    assert path.read_bytes().startswith(b"\x89PNG")
    by_items = {items: run(items) for items in (10, 100, 1000)}
    time, memory = figures.catalogues_figure(by_items, "heading").axes
    assert [line.get_label() for line in time.lines] == [OURS, EAGER]  # neither wrong nor left out
    assert list(time.lines[1].get_xdata()) == [10, 100, 1000]
    assert list(time.lines[1].get_ydata()) == [80.0] * 3
    assert list(memory.lines[0].get_ydata()) == [3.0] * 3
    markers = [line.get_marker() for line in time.lines]
    assert len(set(markers)) == len(markers)


# ---- a whole run --------------------------------------------------------------------------------


def _compare(out: Path) -> tuple[int, dict[str, Any]]:
    options = ["--device", "cpu", "--threads", "1", "--small", "--seconds", "0"]
    status = compare.main([*options, "--only", "one position", "--out", str(out)])
    return status, json.loads((out / "bench.json").read_text())


@pytest.fixture
def _quick_copy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        compare, "copy_bandwidth", lambda device: copy_bandwidth(device, mebibytes=1)
    )


def _paper_case() -> Any:
    small = suite.questions("cpu", small=True)
    return next(question for question in small if "one position" in str(question))


@pytest.mark.usefixtures("_quick_copy", "num_threads")
def test_a_run_is_recorded(tmp_path: Path) -> None:
    status, record = _compare(tmp_path)
    assert status == 0
    (run,) = record["runs"]
    assert run["question"] == "random_replacement [64, 50] int64, one position of half of the rows"
    assert run["threads"] == 1
    assert run["bytes"] == 64 * 50 * 17
    assert list(run["answers"]) == [OURS, EAGER, LOOP]
    for answer in run["answers"].values():
        assert answer["wall_ms"] > 0
        assert answer["share_of_copy"] * run["copy_gb_per_s"] == pytest.approx(answer["gb_per_s"])
    assert record["before"]["torch"] == torch.__version__
    assert record["before"]["processor"]
    table = (tmp_path / "bench.md").read_text()
    assert "one position of half of the rows, cpu, 1 thread" in table
    assert "| atjt_ext | " in table
    assert (tmp_path / "bench-cpu-1-thread.png").exists()


@pytest.mark.usefixtures("_quick_copy", "num_threads")
def test_a_wrong_result_fails_the_run_and_gets_no_number(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paper_case = type(_paper_case())
    original = paper_case._loop

    def off_by_one(self: Any) -> Result:
        noisy, replaced, labels = original(self)
        row, column = (~replaced).nonzero()[0]  # another random item is no mistake
        noisy[row, column] += 1
        return noisy, replaced, labels

    monkeypatch.setattr(paper_case, "_loop", off_by_one)
    status, record = _compare(tmp_path)
    assert status == 1
    answers = record["runs"][0]["answers"]
    assert "marks what changed" in answers[LOOP]["wrong"]
    assert "wrong" not in answers[OURS]
    assert "| python loop |" not in (tmp_path / "bench.md").read_text()


def test_a_contender_that_does_not_fit_the_device_is_left_out() -> None:
    class Full:
        def measure(self, contender: Contender) -> tuple[float, float, Result]:
            raise torch.OutOfMemoryError("CUDA out of memory")

    reason = compare._first_call(_scripted("a"), Full())  # type: ignore[arg-type]
    assert reason == "out of device memory"


@pytest.mark.usefixtures("_quick_copy")
def test_without_ours_there_is_nothing_to_compare(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: Any) -> Result:
        raise torch.OutOfMemoryError("CUDA out of memory")

    question = _paper_case()
    monkeypatch.setattr(type(question), "_ours", full)
    run = compare.ask(question, timing.CpuClock(), seconds=0)
    assert run["answers"][OURS] == {"left_out": "out of device memory"}
    assert run["answers"][EAGER] == {"left_out": "nothing to compare torch eager with"}
    assert list(tables.rows(run)) == []
    assert figures.plot(tmp_path, [run]) == []


# ---- the script for a GPU -----------------------------------------------------------------------


def _gpu_run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = ["bash", str(BENCHMARKS / "gpu_run"), *arguments]
    return subprocess.run(command, capture_output=True, text=True)


def test_a_dry_run_prints_the_commands_and_writes_nothing(tmp_path: Path) -> None:
    out = tmp_path / "gpu"
    done = _gpu_run("--dry-run", "--python", "python-x", "--out", str(out))
    assert done.returncode == 0, done.stderr
    commands = [line for line in done.stdout.splitlines() if line.startswith("+ ")]
    build, check, test, *sanitizers, bench = commands
    assert "pip install ." in build
    assert "ATJT_CUDA=ON" in build
    assert "gpu_usable" in check
    assert "python-x -m pytest -m cuda" in test
    for command, tool in zip(sanitizers, ("memcheck", "racecheck", "synccheck"), strict=True):
        assert f"compute-sanitizer --tool {tool} " in command
        assert "python-x -m pytest" in command
    assert f"python-x benchmarks/compare.py --device cuda --out {out}" in bench
    assert not out.exists()


def test_one_step_runs_alone_and_an_unknown_one_is_refused() -> None:
    alone = _gpu_run("--dry-run", "racecheck")
    assert alone.stdout.count("+ ") == 1
    assert "--tool racecheck" in alone.stdout
    refused = _gpu_run("--dry-run", "leakcheck")
    assert refused.returncode == 2
    assert "no step or option leakcheck; steps: build check test memcheck" in refused.stderr


def _run_without_gpu(folder: Path, *steps: str, failing: str) -> subprocess.CompletedProcess[str]:
    """With a python that does nothing, but fails where an argument contains ``failing``."""
    python = folder / "python-x"
    python.write_text(f'#!/bin/sh\ncase "$*" in *{failing}*) exit 3;; esac\necho "ran $*"\n')
    python.chmod(0o755)
    done = _gpu_run("--python", str(python), "--out", str(folder), *steps)
    assert done.returncode == 1
    return done


def test_after_a_failed_step_the_others_run_and_it_is_named(tmp_path: Path) -> None:
    done = _run_without_gpu(tmp_path, "build", "check", "test", "bench", failing="junitxml")
    assert f"FAILED: test (logs in {tmp_path})" in done.stdout
    assert "ran benchmarks/compare.py" in (tmp_path / "bench.log").read_text()


def test_without_a_usable_gpu_no_test_is_run(tmp_path: Path) -> None:
    done = _run_without_gpu(tmp_path, "check", "test", failing="gpu_usable")
    assert "== test" not in done.stdout
