"""One process at a time writes to a folder; a lock ends with its process."""

from __future__ import annotations

import os
import re
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from atjt_ext.data import files, locks
from atjt_ext.data.files import write_atomically
from atjt_ext.data.locks import FolderInUseError, exclusive, release_all
from helpers.processes import in_child


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def refused(folder: Path) -> None:
    with pytest.raises(FolderInUseError), exclusive(folder):
        pass


def entered(folder: Path) -> None:
    with exclusive(folder):
        pass


@contextmanager
def owner(folder: Path) -> Iterator[int]:
    """A child that holds the folder until it is killed; its process id."""
    ready, told = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            with exclusive(folder, "atjt train"):
                os.write(told, b".")
                time.sleep(60)
        finally:
            os._exit(1)
    os.read(ready, 1)
    os.close(ready)
    os.close(told)
    try:
        yield pid
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def test_a_second_process_is_refused_and_told_who_writes(tmp_path: Path) -> None:
    with owner(tmp_path / "run") as pid:
        with pytest.raises(FolderInUseError) as caught, exclusive(tmp_path / "run"):
            pass
        assert str(caught.value) == (
            f"{tmp_path / 'run'}: atjt train is writing here (process {pid} on "
            f"{socket.gethostname()}); wait for its end, or choose another folder"
        )
        link = tmp_path / "link"
        link.symlink_to(tmp_path / "run")
        refused(link)  # the same folder by another name
        entered(tmp_path / "other")


def test_nothing_is_left_after_the_end(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "b"
    with exclusive(folder):
        assert names(folder) == [".lock"]
        (folder / "file").touch()
    assert names(folder) == ["file"]
    # An error leaves no lock either, and no empty folder that was made here.
    with pytest.raises(ValueError, match="bad data"), exclusive(tmp_path / "c" / "d"):
        raise ValueError("bad data")
    assert names(tmp_path) == ["a"]
    (tmp_path / "mine").mkdir()
    entered(tmp_path / "mine")
    assert names(tmp_path) == ["a", "mine"]


def test_the_lock_of_a_killed_process_is_taken_over_and_its_leftovers_go(tmp_path: Path) -> None:
    def die(temporary: Path) -> None:
        temporary.write_text("half")
        os.kill(os.getpid(), signal.SIGKILL)

    def killed() -> None:
        with exclusive(tmp_path):
            write_atomically(tmp_path / "checkpoint.pt", die)

    inside = tmp_path / "equal_weights"
    assert in_child(killed) == -signal.SIGKILL
    assert in_child(lambda: write_atomically(inside / "ranks", die)) == -signal.SIGKILL
    assert (len(names(tmp_path)), len(names(inside))) == (3, 1)
    with exclusive(tmp_path):
        assert names(tmp_path) == [".lock", "equal_weights"]
        assert names(tmp_path / "equal_weights") == []
    assert names(tmp_path) == ["equal_weights"]


def test_one_process_may_enter_several_times(tmp_path: Path) -> None:
    with exclusive(tmp_path):
        with exclusive(tmp_path / "x" / ".."):
            pass
        assert in_child(lambda: refused(tmp_path)) == 0  # the inner end is not the end
    assert in_child(lambda: entered(tmp_path)) == 0


def test_a_forked_child_does_not_hold_the_lock_of_its_parent(tmp_path: Path) -> None:
    with exclusive(tmp_path):
        assert in_child(lambda: refused(tmp_path)) == 0
        assert names(tmp_path) == [".lock"]

    def fork_within() -> None:
        with exclusive(tmp_path):
            if (pid := os.fork()) != 0:
                os.waitpid(pid, 0)
                assert names(tmp_path) == [".lock"]  # the child's end of `with` released nothing
                refused_in_child = in_child(lambda: refused(tmp_path))
                assert refused_in_child == 0

    assert in_child(fork_within) == 0
    # A child that outlives its killed parent does not keep the lock.
    ready, told = os.pipe()

    def orphan() -> None:
        with exclusive(tmp_path):
            if os.fork() == 0:
                os.write(told, str(os.getpid()).encode())
                time.sleep(60)
            os.kill(os.getpid(), signal.SIGKILL)

    assert in_child(orphan) == -signal.SIGKILL
    child = int(os.read(ready, 20))
    try:
        entered(tmp_path)
    finally:
        os.kill(child, signal.SIGKILL)


def test_another_thread_of_the_process_is_refused(tmp_path: Path) -> None:
    failures: list[BaseException] = []

    def in_thread(work: Callable[[], None]) -> None:
        def run() -> None:
            try:
                work()
            except BaseException as error:
                failures.append(error)

        thread = threading.Thread(target=run)
        thread.start()
        thread.join()

    with exclusive(tmp_path), exclusive(tmp_path):
        in_thread(lambda: entered(tmp_path))
        in_thread(lambda: entered(tmp_path / "other"))
    told = (
        f"{tmp_path}: another thread of this process is writing here; wait for its end, or choose"
    )
    assert [str(error) for error in failures] == [f"{told} another folder"]
    assert isinstance(failures.pop(), FolderInUseError)
    in_thread(lambda: entered(tmp_path))
    assert failures == []
    assert names(tmp_path) == []


def test_never_two_threads_while_locks_come_and_go(tmp_path: Path) -> None:
    failures: list[BaseException] = []
    times: list[int] = []

    def work() -> None:
        try:
            for _ in range(100):
                with suppress(FolderInUseError), exclusive(tmp_path / "run"):
                    (tmp_path / "owner").touch(exist_ok=False)
                    (tmp_path / "owner").unlink()
                    times.append(threading.get_ident())
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert times
    assert names(tmp_path) == []


def test_a_sweep_does_not_hold_the_guard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The thread that ends the process after a signal needs the guard."""
    free: list[bool] = []

    def sweep(folder: Path) -> None:
        def try_guard() -> None:
            if locks._guard.acquire(timeout=0.2):
                locks._guard.release()
                free.append(True)
            else:
                free.append(False)

        thread = threading.Thread(target=try_guard)
        thread.start()
        thread.join()

    monkeypatch.setattr(locks, "sweep_temporaries", sweep)
    entered(tmp_path)
    assert free == [True, True]


def test_never_two_owners_while_locks_come_and_go(tmp_path: Path) -> None:
    """Each owner removes the lock file: a process that waits with the old file must notice."""
    folder = tmp_path / "run"

    def work() -> None:
        stop = time.monotonic() + 1.5
        while time.monotonic() < stop:
            try:
                with exclusive(folder):
                    mine = os.open(tmp_path / "owner", os.O_CREAT | os.O_EXCL)
                    os.close(mine)
                    (tmp_path / "owner").unlink()
            except FolderInUseError:
                pass

    pids = []
    for _ in range(4):
        if (pid := os.fork()) == 0:
            os._exit(in_child(work))
        pids.append(pid)
    assert [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids] == [0] * 4
    # A process that made the folder, but was refused, leaves it to the owner.
    assert list(tmp_path.rglob("*")) in ([], [folder])


def test_places_that_are_no_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    for place in (tmp_path / "file", tmp_path / "file" / "below", tmp_path / "loop"):
        with pytest.raises(NotADirectoryError, match=f"{re.escape(str(place))}: not a folder"):
            entered(place)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_a_folder_without_permission_to_write(tmp_path: Path) -> None:
    def enter() -> None:
        os.chdir(tmp_path)
        os.setuid(65534)
        for folder, told in (
            (Path("kept"), "kept: cannot write to this folder (Permission denied)"),
            (Path("new"), "new: the folder could not be made (Permission denied)"),
        ):
            with pytest.raises(PermissionError) as caught:
                entered(folder)
            assert str(caught.value) == told

    tmp_path.chmod(0o755)
    (tmp_path / "kept").mkdir()
    assert in_child(enter) == 0


def test_a_lock_file_of_another_program_is_kept(tmp_path: Path) -> None:
    (tmp_path / ".lock").write_text("another program, 7")
    with pytest.raises(OSError, match=r"\.lock: a file of another program"):
        entered(tmp_path)
    assert (tmp_path / ".lock").read_text() == "another program, 7"


def test_a_file_system_without_locks_is_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(locks, "try_lock", lambda handle: None)
    with pytest.warns(UserWarning, match="this file system has no locks"):
        entered(tmp_path)
    assert names(tmp_path) == []
    monkeypatch.setattr(files, "HAS_LOCKS", False)  # as on Windows
    monkeypatch.setattr(locks, "HAS_LOCKS", False)
    with pytest.warns(UserWarning, match="has no locks"):
        entered(tmp_path)
    write_atomically(tmp_path / "a", lambda temporary: temporary.write_text("whole"))
    assert names(tmp_path) == ["a"]


def test_a_sudden_end_releases_all(tmp_path: Path) -> None:
    def leave() -> None:
        with exclusive(tmp_path / "a"), exclusive(tmp_path / "b"):
            (tmp_path / "b" / "file").touch()
            release_all()
            os._exit(3)

    assert in_child(leave) == 3
    assert names(tmp_path) == ["b"]
    assert names(tmp_path / "b") == ["file"]
