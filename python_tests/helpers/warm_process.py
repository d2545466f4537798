"""A process with all modules loaded; it forks a child for every command, on requests by JSON lines.

It uses neither polars nor torch before a fork: their threads do not survive one. Started by
:mod:`helpers.commands`.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import sys
import time
from typing import Any

_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC
_EVENTS = ("os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.truncate")


def load() -> None:
    """Imports what commands import, so that children need not."""
    import torch

    torch.set_num_threads(1)
    import atjt_ext.cli.audit
    import atjt_ext.cli.demo
    import atjt_ext.cli.evaluate
    import atjt_ext.cli.experiment
    import atjt_ext.cli.export
    import atjt_ext.cli.main
    import atjt_ext.cli.recommend
    import atjt_ext.cli.report
    import atjt_ext.cli.tables
    import atjt_ext.cli.train
    import atjt_ext.experiment.grid
    import atjt_ext.report.page
    import atjt_ext.runs.export
    import atjt_ext.runs.recommendations
    import atjt_ext.runs.train
    import atjt_ext.training.trainer  # noqa: F401


def count_file_events(inside: str, kill_at: int, counted: str) -> None:
    """Counts changes of files in the folder ``inside``, and kills this process before one."""
    count = 0

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal count
        if event == "open":
            writes = isinstance(arguments[2], int) and arguments[2] & _WRITES
        else:
            writes = event in _EVENTS
        if writes and str(arguments[0]).startswith(inside):
            count += 1
            if count == kill_at:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hook)
    import atexit

    def write() -> None:
        with open(counted, "w") as file:
            file.write(str(count))

    atexit.register(write)


def become(request: dict[str, Any]) -> None:
    """Runs the command of ``request`` as the program of this process; never returns."""
    os.setsid()
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # until main() handles it
    os.chdir(request["folder"])
    out = os.open(request["stdout"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    errors = os.open(request["stderr"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(out, 1)
    os.dup2(errors, 2)
    if request.get("closed_output"):  # a pipe whose reader is gone
        reader, writer = os.pipe()
        os.close(reader)
        os.dup2(writer, 1)
    sys.stdout, sys.stderr = os.fdopen(1, "w"), os.fdopen(2, "w")
    if (size := request.get("file_size")) is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
    if (more := request.get("more_memory")) is not None:
        with open("/proc/self/statm") as file:
            now = int(file.read().split()[0]) * os.sysconf("SC_PAGE_SIZE")
        resource.setrlimit(resource.RLIMIT_AS, (now + more, now + more))
    if (events := request.get("events")) is not None:
        count_file_events(*events)
    sys.argv = ["atjt", *request["arguments"]]
    status: object = 70
    import traceback

    from atjt_ext.cli.main import main

    try:
        status = main()
    except SystemExit as end:
        status = end.code
    except BaseException:
        traceback.print_exc()
    finally:
        if events is not None:
            import atexit

            atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status if isinstance(status, int) else 0)


def waited(pid: int, seconds: float) -> int | None:
    """The exit code of a child, minus the signal that ended it; None if it lives on."""
    latest = time.monotonic() + seconds
    while True:
        found, status = os.waitpid(pid, os.WNOHANG)
        if found:
            return os.waitstatus_to_exitcode(status)
        if time.monotonic() > latest:
            return None
        time.sleep(0.005)


def serve() -> None:
    """Answers requests until stdin ends."""
    load()
    print("ready", flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        if "arguments" in request:
            if (pid := os.fork()) == 0:
                become(request)
            print(pid, flush=True)
        else:
            print(json.dumps(waited(request["pid"], request["seconds"])), flush=True)


if __name__ == "__main__":
    serve()
