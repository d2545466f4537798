"""Commands in processes of their own, to be killed and limited: what they say and leave."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import atjt_ext

from . import warm_process

__all__ = [
    "LONG",
    "Command",
    "Commands",
    "commands",
    "gone",
    "hidden",
    "in_session",
    "result",
    "starts",
]

LONG = os.environ.get("ATJT_FAULTS") == "long"
ENVIRONMENT = {
    **os.environ,
    "OMP_NUM_THREADS": "1",
    "PYTHONPATH": str(Path(atjt_ext.__file__).parents[1]),
}


@dataclass
class Command:
    """A command that runs in a process (and session) of its own."""

    pid: int
    stderr: Path
    _owner: Commands

    def wait(self, seconds: float = 120) -> int | None:
        """The exit code, minus the signal that ended it; None if it lives on."""
        found = self._owner.ask({"pid": self.pid, "seconds": seconds})
        return None if found is None else int(found)

    def send(self, number: int) -> None:
        os.kill(self.pid, number)

    @property
    def said(self) -> list[str]:
        """The lines on stderr."""
        return self.stderr.read_text(errors="replace").splitlines()


class Commands:
    """Starts commands as forks of a process that has loaded all modules: a start takes no time."""

    def __init__(self, folder: Path) -> None:
        self.folder, self._count = folder, 0
        self._process = subprocess.Popen(
            [sys.executable, warm_process.__file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=ENVIRONMENT,
        )
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == "ready\n"

    def start(self, *arguments: object, **plan: Any) -> Command:
        """Starts a command; ``plan`` are the keys of ``warm_process.become``."""
        self._count += 1
        stderr = self.folder / f"{self._count}.stderr"
        request = {
            "arguments": list(map(str, arguments)),
            "folder": str(self.folder),
            "stdout": str(self.folder / f"{self._count}.stdout"),
            "stderr": str(stderr),
            **plan,
        }
        return Command(self.ask(request), stderr, self)

    def run(self, *arguments: object, **plan: Any) -> Command:
        """Runs a command that must succeed."""
        command = self.start(*arguments, **plan)
        assert command.wait() == 0, command.said
        return command

    def ask(self, request: dict[str, Any]) -> Any:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())

    def close(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait(30)


@contextmanager
def commands(folder: Path) -> Iterator[Commands]:
    """A warm process for the commands of some tests, with their outputs in ``folder``."""
    made = Commands(folder)
    try:
        yield made
    finally:
        made.close()


@contextmanager
def starts(*arguments: object, folder: Path) -> Iterator[subprocess.Popen[str]]:
    """A command in a new interpreter, in a session of its own; nothing of it is left at the end."""
    process = subprocess.Popen(
        [sys.executable, "-m", "atjt_ext", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=ENVIRONMENT,
        cwd=folder,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        for pid in in_session(process.pid):
            os.kill(pid, signal.SIGKILL)
        process.communicate()


def in_session(session: int) -> list[int]:
    """The living processes of a session."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                state, _, _, its = (entry / "stat").read_text().rpartition(")")[2].split()[:4]
            except (OSError, ValueError):  # it has just ended
                continue
            if int(its) == session and state != "Z":
                found.append(int(entry.name))
    return found


def gone(session: int, seconds: float) -> bool:
    """Whether a session has no process left within ``seconds``."""
    latest = time.monotonic() + seconds
    while in_session(session):
        if time.monotonic() > latest:
            return False
        time.sleep(0.02)
    return True


def hidden(folder: Path) -> list[str]:
    """Temporaries and locks in ``folder``."""
    return [str(path) for path in folder.rglob(".*")]


def result(folder: Path) -> dict[str, object]:
    """What a command wrote, by file: values, without times and without the digests of files."""
    import numpy as np
    import polars as pl
    from safetensors import safe_open

    from atjt_ext.training.checkpoint import load_checkpoint

    found: dict[str, object] = {}
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        if path.is_dir() or "manifest" in name or name == "results.md":  # with times
            continue
        if path.suffix == ".pt":
            found[name] = _plain(load_checkpoint(path))
        elif path.suffix == ".jsonl":
            found[name] = _plain([json.loads(line) for line in path.read_text().splitlines()])
        elif path.suffix == ".json":
            found[name] = _plain(json.loads(path.read_text()))
        elif path.suffix == ".npz":  # it holds the digest of a JSON file with times, too
            with np.load(path) as arrays:
                found[name] = arrays["ranks"].tolist()
        elif path.suffix == ".safetensors":  # its writer orders the metadata at random
            with safe_open(path, "pt") as file:
                tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
                found[name] = _plain(tensors), file.metadata()
        elif path.suffix == ".parquet":
            found[name] = pl.read_parquet(path, glob=False).to_dicts()
        else:
            found[name] = path.read_bytes()
    return found


_TIMES = {"seconds", "train_seconds", "weighing_seconds", "time_ratio"}


def _plain(value: Any) -> Any:
    import torch

    if isinstance(value, torch.Tensor):
        return str(value.dtype), tuple(value.shape), value.cpu().numpy().tobytes()
    if isinstance(value, dict):
        return {key: _plain(one) for key, one in value.items() if key not in _TIMES}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_plain(one) for one in value]
    return value
