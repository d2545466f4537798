"""Files are written whole or not at all; the next write removes what a killed writer left."""

from __future__ import annotations

import errno
import os
import signal
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
import torch

from atjt_ext.data.files import (
    discard_temporaries,
    sweep_temporaries,
    temporary_folder,
    write_atomically,
    write_text_atomically,
)
from helpers.processes import file_size_limit, in_child


def hidden(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir() if path.name.startswith(".")]


def killed_while_writing(path: Path) -> None:
    def die(temporary: Path) -> None:
        temporary.write_text("half of the")
        os.kill(os.getpid(), signal.SIGKILL)

    assert in_child(lambda: write_atomically(path, die)) == -signal.SIGKILL


def test_the_next_writer_removes_what_a_killed_one_left(tmp_path: Path) -> None:
    killed_while_writing(tmp_path / "a.txt")
    assert len(hidden(tmp_path)) == 1
    killed_while_writing(tmp_path / "b.txt")
    assert len(hidden(tmp_path)) == 1
    write_text_atomically(tmp_path / "c.txt", "whole")
    assert [path.name for path in tmp_path.iterdir()] == ["c.txt"]


def test_a_living_writer_keeps_its_temporary(tmp_path: Path) -> None:
    def write(temporary: Path) -> None:
        temporary.write_text("a")
        sweep_temporaries(tmp_path)
        # Another process sweeps too; so does a write of another file.
        assert in_child(lambda: sweep_temporaries(tmp_path)) == 0
        assert in_child(lambda: write_text_atomically(tmp_path / "b", "b")) == 0
        assert temporary.read_text() == "a"

    write_atomically(tmp_path / "a", write)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b"]


def test_sweeping_leaves_the_files_of_other_programs(tmp_path: Path) -> None:
    names = [".a.tmp", ".recs.csv.8f3k2j", "a.atjt-0123456789ab.tmp", ".b.atjt-0123456789ab.tmp.x"]
    for name in names:
        (tmp_path / name).write_text("of another program")
    target = tmp_path / "target"
    target.write_text("kept")
    (tmp_path / ".l.atjt-0123456789ab.tmp").symlink_to(target)
    (tmp_path / ".d.atjt-0123456789ab.tmp").mkdir()
    sweep_temporaries(tmp_path)
    assert all((tmp_path / name).exists() for name in names)
    assert target.read_text() == "kept"
    sweep_temporaries(tmp_path / "missing")  # nothing to do, nothing raised


def test_writers_and_sweepers_at_once_lose_no_file(tmp_path: Path) -> None:
    failures: list[BaseException] = []

    def work(name: str) -> None:
        try:
            for turn in range(150):
                write_text_atomically(tmp_path / name, str(turn))
                sweep_temporaries(tmp_path)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(f"f{n}",)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert sorted(path.name for path in tmp_path.iterdir()) == ["f0", "f1", "f2", "f3"]


def test_a_sudden_end_discards_what_is_being_written(tmp_path: Path) -> None:
    def leave(temporary: Path) -> None:
        temporary.write_text("half of the")
        discard_temporaries()
        os._exit(3)

    assert in_child(lambda: write_atomically(tmp_path / "a", leave)) == 3
    assert list(tmp_path.iterdir()) == []


def test_a_forked_child_that_unwinds_leaves_the_temporary_of_its_parent(tmp_path: Path) -> None:
    def fork_within(temporary: Path) -> None:
        temporary.write_text("whole")
        if (pid := os.fork()) == 0:
            raise SystemExit  # unwinds through the writer in the child
        os.waitpid(pid, 0)

    def write() -> None:
        with suppress(SystemExit):
            write_atomically(tmp_path / "file", fork_within)

    def parts() -> None:
        with suppress(SystemExit), temporary_folder(tmp_path / "recs") as folder:
            fork_within(folder / "part")
            assert (folder / "part").read_text() == "whole"

    assert in_child(write) == 0
    assert (tmp_path / "file").read_text() == "whole"
    assert in_child(parts) == 0
    assert hidden(tmp_path) == []


def test_a_folder_of_parts_goes_at_the_end_and_after_a_kill(tmp_path: Path) -> None:
    with temporary_folder(tmp_path / "recs.csv") as folder:
        (folder / "000000.parquet").write_text("part")
        assert in_child(lambda: sweep_temporaries(tmp_path)) == 0
        assert (folder / "000000.parquet").exists()
    assert hidden(tmp_path) == []

    path = tmp_path / "recs.csv"
    with (
        file_size_limit(0),
        pytest.raises(OSError, match="could not") as caught,
        temporary_folder(path) as folder,
    ):
        write_text_atomically(folder / "000000.parquet", "part")
    assert str(caught.value) == f"{path}: could not be written (File too large)"

    def die() -> None:
        with temporary_folder(tmp_path / "recs.csv") as folder:
            (folder / "000000.parquet").write_text("part")
            os.kill(os.getpid(), signal.SIGKILL)

    assert in_child(die) == -signal.SIGKILL
    assert len(hidden(tmp_path)) == 1
    sweep_temporaries(tmp_path)
    assert hidden(tmp_path) == []


@pytest.mark.parametrize("umask", [0o022, 0o077, 0o002])
def test_permissions_are_those_of_any_new_file(tmp_path: Path, umask: int) -> None:
    def write() -> None:
        os.umask(umask)
        write_text_atomically(tmp_path / "ours", "")
        (tmp_path / "plain").touch()

    assert in_child(write) == 0
    ours, plain = (os.stat(tmp_path / name).st_mode for name in ("ours", "plain"))
    assert oct(ours) == oct(plain)


def test_a_name_as_long_as_the_file_system_allows(tmp_path: Path) -> None:
    write_text_atomically(tmp_path / ("\u00e9" * 127), "long")
    assert (tmp_path / ("\u00e9" * 127)).read_text() == "long"


def as_text(temporary: Path) -> None:
    temporary.write_text("x" * 100_000)


def as_checkpoint(temporary: Path) -> None:
    torch.save({"table": torch.zeros(50_000)}, temporary)


def as_arrays(temporary: Path) -> None:
    import numpy as np

    with temporary.open("wb") as file:
        np.savez(file, ranks=np.arange(50_000))


def as_parquet(temporary: Path) -> None:
    import polars as pl

    pl.DataFrame({"a": torch.rand(50_000).numpy()}).write_parquet(temporary)


def as_tensors(temporary: Path) -> None:
    from safetensors.torch import save_file

    save_file({"table": torch.zeros(50_000)}, temporary)


@pytest.mark.parametrize("write", [as_text, as_checkpoint, as_arrays, as_parquet, as_tensors])
@pytest.mark.parametrize("limit", [0, 1000, 60_000])
def test_a_full_disk_is_one_sentence_that_names_the_file(
    tmp_path: Path, write: Callable[[Path], None], limit: int
) -> None:
    path = tmp_path / "made.file"
    with file_size_limit(limit), pytest.raises(OSError, match="could not") as caught:
        write_atomically(path, write)
    assert str(caught.value) == f"{path}: could not be written (File too large)"
    assert caught.value.errno == errno.EFBIG
    assert list(tmp_path.iterdir()) == []


def test_errors_of_the_writer_itself_stay(tmp_path: Path) -> None:
    def fail(temporary: Path) -> None:
        raise ValueError("no such column")

    def read_another(temporary: Path) -> None:
        (tmp_path / "missing").read_text()

    with pytest.raises(ValueError, match="no such column"):
        write_atomically(tmp_path / "a", fail)
    with pytest.raises(FileNotFoundError, match=r"^\[Errno 2\].*missing'$"):
        write_atomically(tmp_path / "a", read_another)
    assert list(tmp_path.iterdir()) == []


def test_places_that_take_no_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    (tmp_path / "folder" / "inside").mkdir(parents=True)
    for place in ("file", "loop"):
        with pytest.raises(NotADirectoryError, match=f"{place}: not a folder"):
            write_text_atomically(tmp_path / place / "a", "")
    with pytest.raises(IsADirectoryError) as caught:
        write_text_atomically(tmp_path / "folder", "")
    assert str(caught.value) == f"{tmp_path / 'folder'}: could not be written (Is a directory)"
    assert hidden(tmp_path) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_a_folder_without_permission_to_write(tmp_path: Path) -> None:
    def write() -> None:
        os.chdir(tmp_path)
        os.setuid(65534)
        for path, told in (
            (Path("a"), "a: could not be written (Permission denied)"),
            (Path("sub/a"), "sub: the folder could not be made (Permission denied)"),
        ):
            with pytest.raises(PermissionError) as caught:
                write_text_atomically(path, "")
            assert str(caught.value) == told

    tmp_path.chmod(0o755)
    assert in_child(write) == 0
