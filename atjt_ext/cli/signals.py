"""SIGINT and SIGTERM end a command within seconds: by an exception, or else suddenly.

Python runs signal handlers between steps of Python code only. A long call of a native library would
delay the end, and a library may swallow the exception. So a thread waits for the orderly end. It
raises the exception once more, and in the end prints the line, removes temporaries and locks and
ends the process.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from contextlib import suppress
from types import FrameType
from typing import Any

__all__ = ["Signals", "Terminated"]

_ENDING = (signal.SIGINT, signal.SIGTERM)
_DATA = f"{__name__.partition('.')[0]}.data"
_SECONDS = 2.0  # for the orderly end, until the exception is raised once more
_MORE_SECONDS = 1.5  # then, until the sudden end
_SECONDS_EACH = 0.5  # for the line and for the cleanup of a sudden end


class Terminated(KeyboardInterrupt):
    """SIGTERM. Code that lets a KeyboardInterrupt through lets this through, too."""


class Signals:
    """Handles SIGINT and SIGTERM from ``__init__`` until :meth:`leave`.

    After :meth:`start_raising`, the first signal raises KeyboardInterrupt or :class:`Terminated`;
    later ones raise nothing, so that they do not disturb the orderly end. If that takes seconds,
    the exception was probably swallowed, and is raised once more. Outside the main thread,
    where Python has no signals, all of this does nothing.
    """

    def __init__(self) -> None:
        self.received: int | None = None
        self.to_go_on = "; run the same command again"
        """How the line that reports the signal ends."""
        self._raised = True
        self._can_raise = False
        self._over = threading.Event()
        self._before: dict[int, Any] = {}
        if threading.current_thread() is not threading.main_thread():
            return
        self._waiting, self._waking = os.pipe()
        os.set_blocking(self._waking, False)
        self._old_waking = signal.set_wakeup_fd(self._waking, warn_on_full_buffer=False)
        self._old_hook, sys.unraisablehook = sys.unraisablehook, self._unraisable
        for number in _ENDING:
            # Ignored signals stay ignored: a shell starts background commands so.
            if signal.getsignal(number) != signal.SIG_IGN:
                self._before[number] = signal.signal(number, self._on_signal)
        self._thread = threading.Thread(target=self._watch, daemon=True, name="signals")
        self._thread.start()

    @property
    def status(self) -> int:
        """The exit status that shells use for the received signal."""
        return 128 + (self.received or signal.SIGINT)

    @property
    def line(self) -> str:
        """The line that reports the signal and says how to go on."""
        verb = "terminated" if self.received == signal.SIGTERM else "interrupted"
        return verb + self.to_go_on

    def start_raising(self) -> None:
        """Raises for a signal that has come, or for the next one."""
        self._can_raise = True
        if self.received is None:
            self._raised = False
        if self.received is not None:  # now or just before
            self._raise()

    def remove_leftovers(self) -> None:
        """Removes temporaries and locks of this process."""
        # Modules that are not loaded have nothing to remove.
        for module, remove in (("files", "discard_temporaries"), ("locks", "release_all")):
            if loaded := sys.modules.get(f"{_DATA}.{module}"):
                with suppress(OSError):
                    getattr(loaded, remove)()

    def raise_no_more(self) -> None:
        """From now on signals raise nothing. The sudden end, seconds later, stays."""
        self._raised = True
        self._can_raise = False

    def leave(self) -> None:
        """Restores what was before."""
        self.raise_no_more()
        self._over.set()
        if threading.current_thread() is not threading.main_thread():
            return
        for number, handler in self._before.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(self._old_waking)
        sys.unraisablehook = self._old_hook
        os.write(self._waking, b"\0")
        self._thread.join()
        os.close(self._waiting)
        os.close(self._waking)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self.received = self.received or number
        if self._raised:
            return
        defers = getattr(sys.modules.get(f"{_DATA}.files"), "deferred", None)
        if defers is None or not defers(self._raise):
            self._raise()

    def _raise(self) -> None:
        self._raised = True
        raise Terminated if self.received == signal.SIGTERM else KeyboardInterrupt

    def _watch(self) -> None:
        # Python writes the number of every signal with a handler, at once.
        while (number := os.read(self._waiting, 1)[0]) not in _ENDING:
            if self._over.is_set():
                return
        self.received = self.received or number
        # The system may have chosen another thread: then nothing woke the main thread.
        self._wake_main_thread(number)
        if self._over.wait(_SECONDS):
            return
        if self._can_raise:
            self._raised = False
            self._wake_main_thread(number)
        if not self._over.wait(_MORE_SECONDS):
            self._end_suddenly()

    def _wake_main_thread(self, number: int) -> None:
        main = threading.main_thread().ident
        if main is not None and not self._raised:
            signal.pthread_kill(main, number)

    def _end_suddenly(self) -> None:
        # Each may hang: a full pipe, a network drive, a lock that the main thread holds.
        for work in (self._report, self.remove_leftovers):
            thread = threading.Thread(target=work, daemon=True)
            thread.start()
            thread.join(_SECONDS_EACH)
        os._exit(self.status)

    def _report(self) -> None:
        # A progress bar hides the cursor.
        shown = "\x1b[?25h" if os.isatty(2) else ""
        with suppress(OSError):
            terminal = os.dup(2)
            # The main thread still runs: what it prints shall not come after the line.
            os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
            os.write(terminal, f"{shown}{self.line}\n".encode())

    def _unraisable(self, unraisable: Any) -> None:
        """Says nothing of an exception of ours that a library swallowed."""
        if self.received is None:
            self._old_hook(unraisable)


def _forget_in_child() -> None:
    """Signals of a forked child are not to wake the thread of its parent."""
    with suppress(ValueError):  # forked by another thread than the main one
        signal.set_wakeup_fd(-1)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_in_child)
