"""Forked children for tests about processes: what they hold, and what they leave."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Callable

__all__ = ["in_child"]


def in_child(work: Callable[[], object]) -> int:
    """Runs ``work`` in a forked child and waits for its end.

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
