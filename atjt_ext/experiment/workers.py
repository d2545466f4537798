"""Worker processes that end with the process that started them."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
import warnings
from collections.abc import Callable, Generator, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import active_children, get_context, parent_process
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from typing import TypeVar

from ..data.errors import printable
from ..data.files import discard_temporaries

__all__ = ["run_at_once"]

_Key = TypeVar("_Key")
_ENDING = (signal.SIGINT, signal.SIGTERM)


def run_at_once(
    jobs: Mapping[_Key, Callable[[], str | None]], processes: int, threads: int | None
) -> Generator[tuple[_Key, str | None], None, None]:
    """Runs ``jobs`` in worker processes and gives each key with its result, in order of their ends.

    The workers end when this process ends, however that ends, and when the iteration is left early:
    by an exception, a signal, or a ``break``.

    Args:
        jobs: each returns an error as text, or None.
        processes: number of workers.
        threads: torch threads per worker; None leaves the number to torch.
    """
    # spawn: a forked process inherits torch's threads and cannot use CUDA.
    pool = ProcessPoolExecutor(processes, get_context("spawn"), _start_worker, (threads,))
    workers: list[BaseProcess] = []
    try:
        with _signals_wait():
            others = set(active_children())
            running = {pool.submit(job): key for key, job in jobs.items()}
            # All workers have started: a pool that spawns starts one for each job, up to its limit.
            workers = [one for one in active_children() if one not in others]
        for future in as_completed(running):
            try:
                yield running[future], future.result()
            except BrokenProcessPool:
                reason = "a process was killed; run the same command again"
                yield running[future], f"{reason}, with fewer jobs if memory was short"
    except BaseException:
        # At once: a native call would delay the end by a signal handler. The lock of the folder
        # removes their temporaries.
        for worker in workers:
            worker.kill()
        raise
    finally:
        pool.shutdown(cancel_futures=True)


@contextmanager
def _signals_wait() -> Iterator[None]:
    """Within, SIGINT and SIGTERM wait; processes that start here begin with both blocked.

    A signal for the whole group would end a worker that has no handler yet with a traceback.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _ENDING)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _start_worker(threads: int | None) -> None:
    # Modules that import torch are not loaded yet, so this runs within a moment of the start.
    parent = parent_process()
    assert parent is not None
    threading.Thread(target=_end_with, args=(parent.sentinel,), daemon=True).start()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides what Ctrl-C ends
    signal.signal(signal.SIGTERM, _on_sigterm)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _ENDING)
    warnings.showwarning = _show_warning
    if threads is not None:
        import torch

        torch.set_num_threads(threads)


def _show_warning(message: Warning | str, *_: object, **__: object) -> None:
    """The warning in one line, as the parent shows its own."""
    line = f"warning: {' '.join(str(message).splitlines())}"
    print(printable(line), file=sys.stderr, flush=True)


def _end_with(sentinel: int) -> None:
    wait([sentinel])
    _end(1)


def _on_sigterm(*_: object) -> None:
    # A signal for the whole group: the parent's line comes before that of a broken pool.
    time.sleep(0.3)
    _end(128 + signal.SIGTERM)


def _end(status: int) -> None:
    discard_temporaries()
    os._exit(status)
