"""Packed files, binary files, pipes and huge lines: read, or refused in one line."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import tarfile
import threading
import tracemalloc
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from atjt_ext.data import DataError, read_interactions, read_items, read_parquet
from atjt_ext.data.readers import streams
from helpers.layouts import ML_MOVIES, ML_RATINGS, U_DATA
from helpers.reading import column, refusal, write


def zipped(*names: str, content: str = ML_RATINGS) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in names:
            archive.writestr(name, content)
    return stream.getvalue()


def tarred(name: str, packer: Callable[[bytes], bytes]) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        member = tarfile.TarInfo(name)
        member.size = len(ML_RATINGS)
        archive.addfile(member, io.BytesIO(ML_RATINGS.encode()))
    return packer(stream.getvalue())


PACKERS: dict[str, Callable[[bytes], bytes]] = {
    "gz": gzip.compress,
    "bz2": bz2.compress,
    "xz": lzma.compress,
    "zip": lambda data: zipped("folder/", "folder/data.csv", content=data.decode()),
}


@pytest.mark.parametrize("name", ["ratings.csv", "export"])
@pytest.mark.parametrize("packer", PACKERS)
def test_packed_files_are_read(tmp_path: Path, packer: str, name: str) -> None:
    packed = PACKERS[packer](ML_RATINGS.encode())
    plain = read_interactions(write(tmp_path, "ratings.csv", ML_RATINGS))
    for suffix in (f".{packer}", f".{packer.upper()}", ""):
        path = write(tmp_path, f"{name}{suffix}", packed)
        assert read_interactions(path).frame.equals(plain.frame)


@pytest.mark.parametrize("first", ["BZh", "BZh9", "BZh91AY&S", "PK", "7z", "Rar!"])
def test_text_that_starts_as_packed_data_is_text(tmp_path: Path, first: str) -> None:
    path = write(tmp_path, "a.csv", f"{first},user,item\n1,2,3\n")
    with pytest.warns(UserWarning, match="no column of times"):
        assert read_interactions(path).frame.columns == ["user", "item", first]
    path = write(tmp_path, "a.txt", f"{first} 1 2\n{first}2 3 1\n")
    got = read_interactions(path, format="sequences")
    assert column(got, "user") == [first] * 2 + [f"{first}2"] * 2


def test_an_empty_packed_file_is_refused(tmp_path: Path) -> None:
    for packer in (gzip.compress, bz2.compress, lzma.compress):
        path = write(tmp_path, "a.csv", packer(b""))
        assert refusal(read_interactions, path) == f"{path}: the file is empty"


def test_the_name_inside_of_an_archive_tells_the_format(tmp_path: Path) -> None:
    text = U_DATA.replace("881250949", "1").replace("\t3\t", "\t30\t")  # unclear by its lines
    assert "pass format=movielens" in refusal(read_interactions, write(tmp_path, "a", text))
    path = write(tmp_path, "a.zip", zipped("ml/u.data", content=text))
    assert len(read_interactions(path)) == 3


def test_packed_files_in_a_folder_are_found(tmp_path: Path) -> None:
    write(tmp_path, "ratings.csv.xz", lzma.compress(ML_RATINGS.encode()))
    write(tmp_path, "movies.csv.bz2", bz2.compress(ML_MOVIES.encode()))
    got = read_interactions(tmp_path)
    assert got.items is not None
    assert (len(got), len(got.items)) == (3, 3)


def test_broken_packed_files_are_named(tmp_path: Path) -> None:
    data = "".join(f"{n},{n * 7919 % 1000},3,{n * 104729 % 99991}\n" for n in range(9000)).encode()
    data = b"userId,movieId,rating,timestamp\n" + data
    for packer, kind in (("gz", "gzip"), ("bz2", "bzip2"), ("xz", "xz"), ("zip", "zip")):
        packed = PACKERS[packer](data)
        half = len(packed) // 2
        flipped = packed[:half] + bytes([packed[half] ^ 0xFF]) + packed[half + 1 :]
        for content in (packed[:half], packed[:-3], packed[:20], flipped):
            path = write(tmp_path, f"a.csv.{packer}", content)
            assert refusal(read_interactions, path).startswith(
                f"{path}: truncated or corrupt {kind} ("
            )


@pytest.mark.parametrize("packer", ["gzip", "bzip2", "xz"])
def test_several_streams_are_read_whole_or_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, packer: str
) -> None:
    pack = {"gzip": gzip.compress, "bzip2": bz2.compress, "xz": lzma.compress}[packer]
    rows = "".join(f"{n},{n * 7 % 100},{n}\n" for n in range(3000))
    first, second = pack(b"user,item,time\n"), pack(rows.encode())
    third = pack(b"u,i,9\n")
    for size in (1 << 16, 7):
        monkeypatch.setattr("atjt_ext.data.readers.packed_streams._BYTES", size)
        path = write(tmp_path, "a.csv", first + second + pack(b"") + third)
        assert len(read_interactions(path)) == 3001
        broken = [first + second + third[:cut] for cut in (1, 5, 8, len(third) - 1)]
        broken += [first + second + tail for tail in (b"xx", b"\n", b"BZ", b"x" + third[1:])]
        broken += [first + b"\1" + second[1:] + third]
        for content in broken:
            message = refusal(read_interactions, write(tmp_path, "a.csv", content))
            assert message.startswith(f"{path}: truncated or corrupt {packer} (")
    if packer != "gzip":
        assert "(data after the end of a stream)" in message


def test_zero_bytes_between_streams_of_xz(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = lzma.compress(b"user,item,time\n1,x,1\n"), lzma.compress(b"2,y,2\n")
    for size in (1 << 16, 1):
        monkeypatch.setattr("atjt_ext.data.readers.packed_streams._BYTES", size)
        for zeros in (4, 8, 400):
            path = write(tmp_path, "a.csv", first + bytes(zeros) + second + bytes(zeros))
            assert len(read_interactions(path)) == 2
        for content in (first + bytes(3), first + bytes(5) + second, first + bytes(4) + b"xx"):
            message = refusal(read_interactions, write(tmp_path, "a.csv", content))
            assert "truncated or corrupt xz (data after the end of a stream)" in message
    path = write(tmp_path, "a.csv", bz2.compress(b"user,item,time\n1,x,1\n") + bytes(4))
    assert "corrupt bzip2 (data after the end of a stream)" in refusal(read_interactions, path)


@pytest.mark.parametrize(
    ("name", "content", "wanted"),
    [
        ("a.zip", zipped("a.csv", "b.csv"), "holds a zip archive of 2 files ('a.csv', 'b.csv')"),
        ("a.csv", zipped("a.csv", "b.csv"), "holds a zip archive of 2 files ('a.csv', 'b.csv')"),
        ("a.zip", zipped(), "holds an empty zip archive"),
        ("a.7z", b"7z\xbc\xaf\x27\x1c\0\4rest", "holds a 7z archive, wanted a plain file; unpack"),
        ("a.rar", b"Rar!\x1a\7\0rest", "holds a RAR archive, wanted a plain file; unpack it"),
        ("a.zst", b"\x28\xb5\x2f\xfdrest", "holds Zstandard data, wanted a plain file; unpack it"),
        ("a.tar", tarred("a.csv", bytes), "holds a tar archive, wanted one file; unpack it"),
        ("a.tgz", tarred("a.csv", gzip.compress), "holds a tar archive, wanted one file"),
        ("a.tar.xz", tarred("a.csv", lzma.compress), "holds a tar archive, wanted one file"),
        ("a.png", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + b"\1" * 90, "3: a zero byte, wanted UTF-8"),
        ("a.csv", "user,item\n1,x\n".encode("utf-16"), "1: a zero byte, wanted UTF-8 text; is the"),
        ("a.csv", b"user,item\n1,x\n2,\0y\n", "3: a zero byte, wanted UTF-8 text"),
        ("a.inter", b"user_id:token\titem_id:token\n1\tx\n2\t\0\n", "3: a zero byte, wanted UTF-8"),
        ("s.txt", b"1 2 3\n2 3 4 5\n3 \0 4\n", "3: a zero byte, wanted UTF-8 text"),
        ("a.jsonl", b'{"user": 1, "item": 2}\n{"user": "\0", "item": 2}\n', "2: a zero byte"),
    ],
)  # fmt: skip
def test_other_files_are_refused(tmp_path: Path, name: str, content: bytes, wanted: str) -> None:
    path = write(tmp_path, name, content)
    message = refusal(read_interactions, path, **({"time_column": ""} if name == "a.jsonl" else {}))
    assert message.startswith(f"{path}:")
    assert wanted in message


def test_an_archive_with_a_password_is_refused(tmp_path: Path) -> None:
    packed = bytearray(zipped("a.csv"))
    for at in (6, packed.find(b"PK\1\2") + 8):  # the flag of encryption, in both headers
        packed[at] |= 1
    path = write(tmp_path, "a.zip", bytes(packed))
    assert "this zip archive cannot be read (File 'a.csv' is encrypted" in refusal(
        read_interactions, path
    )


def test_pipes_and_locked_files_are_refused(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    # Reading would block: the data come once, and the format is looked at first.
    got: list[str] = []
    thread = threading.Thread(
        target=lambda: got.append(refusal(read_interactions, pipe)), daemon=True
    )
    thread.start()
    thread.join(20)
    assert got == [f"{pipe}: is a pipe or a device, wanted a file; write the data to one"]
    assert "is a pipe or a device" in refusal(read_interactions, Path("/dev/null"))


@pytest.mark.parametrize("name", ["a.csv", "a.inter", "u.data", "s.txt", "a.jsonl"])
def test_a_huge_line_in_a_small_file_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(streams, "CHUNK_BYTES", 1 << 18)
    monkeypatch.setattr(streams, "LINE_BYTES", 1 << 20)
    starts = {
        "a.csv": b"user,item\n1,", "a.inter": b"user_id:token\titem_id:token\n1\t",
        "u.data": b"1\t1\t1\t", "s.txt": b"1 20 30 40\n1 ",
        "a.jsonl": b'{"user": 1, "item": 2}\n{"user": 1, "item": "',
    }  # fmt: skip
    packer = zlib.compressobj(wbits=31)
    with (tmp_path / f"{name}.gz").open("wb") as file:
        file.write(packer.compress(starts[name]))
        for _ in range(100):
            file.write(packer.compress(b"7" * (1 << 20)))
        file.write(packer.flush())
    path = tmp_path / f"{name}.gz"
    assert path.stat().st_size < 1 << 18
    tracemalloc.start()
    try:
        message = refusal(read_interactions, path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    first = "1: the first line is longer than" if name == "u.data" else ""
    assert f"{path}:{first or '2: a line or a quoted field of more than'} 1 MiB" in message
    assert peak < 16 << 20


def test_a_huge_header_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path, "a.csv", "user,item," + "x" * (1 << 20) + "\n1,2,3\n")
    assert f"{path}:1: the first line is longer than 1 MiB" in refusal(read_interactions, path)


def test_files_that_are_read_whole_have_a_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "UNPACKED_BYTES", 1 << 16)
    pl.DataFrame({"user": ["a"], "item": ["x"]}).write_parquet(tmp_path / "a.parquet")
    plain = (tmp_path / "a.parquet").read_bytes()
    path = write(tmp_path, "b.parquet", gzip.compress(plain + bytes(1 << 20)))
    assert f"{path}: unpacks to more than 0 MiB; unpack it" in refusal(read_parquet, path)
    path = write(tmp_path, "c.parquet", gzip.compress(plain))
    assert len(read_parquet(path)) == 1


@pytest.mark.parametrize("depth", [900, 100_000])
@pytest.mark.parametrize("kind", ["[]", '{"a":}'])
def test_deep_json_is_read_or_refused(tmp_path: Path, kind: str, depth: int) -> None:
    deep = kind[:-1] * depth + "1" + kind[-1] * depth
    row = '{"user": 1, "item": 2, "time": 3, "x": DEEP}\n'.replace("DEEP", deep)
    first = '{"user": 1, "item": 2, "time": 3, "x": [1]}\n'
    for content in (row, first + row, first + row.replace("3", "NaN"), deep):
        for name in ("a.jsonl", "reviews.json"):
            path = write(tmp_path, name, content)
            try:
                found = str(len(read_interactions(path, format="jsonl")))
            except DataError as error:
                found = str(error)
            assert found == str(content.count("\n")) or found.startswith(f"{path}:")
            assert "\n" not in found
    if depth > 1000:
        path = write(tmp_path, "a.json", f'{{"i": {deep}}}')
        assert refusal(read_items, path).startswith(f"{path}:")
