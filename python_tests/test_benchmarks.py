"""The benchmarks' own logic: taking turns, figures, and checks that see a wrong result."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

pytest.importorskip("matplotlib")

import compare
import report
import suite
import timing
from bench_reweighted_cross_entropy import CrossEntropy, on_copied_logits
from loss_question import largest_error
from question import EAGER, LOOP, OURS, Contender, Question, Result, WrongResultError
from timing import Times, copy_bandwidth, take_turns

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
SMALL = suite.questions("cpu", small=True)
EVERY_QUESTION = pytest.mark.parametrize("question", SMALL, ids=str)


def _named(op: str, what: str) -> Question:
    return next(q for q in SMALL if str(q).startswith(op) and what in str(q))


def _answer(question: Question, name: str = EAGER) -> Result:
    contender = question.contenders()[name]
    assert isinstance(contender, Contender)
    return contender.run()


# ---- questions ----------------------------------------------------------------------------------


@pytest.mark.parametrize("device", suite.DEVICES)
def test_every_question_is_ours_to_answer_and_has_another_contender(device: str) -> None:
    questions = suite.questions(device)
    assert len({str(question) for question in questions}) == len(questions)
    for question in questions:
        contenders = question.contenders()
        assert next(iter(contenders)) == OURS
        assert isinstance(contenders[OURS], Contender)
        assert isinstance(contenders[EAGER], Contender)
        assert question.device == device
        assert question.bytes_moved > 0
        assert "logits" not in vars(question)  # nothing large until it is asked
        assert "sequences" not in vars(question)


@EVERY_QUESTION
def test_right_results_pass(question: Question) -> None:
    for name in (OURS, EAGER):
        error = question.check(name, _answer(question, name))
        assert (error is None) == str(question).startswith("random_replacement")


@pytest.mark.parametrize("what", ["forward + backward", "forward"])
def test_liger_says_why_it_stays_out(what: str) -> None:
    question = _named("reweighted_cross_entropy", what)
    reason = question.contenders()["Liger"]
    assert isinstance(reason, str)
    assert reason.startswith("liger-kernel ")


def test_bytes_are_counted_once_each_way() -> None:
    share = _named("random_replacement", "int32, 20% of every row")
    assert share.bytes_moved == 64 * 50 * (4 + 4 + 1)
    assert _named("reweighted_cross_entropy", "forward + backward").bytes_moved == 2 * 16 * 50 * 4
    (forward,) = (q for q in SMALL if str(q).endswith("cross_entropy [16, 50] bfloat16, forward"))
    assert forward.bytes_moved == 16 * 50 * 2
    unseen = _named("random_replacement", "unseen")
    assert unseen.bytes_moved == 64 * 50 * (3 * (8 + 8) + 1)


# ---- checks see wrong results -------------------------------------------------------------------


def _changed(output: int, change: Callable[[Tensor], object]) -> Callable[[Result], Result]:
    def apply(result: Result) -> Result:
        outputs = [tensor.detach().clone() for tensor in result]
        change(outputs[output])
        return tuple(outputs)

    return apply


def _smallest(tensor: Tensor) -> Tensor:
    flat = tensor.view(-1)
    return flat[flat.abs().argmin() :][:1]


@pytest.mark.parametrize(
    ("change", "output"),
    [
        (_changed(0, lambda loss: loss.mul_(1.001)), "loss"),
        (_changed(0, lambda loss: loss.fill_(torch.nan)), "loss"),
        (_changed(1, lambda grad: _smallest(grad).mul_(1.001)), "the gradient of the logits"),
        (_changed(1, lambda grad: _smallest(grad).zero_()), "the gradient of the logits"),
        (_changed(1, lambda grad: grad[3, 7].fill_(torch.nan)), "the gradient of the logits"),
        (_changed(1, lambda grad: grad.copy_(grad.roll(1, 0))), "the gradient of the logits"),
        (_changed(2, lambda grad: grad.neg_()), "the gradient of the weights"),
        (_changed(2, lambda grad: grad[5].add_(grad.abs().max() / 100)), "of the weights"),
    ],
)
def test_a_wrong_loss_or_gradient_is_seen(change: Callable[[Result], Result], output: str) -> None:
    question = _named("reweighted_cross_entropy", "float32, forward + backward")
    with pytest.raises(WrongResultError, match=f"torch eager: the relative error of .*{output}"):
        question.check(EAGER, change(_answer(question)))


def test_losses_without_weights_are_seen() -> None:
    question: Any = CrossEntropy(16, 50, torch.float32, gradients=False)
    (losses,) = _answer(question)
    with pytest.raises(WrongResultError, match="the relative error of losses"):
        question.check(EAGER, (losses / question.weight,))


def test_ours_is_held_to_more_than_peers_in_bfloat16() -> None:
    question: Any = CrossEntropy(16, 50, torch.bfloat16, gradients=False)
    losses, _ = question.exact
    wrong = (1.02 * question.weight * losses,)
    assert question.check(EAGER, wrong) == pytest.approx(0.02)
    with pytest.raises(WrongResultError, match=r"more than 0\.0039"):
        question.check(OURS, wrong)


@pytest.mark.parametrize(
    ("output", "name"),
    [(0, "loss"), (1, "the gradient of the logits"), (2, "the gradient of the weights")],
)
def test_wrong_binary_losses_are_seen(output: int, name: str) -> None:
    question = _named("reweighted_binary_cross_entropy", "float32, forward + backward")
    wrong = _changed(output, lambda tensor: tensor.view(-1)[-1:].add_(1e-3 * tensor.abs().max()))
    with pytest.raises(WrongResultError, match=f"the relative error of {name}"):
        question.check(EAGER, wrong(_answer(question)))


def test_an_item_that_the_row_holds_is_seen() -> None:
    question: Any = _named("random_replacement", "unseen")
    noisy, replaced, *rest = (tensor.clone() for tensor in _answer(question, OURS))
    row, position = replaced.nonzero()[0]
    others = question.sequences[row][question.sequences[row] != question.sequences[row, position]]
    noisy[row, position] = others[0]
    with pytest.raises(WrongResultError, match="nothing that the row holds"):
        question.check(OURS, (noisy, replaced, *rest))


def test_a_feature_of_another_item_is_seen() -> None:
    question: Any = _named("random_replacement", "unseen")
    *rest, city = (tensor.clone() for tensor in _answer(question, OURS))
    city[2, 3] += 1
    with pytest.raises(WrongResultError, match="features of the new items"):
        question.check(OURS, (*rest, city))


def test_uniform_items_are_told_from_popular_ones() -> None:
    question: Any = _named("random_replacement", "unseen")
    noisy, replaced, labels, *_ = (tensor.clone() for tensor in _answer(question, OURS))
    originals = question.sequences[replaced]
    drawn = torch.randint_like(originals, 1, question.num_items)
    noisy[replaced] = drawn + (drawn >= originals)
    with pytest.raises(WrongResultError, match="every item as often"):
        question.check(OURS, (noisy, replaced, labels))


def test_a_peer_that_overwrites_its_logits_gets_its_own() -> None:
    question = CrossEntropy(16, 50, torch.float32)

    class Overwriting(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, logits: Tensor, targets: Tensor) -> Tensor:
            losses = torch.nn.functional.cross_entropy(logits, targets, reduction="none")
            gradient = logits.softmax(1).scatter_add_(
                1, targets[:, None], torch.full((16, 1), -1.0)
            )
            ctx.save_for_backward(logits.data.copy_(gradient))
            return losses

        @staticmethod
        def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
            return ctx.saved_tensors[0] * grad[:, None], None

    peer = on_copied_logits(question, question.weighted(Overwriting.apply))
    before = question.logits.detach().clone()
    for _ in range(2):
        _, _, result = timing.CpuClock().measure(peer)
        question.check("Liger", result)
    assert torch.equal(question.logits, before)


def _unmark(noisy: Tensor, replaced: Tensor, labels: Tensor) -> None:
    row, position = replaced.nonzero()[0]
    replaced[row, position] = False


def _keep_one(noisy: Tensor, replaced: Tensor, labels: Tensor) -> None:
    row, position = replaced.nonzero()[0]
    noisy[row, position] = QUESTION.sequences[row, position]
    replaced[row, position] = False


def _mislabel(noisy: Tensor, replaced: Tensor, labels: Tensor) -> None:
    labels[0] = not labels[0]


def _restore_row(noisy: Tensor, replaced: Tensor, labels: Tensor) -> None:
    row = int(labels.nonzero()[0])
    noisy[row], replaced[row], labels[row] = QUESTION.sequences[row], False, False


def _outside(noisy: Tensor, replaced: Tensor, labels: Tensor) -> None:
    noisy[tuple(replaced.nonzero()[0])] = QUESTION.num_items + 1


def _first_positions(noisy: Tensor, replaced: Tensor, labels: Tensor) -> None:
    """The same number of positions, but always the first ones."""
    count = int(replaced.sum(dim=1).max())
    noisy.copy_(QUESTION.sequences)
    replaced.zero_()[:, :count] = True
    noisy[replaced] = noisy[replaced] % QUESTION.num_items + 1


def _upper_half(noisy: Tensor, replaced: Tensor, labels: Tensor) -> None:
    """Items of the upper half of the catalogue only."""
    half = QUESTION.num_items // 2
    items = half + 1 + noisy[replaced] % half
    items += items == QUESTION.sequences[replaced]
    noisy[replaced] = items.clamp(max=QUESTION.num_items)


QUESTION: Any = _named("random_replacement", "int64, 20% of every row")


@pytest.mark.parametrize(
    ("break_it", "promise"),
    [
        (_unmark, "marks what changed"),
        (_keep_one, "the right number of items"),
        (_mislabel, "labels the rows"),
        (_restore_row, "the right number of rows"),
        (_outside, "items of the catalogue"),
        (_first_positions, "all positions alike"),
        (_upper_half, "every item as often"),
    ],
)
def test_a_broken_promise_of_the_sampler_is_seen(
    break_it: Callable[[Tensor, Tensor, Tensor], None], promise: str
) -> None:
    noisy, replaced, labels = (tensor.clone() for tensor in _answer(QUESTION, OURS)[:3])
    break_it(noisy, replaced, labels)
    with pytest.raises(WrongResultError, match=promise):
        QUESTION.check(OURS, (noisy, replaced, labels))


def test_errors_are_relative_to_each_number_or_to_the_largest() -> None:
    wanted = torch.tensor([1.0, 100.0])
    assert largest_error(torch.tensor([1.5, 100.0]), wanted) == 0.5
    assert largest_error(torch.tensor([1.5, 100.0]), wanted, of_largest=True) == pytest.approx(
        0.005
    )


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


def test_contenders_take_turns_in_bursts_and_slow_ones_once() -> None:
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


def test_quick_contenders_take_as_many_turns_as_there_is_time_for() -> None:
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


# ---- figures ------------------------------------------------------------------------------------


@dataclass
class _Asked:
    device: str
    bytes_moved: int = 8_000_000


def test_ratios_are_to_ours_and_speed_is_beside_a_copy() -> None:
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
            "gb_per_s": 4,
            "share_of_copy": 0.25,
        }
    )
    assert on_cpu[EAGER]["wall_ratio"] == pytest.approx(10)
    assert on_cpu[EAGER]["device_ratio"] == pytest.approx(3)
    # On a GPU the kernels' time sets the speed, not what launching them takes.
    on_cuda = compare.summarise(_Asked("cuda"), times, copy=16e9)  # type: ignore[arg-type]
    assert on_cuda[OURS]["gb_per_s"] == pytest.approx(2)
    assert on_cuda[OURS]["share_of_copy"] == pytest.approx(0.125)


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (0.01234, "0.0123"), (1, "1.00"), (12.34, "12.3"), (123.4, "123"), (98765, "98765")],
)
def test_numbers_have_three_digits_that_count(value: float, text: str) -> None:
    assert report.number(value) == text


def _numbers(ratio: float) -> dict[str, Any]:
    return {
        "wall_ms": 2.0 * ratio,
        "wall_ratio": ratio,
        "device_ms": ratio,
        "device_ratio": ratio,
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


def test_tables_show_who_is_left_out_and_who_is_wrong() -> None:
    rows = list(report.rows(_run()))
    assert rows == [
        [OURS, "2.00", "1.00", "1.00", "4.00", "80%", ""],
        [EAGER, "80.0", "40.0", "40.0", "0.100", "2%", ""],
    ]
    ours, *_ = report.rows(_run("cuda", None))
    assert ours[-1] == "3.00"  # peak MB
    assert report.remarks(_run()) == [
        "a copy: 5.00 GB/s",
        "python loop: WRONG RESULT, python loop breaks a promise: it stops",
        "Liger: left out, it needs a GPU",
    ]


def test_the_figure_starts_at_one_and_needs_no_colour(tmp_path: Path) -> None:
    runs = [_run(), _run(), _run("cuda", None)]
    assert [path.name for path in report.plot(tmp_path, runs)] == [
        "bench-cpu-2-threads.png",
        "bench-cuda.png",
    ]
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in tmp_path.iterdir())
    figure = report._figure(runs[:2], "cpu, 2 threads")
    ratios, shares = figure.axes
    assert ratios.get_xscale() == "log"
    (bars,) = ratios.containers  # ours is the line at 1, the wrong one is not shown
    assert [(bar.get_x(), bar.get_x() + bar.get_width()) for bar in bars] == [(1, 40)] * 2
    hatches = [container.patches[0].get_hatch() for container in shares.containers]
    assert len(set(hatches)) == len(hatches) == 2
    assert [bar.get_width() for bar in shares.containers[0]] == pytest.approx([80, 80])


# ---- the whole of it ----------------------------------------------------------------------------


def _compare(out: Path) -> tuple[int, dict[str, Any]]:
    options = ["--device", "cpu", "--threads", "1", "--small", "--seconds", "0"]
    status = compare.main([*options, "--only", "one position", "--out", str(out)])
    return status, json.loads((out / "bench.json").read_text())


@pytest.fixture
def _quick_copy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        compare, "copy_bandwidth", lambda device: copy_bandwidth(device, mebibytes=1)
    )


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
def test_a_wrong_result_ends_in_an_error_and_is_no_number(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paper_case: Any = type(_named("random_replacement", "one position"))
    original = paper_case._loop

    def off_by_one(self: Any) -> Result:
        noisy, replaced, labels = original(self)
        noisy[0, 0] += 1
        return noisy, replaced, labels

    monkeypatch.setattr(paper_case, "_loop", off_by_one)
    status, record = _compare(tmp_path)
    assert status == 1
    answers = record["runs"][0]["answers"]
    assert "marks what changed" in answers[LOOP]["wrong"]
    assert "wrong" not in answers[OURS]
    assert "| python loop |" not in (tmp_path / "bench.md").read_text()


def test_what_does_not_fit_the_device_is_left_out() -> None:
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

    question: Any = _named("random_replacement", "one position")
    monkeypatch.setattr(type(question), "_ours", full)
    run = compare.ask(question, timing.CpuClock(), seconds=0)
    assert run["answers"][OURS] == {"left_out": "out of device memory"}
    assert run["answers"][EAGER] == {"left_out": "nothing to compare torch eager with"}
    assert list(report.rows(run)) == []
    assert report.plot(tmp_path, [run]) == []


def _gpu_run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = ["bash", str(BENCHMARKS / "gpu_run"), *arguments]
    return subprocess.run(command, capture_output=True, text=True)


def test_the_run_on_a_gpu_machine_says_what_it_would_do(tmp_path: Path) -> None:
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


def test_one_step_can_be_run_alone_and_unknown_ones_are_refused() -> None:
    alone = _gpu_run("--dry-run", "racecheck")
    assert alone.stdout.count("+ ") == 1
    assert "--tool racecheck" in alone.stdout
    refused = _gpu_run("--dry-run", "leakcheck")
    assert refused.returncode == 2
    assert "no step or option leakcheck; steps: build check test memcheck" in refused.stderr


def _machine(folder: Path, *, failing: str) -> Path:
    """A python that does nothing, but fails where an argument is ``failing``."""
    python = folder / "python-x"
    python.write_text(f'#!/bin/sh\ncase "$*" in *{failing}*) exit 3;; esac\necho "ran $*"\n')
    python.chmod(0o755)
    return python


def test_a_step_that_fails_stops_no_other_and_is_named(tmp_path: Path) -> None:
    options = ["--python", str(_machine(tmp_path, failing="junitxml")), "--out", str(tmp_path)]
    done = _gpu_run(*options, "build", "check", "test", "bench")
    assert done.returncode == 1
    assert f"FAILED: test (logs in {tmp_path})" in done.stdout
    assert "ran benchmarks/compare.py" in (tmp_path / "bench.log").read_text()


def test_without_a_usable_gpu_nothing_passes_by_being_skipped(tmp_path: Path) -> None:
    options = ["--python", str(_machine(tmp_path, failing="gpu_usable")), "--out", str(tmp_path)]
    done = _gpu_run(*options, "check", "test")
    assert done.returncode == 1
    assert "== test" not in done.stdout
