"""Forked children, and limits of the system, for tests about what processes hold and leave."""

from __future__ import annotations

import os
import resource
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager

__all__ = ["file_size_limit", "in_child"]


@contextmanager
def file_size_limit(size: int) -> Iterator[None]:
    """Within, files can't grow beyond ``size`` bytes: as on a full disk, writes fail."""
    usual, most = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, most))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (usual, most))


def in_child(work: Callable[[], object]) -> int:
    """Runs ``work`` in a forked child and waits for its end.

    ``work`` must not use polars or torch: their threads do not survive the fork.

    Returns:
        0, 1 if ``work`` raised (pytest shows the traceback), the status of its ``os._exit``, or
        minus the signal that ended it.
    """
    pid = os.fork()
    if pid == 0:
        status = 0
        try:
            work()
        except BaseException:
            traceback.print_exc()
            sys.stderr.flush()
            status = 1
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
