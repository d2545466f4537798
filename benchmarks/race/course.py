"""One seed of the race: all contenders train in turns, then make their top-10 lists."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .contenders import Contender
from .curves import Point
from .judge import Judge
from .worker import DiedError, Worker

_LEAST_AGREEMENT = 0.99  # rounding may swap items at the end of a list


@dataclass(slots=True)
class Result:
    """What a contender reached with one seed.

    Attributes:
        curve: the points after each turn.
        unknown: items of the catalogue that the library does not know.
        start: what the process said before its first turn.
        end: what it said after its last one.
        agreement: share of the library's top-10 lists that the judge has, too.
        beside: the contenders that took turns with this one.
        load: the machine's load average at the end.
    """

    contender: Contender
    seed: int
    curve: list[Point] = field(default_factory=list)
    unknown: int = 0
    peak_mb: float = 0.0
    start: dict[str, Any] = field(default_factory=dict)
    end: dict[str, Any] = field(default_factory=dict)
    agreement: float = 0.0
    beside: list[str] = field(default_factory=list)
    load: float = 0.0


@dataclass(frozen=True, slots=True)
class Death:
    """A contender without a result, and why."""

    contender: Contender
    seed: int
    reason: str


Start = Callable[[Contender, int], Worker]
"""Starts the process of a contender with a seed."""


def run_seed(
    contenders: Sequence[Contender],
    seed: int,
    start: Start,
    judge: Judge,
    *,
    budget: float,
    turn: float,
    note: Callable[[str], None] = print,
) -> tuple[list[Result], list[Death]]:
    """All contenders with one seed.

    Args:
        budget: processor seconds of training for each; it may be exceeded by one step.
        turn: processor seconds in a row, at least one step.
        note: takes a line after each turn.
    """
    deaths: list[Death] = []
    with ExitStack() as stack:
        running: list[tuple[Worker, Result]] = []

        def alive(worker: Worker, result: Result, act: Callable[[Worker, Result], None]) -> bool:
            try:
                act(worker, result)
            except (DiedError, ValueError, KeyError, OSError) as error:
                reason = str(error) if isinstance(error, DiedError) else repr(error)
                deaths.append(Death(result.contender, seed, reason))
                note(f"seed {seed}: DEAD: {reason}")
                worker.close()
                return False
            return True

        for contender in contenders:
            try:
                worker = stack.enter_context(start(contender, seed))
            except DiedError as error:
                deaths.append(Death(contender, seed, str(error)))
                note(f"seed {seed}: DEAD: {error}")
                continue
            result = Result(contender, seed)
            if alive(worker, result, _hear_start):
                running.append((worker, result))
        names = [result.contender.name for _, result in running]

        def take_turn(worker: Worker, result: Result) -> None:
            _take_turn(worker, result, judge, min(turn, budget - _used(result)))
            last = result.curve[-1]
            note(
                f"seed {seed}  {result.contender.name:32s} {last.cpu:7.1f} s "
                f"{last.epochs:7.2f} epochs  NDCG@10 {last.ndcg:.4f}"
            )

        while any(_used(result) < budget for _, result in running):
            running = [
                (worker, result)
                for worker, result in running
                if _used(result) >= budget or alive(worker, result, take_turn)
            ]

        def finish(worker: Worker, result: Result) -> None:
            _finish(worker, result, judge)
            result.beside = [name for name in names if name != result.contender.name]
            result.load = os.getloadavg()[0]

        results = [result for worker, result in running if alive(worker, result, finish)]
    return results, deaths


def _used(result: Result) -> float:
    return result.curve[-1].cpu if result.curve else 0.0


def _hear_start(worker: Worker, result: Result) -> None:
    result.start = worker.hear()


def _take_turn(worker: Worker, result: Result, judge: Judge, seconds: float) -> None:
    said = worker.ask(train=seconds)
    export = Path(said["export"])
    verdict = judge.verdict(export)
    export.unlink()
    if said["cpu"] <= _used(result):  # it would never use up the budget
        raise DiedError(f"{worker.name}: {said['cpu']} s of training after a turn of {seconds} s")
    result.unknown, result.peak_mb = verdict.unknown, said["peak_mb"]
    result.curve.append(
        Point(said["cpu"], said["wall"], said["epochs"], verdict.ndcg, verdict.hit_rate)
    )


def _finish(worker: Worker, result: Result, judge: Judge) -> None:
    said = worker.ask(finish=True)
    export = Path(said.pop("export"))
    result.agreement, result.end = judge.agreement(export), said
    export.unlink()
    if result.agreement < _LEAST_AGREEMENT:
        raise DiedError(
            f"{worker.name}: the judge has only {result.agreement:.1%} of the library's own "
            "top-10 lists, so that its verdicts are wrong"
        )
