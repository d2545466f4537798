"""A contender's process, seen from the coordinator."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "POLARS_MAX_THREADS")
_ONE_THREAD = dict.fromkeys([*_THREADS, "ARROW_IO_THREADS"], "1")
_LINES = 12  # of a dead process's log
_GRACE = 30.0  # seconds to end after the race


class DiedError(RuntimeError):
    """A contender's process ended, kept silent, or said something else than JSON."""


class Worker:
    """Starts ``command`` with two more arguments, the descriptors of its pipes.

    Args:
        name: for messages.
        command: program and arguments.
        log: a file for all that the process prints.
        folder: its working directory, since libraries write files there.
        patience: seconds to wait for an answer, then the process is killed.
        environment: further environment variables.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        *,
        log: Path,
        folder: Path,
        patience: float,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.name, self._log, self._patience = name, log, patience
        their_orders, orders = os.pipe()
        answers, their_answers = os.pipe()
        self._orders, self._answers = os.fdopen(orders, "w"), os.fdopen(answers)
        try:
            with log.open("w") as printed:
                self._process = subprocess.Popen(
                    [*command, str(their_orders), str(their_answers)],
                    stdin=subprocess.DEVNULL,
                    stdout=printed,
                    stderr=subprocess.STDOUT,
                    cwd=folder,
                    env={**os.environ, **_ONE_THREAD, **(environment or {})},
                    pass_fds=(their_orders, their_answers),
                )
        except OSError as error:
            self._orders.close()
            self._answers.close()
            raise DiedError(f"{name}: cannot start {command[0]}: {error}") from None
        finally:
            os.close(their_orders)
            os.close(their_answers)

    def hear(self) -> dict[str, Any]:
        """The next answer.

        Raises:
            DiedError: none came; the message ends with the last lines that the process printed.
        """
        silent = threading.Event()

        def lose_patience() -> None:
            silent.set()
            self._process.kill()

        timer = threading.Timer(self._patience, lose_patience)
        timer.start()
        try:
            line = self._answers.readline()
        finally:
            timer.cancel()
        if silent.is_set():
            raise self._died(f"no answer in {self._patience:g} s")
        if not line:
            raise self._died(f"ended with status {self._process.wait()}")
        try:
            answer = json.loads(line)
        except json.JSONDecodeError:
            raise self._died(f"said {line[:200]!r}, which is no JSON") from None
        assert isinstance(answer, dict)
        return answer

    def ask(self, **order: Any) -> dict[str, Any]:
        """Sends an order and returns the answer; DiedError as :meth:`hear`."""
        try:
            self._orders.write(json.dumps(order) + "\n")
            self._orders.flush()
        except BrokenPipeError:
            raise self._died(f"ended with status {self._process.wait()}") from None
        return self.hear()

    def _died(self, reason: str) -> DiedError:
        printed = self._log.read_text(errors="replace").splitlines()[-_LINES:]
        return DiedError("\n    ".join([f"{self.name}: {reason}; see {self._log}", *printed]))

    def close(self) -> None:
        """Ends the process: it sees its orders end, and is killed if that does not help."""
        for pipe in (self._orders, self._answers):
            try:
                pipe.close()
            except BrokenPipeError:  # an order that the dead process did not read
                print(f"{self.name}: did not read its last order", file=sys.stderr)
        try:
            self._process.wait(_GRACE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def __enter__(self) -> Worker:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()
