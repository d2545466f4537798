"""The manifest of a folder: damaged files are refused, and a kill at any moment does no harm."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from atjt_ext.data import manifest
from atjt_ext.data.files import write_text_atomically
from atjt_ext.data.manifest import (
    DamagedFileError,
    begin_manifest,
    lists,
    manifest_path,
    open_checked,
    remove_listed,
    settle_manifest,
    verify_manifest,
    write_all_listed,
    write_listed,
)
from helpers.processes import in_child


def write(path: Path, text: str) -> None:
    write_listed(path, lambda temporary: temporary.write_text(text))


def read(path: Path) -> str:
    with open_checked(path) as file:
        return file.read().decode()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    begin_manifest(tmp_path)
    write(tmp_path / "a", "one")
    write(tmp_path / "b", "two")
    settle_manifest(tmp_path)
    return tmp_path


def test_files_are_listed_and_come_back(folder: Path) -> None:
    assert (read(folder / "a"), read(folder / "b")) == ("one", "two")
    assert lists(folder / "b")
    assert not lists(folder / "c")
    write(folder / "a", "three")
    assert read(folder / "a") == "three"
    remove_listed(folder / "b")
    remove_listed(folder / "never")
    assert not lists(folder / "b")
    settle_manifest(folder)
    verify_manifest(folder)
    assert manifest_path(folder).read_text().count('"a"') == 1
    assert '"b"' not in manifest_path(folder).read_text()


def test_without_a_manifest_nothing_is_checked(tmp_path: Path) -> None:
    write(tmp_path / "a", "one")
    (tmp_path / "a").write_text("other")
    assert read(tmp_path / "a") == "other"
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
    verify_manifest(tmp_path)
    settle_manifest(tmp_path)


def test_damaged_missing_and_foreign_files_are_refused(folder: Path) -> None:
    (folder / "a").write_text("onE")
    with pytest.raises(DamagedFileError, match=f"{re.escape(str(folder))}/a: damaged, or edited"):
        read(folder / "a")
    with pytest.raises(DamagedFileError, match="/a: damaged"):
        verify_manifest(folder, but_missing=["a", "b"])
    (folder / "a").write_text("one")
    (folder / "b").unlink()
    for refused in (lambda: read(folder / "b"), lambda: verify_manifest(folder)):
        with pytest.raises(DamagedFileError, match=r"/b: missing, but .*sha256\.json lists it"):
            refused()
    verify_manifest(folder, but_missing=["b"])
    (folder / "c").write_text("copied here")
    with pytest.raises(DamagedFileError, match="/c: not a file of this run"):
        read(folder / "c")
    with pytest.raises(FileNotFoundError):
        read(folder / "d")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "damaged"),
        ("[]", "damaged"),
        ('{"format": 1}', "damaged"),
        ('{"format": 1, "files": [], "sha256": "0"}', "damaged"),
        ('{"format": 2, "files": {}}', "format 2, written by a newer version"),
        ("[" * 100_000, "damaged"),
    ],
)
def test_a_damaged_manifest_is_refused(folder: Path, content: str, said: str) -> None:
    manifest_path(folder).write_text(content)
    for refused in (lambda: read(folder / "a"), lambda: write(folder / "a", "three")):
        with pytest.raises(DamagedFileError, match=rf"manifest/sha256\.json: .*{said}"):
            refused()
    assert (folder / "a").read_text() == "one"


def test_a_changed_digest_is_refused(folder: Path) -> None:
    path = manifest_path(folder)
    (folder / "a").write_text("two")
    # The digest of the other file in place of its own.
    one, two = re.findall("[0-9a-f]{64}", path.read_text())[:2]
    path.write_text(path.read_text().replace(one, two))
    with pytest.raises(DamagedFileError, match=r"sha256\.json: damaged"):
        read(folder / "a")


def newer(name: str) -> Callable[[Path], object]:
    return lambda temporary: temporary.write_text({"a": "newer one", "d": "with it"}[name])


def change_everything(folder: Path) -> None:
    write(folder / "a", "new one")
    write(folder / "c", "new")
    remove_listed(folder / "b")
    write_all_listed({folder / name: newer(name) for name in ("a", "d")})
    settle_manifest(folder)


def test_a_kill_at_any_file_event_leaves_a_folder_that_fits(tmp_path: Path) -> None:
    kills = 0
    while True:
        folder = tmp_path / str(kills)
        begin_manifest(folder)
        write(folder / "a", "one")
        write(folder / "b", "two")
        if in_child(lambda folder=folder, at=kills: killed_at(at, folder)) == 0:
            break
        kills += 1
        contents = {
            path.name: read(path) for path in folder.iterdir() if path.name in ("a", "b", "c", "d")
        }
        assert contents.pop("a") in ("one", "new one", "newer one")
        assert contents.pop("b", "two") == "two"
        assert contents in ({}, {"c": "new"}, {"c": "new", "d": "with it"})
        verify_manifest(folder)
        change_everything(folder)
        assert (read(folder / "a"), read(folder / "c")) == ("newer one", "new")
        assert manifest_path(folder).read_text().count("[") == 3  # a state each
        hidden = list(folder.rglob(".*"))
        assert hidden == []
    assert kills > 20


def killed_at(event: int, folder: Path) -> None:
    """``change_everything``, killed at an event of the file system."""
    count = 0

    def counted(function: object) -> object:
        def call(*arguments: object, **named: object) -> object:
            nonlocal count
            if count == event:
                os.kill(os.getpid(), signal.SIGKILL)
            count += 1
            return function(*arguments, **named)  # type: ignore[operator]

        return call

    os.open, os.fsync = counted(os.open), counted(os.fsync)  # type: ignore[assignment]
    Path.replace = counted(Path.replace)  # type: ignore[assignment]
    Path.unlink = counted(Path.unlink)  # type: ignore[assignment]
    change_everything(folder)


def test_a_file_that_was_replaced_here_is_not_read_again(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(path: Path) -> str:
        raise AssertionError(path)

    monkeypatch.setattr(manifest, "_state", never)
    for number in range(3):
        write(folder / "a", f"a{number}")
        write(folder / "b", f"b{number}")
    settle_manifest(folder)
    assert read(folder / "b") == "b2"


def test_files_that_are_written_together_change_the_manifest_once(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    changes: list[Path] = []
    usual = manifest._write
    monkeypatch.setattr(
        manifest, "_write", lambda of, files: (changes.append(of), usual(of, files))
    )
    other = folder / "below"
    write_all_listed({folder / "a": newer("a"), folder / "d": newer("d"), other / "d": newer("d")})
    assert changes == [folder]  # the other folder has no manifest
    assert [read(path) for path in (folder / "a", folder / "d", other / "d")] == [
        "newer one",
        "with it",
        "with it",
    ]

    def fail(temporary: Path) -> None:
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        write_all_listed({folder / "a": newer("d"), folder / "b": fail})
    assert (read(folder / "a"), read(folder / "b")) == ("newer one", "two")
    assert changes == [folder]


def test_a_reader_beside_a_writer_reads_whole_files(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual, left = manifest._text, [3]

    def text(of: Path) -> bytes | None:
        found = usual(of)
        if left[0]:  # the file changes after its manifest was read
            left[0] -= 1
            with monkeypatch.context() as inner:
                inner.setattr(manifest, "_text", usual)
                write(folder / "a", f"a{left[0]}")
                write(folder / "a", f"b{left[0]}")
        return found

    monkeypatch.setattr(manifest, "_text", text)
    assert read(folder / "a") == "b0"


def test_a_write_that_fails_keeps_the_old_file(folder: Path) -> None:
    def fail(temporary: Path) -> None:
        temporary.write_text("half")
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        write_listed(folder / "a", fail)
    assert read(folder / "a") == "one"
    write_text_atomically(folder / "a", "past the manifest")
    with pytest.raises(DamagedFileError):
        read(folder / "a")
