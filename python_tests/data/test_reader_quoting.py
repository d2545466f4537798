"""Quotes that quote fields, quotes that do not, and files in which that is unclear."""

from __future__ import annotations

import csv
import io
import random
import warnings
from pathlib import Path

import pytest

from atjt_ext.data import read_csv, read_interactions
from atjt_ext.data.formats import Quoting
from atjt_ext.data.readers import streams
from helpers.layouts import ML_MOVIES, ML_RATINGS
from helpers.reading import column, refusal, write

HEADER = "user_id\titem_id\ttitle\ttimestamp\n"
STRAY = {(1, 2): '"Blue (live)', (7, 3): 'Long mix 12"', (8, 0): 'a 5" disk', (9, 1): '"Ode'}


def tunes(changed: dict[tuple[int, int], str]) -> list[str]:
    """60 lines of a TSV file, with titles that are changed."""
    return [
        f"u{u}\ti{(u + t) % 9}\t{changed.get((u, t), f'Tune {u}{t}')}\t{t}\n"
        for u in range(10)
        for t in range(6)
    ]


@pytest.mark.parametrize("size", [1 << 25, 50])
@pytest.mark.parametrize("places", [list(STRAY), list(STRAY)[:2], list(STRAY)[:1], []])
def test_stray_quotes_swallow_no_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, places: list[tuple[int, int]], size: int
) -> None:
    monkeypatch.setattr(streams, "CHUNK_BYTES", size)
    lines = tunes({place: STRAY[place] for place in places})
    path = write(tmp_path, "a.tsv", HEADER + "".join(lines))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        got = read_interactions(path)
    wanted = [line[:-1].split("\t")[2] for line in lines]
    assert column(got, "title") == wanted
    assert column(read_interactions(path, quoting="none"), "title") == wanted


def test_rows_that_could_be_one_field_are_said(tmp_path: Path) -> None:
    path = write(tmp_path, "a.tsv", HEADER + "".join(tunes(STRAY | {(9, 1): "Ode"})))
    with pytest.warns(
        UserWarning, match=r"a\.tsv:10: a quoted field of several lines.*quoting=none"
    ):
        assert len(read_csv(path)) == 60
    swallowed = read_csv(path, quoting="csv")
    assert len(swallowed) == 60 - 37  # what the user asked for


def test_a_bad_line_between_stray_quotes_does_not_hide_rows(tmp_path: Path) -> None:
    lines = tunes({(1, 2): '"Blue (live)', (7, 3): 'Long mix 12"'})
    lines[20] = "u3\ti5\tTune\n"
    path = write(tmp_path, "a.tsv", HEADER + "".join(lines))
    message = refusal(read_csv, path)
    assert message.startswith(
        f"{path}:10: a quoted field of several lines, which would be rows of 4"
    )
    assert message.endswith("pass quoting=csv or quoting=none")
    assert f"{path}:22: 3 fields, wanted 4" in refusal(read_csv, path, quoting="none")


def test_stray_quotes_in_a_csv_file_that_needs_its_quotes_are_refused(tmp_path: Path) -> None:
    text = 'user,item,title\n1,x,"a, b"\n2,y,"never closed\n3,z,c\n'
    path = write(tmp_path, "a.csv", text)
    assert refusal(read_csv, path, time_column="").startswith(f"{path}:3: broken quoting")
    for option in ("auto", "csv"):
        assert "quoting=none takes quotes as ordinary" in refusal(
            read_csv, path, time_column="", quoting=option
        )


@pytest.mark.parametrize("size", [20, 100, 700])
def test_a_quote_that_never_closes_swallows_no_rows_of_a_large_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    monkeypatch.setattr(streams, "CHUNK_BYTES", size)
    monkeypatch.setattr(streams, "LINE_BYTES", 200)
    lines = tunes({(1, 2): '"Blue (live)'})
    path = write(tmp_path, "a.tsv", HEADER + "".join(lines))
    assert column(read_csv(path), "title") == [line[:-1].split("\t")[2] for line in lines]
    hint = "wanted shorter lines; quoting=none takes quotes as ordinary characters"
    for option, title in (("csv", "b"), ("auto", '"c\td"')):  # the last needs its quotes
        path = write(tmp_path, "a.tsv", HEADER + f"u\ti\t{title}\t1\n" + "".join(lines))
        message = refusal(read_csv, path, quoting=option)
        assert message.startswith(f"{path}:11: a line or a quoted field of more than 0 MiB")
        assert message.endswith(hint)
    # A long line without quotes.
    path = write(tmp_path, "a.tsv", HEADER + "u\ti\t" + "x" * 3000 + "\t1\n")
    assert refusal(read_csv, path).endswith("wanted shorter lines")


def test_a_quoted_header_shows_csv(tmp_path: Path) -> None:
    path = write(tmp_path, "a.csv", '"user","item","time"\n"1","say "hi" now",5\n"2","y",6\n')
    assert refusal(read_csv, path).startswith(f"{path}:2: broken quoting")


def test_lines_in_quotes_are_one_row(tmp_path: Path) -> None:
    text = 'user,item,note,time\n1,x,"one\n\ntwo, 2\nthree",5\n"2\n",y,"say ""x""",6\n3,5" z,,7\n'
    path = write(tmp_path, "a.csv", text)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        got = read_interactions(path)
    assert got.frame.rows() == [
        ("1", "x", 5, "one\n\ntwo, 2\nthree"), ("2\n", "y", 6, 'say "x"'), ("3", '5" z', 7, None),
    ]  # fmt: skip
    assert read_csv(path, quoting="csv").frame.equals(got.frame)
    assert "fields, wanted 4" in refusal(read_csv, path, quoting="none")


def test_some_fields_that_look_like_rows_are_said(tmp_path: Path) -> None:
    text = 'user,item,note,time\n1,x,"a,b\n2,y,c",5\n2,y,"c\nd",6\n3,z,"e\nf",6\n'
    path = write(tmp_path, "a.csv", text)
    with pytest.warns(UserWarning, match=r"a\.csv:2: .* read as one field\. quoting=csv says"):
        assert column(read_csv(path), "user") == ["1", "2", "3"]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(read_csv(path, quoting="csv")) == 3


def test_a_fully_quoted_file_is_csv(tmp_path: Path) -> None:
    # Both lines of the second row have four fields if quotes are ordinary characters.
    text = '"user"\t"item"\t"time"\t"note"\n"1"\t"x"\t"5"\t""\n"""\t\t"\t"\n1\t"\t"3"\t""\n'
    path = write(tmp_path, "a.tsv", text)
    got = read_csv(path)
    assert got.frame.select("user", "item", "time").rows() == [("1", "x", 5), ('"\t\t', "\n1\t", 3)]


@pytest.mark.parametrize("quoting", [csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC])
def test_what_pythons_writer_writes_is_read_back(tmp_path: Path, quoting: int) -> None:
    rng = random.Random(quoting)
    for _ in range(100):
        rows = [(f"{u}", "".join(rng.choices("a\",\n' é", k=4)) + "x", u * 10) for u in range(1, 9)]
        stream = io.StringIO(newline="")
        writer = csv.writer(stream, quoting=quoting, lineterminator=rng.choice(["\n", "\r\n"]))
        writer.writerow(["user", "item", "time"])
        writer.writerows(rows)
        path = write(tmp_path, "a.csv", stream.getvalue())
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # some fields happen to look like rows
            assert read_csv(path).frame.rows() == rows


def test_movies_with_stray_quotes_are_read(tmp_path: Path) -> None:
    write(tmp_path, "ratings.csv", ML_RATINGS)
    write(tmp_path, "movies.csv", ML_MOVIES + '13,"Blue,Drama\n')
    assert "movies.csv:5: broken quoting" in refusal(read_interactions, tmp_path)
    movies = 'movieId,title,genres\n10,"Blue,Drama\n11,Green,Drama\n12,Red",Drama\n'
    write(tmp_path, "movies.csv", movies)
    with pytest.warns(UserWarning, match="movies.csv:2: a quoted field of several lines"):
        items = read_interactions(tmp_path).items
    assert items is not None
    assert items["title"].to_list() == ['"Blue', "Green", 'Red"']


@pytest.mark.parametrize("quoting", ["", "all", None])
def test_unknown_quoting_is_refused(tmp_path: Path, quoting: Quoting) -> None:
    path = write(tmp_path, "a.csv", "user,item\n1,x\n")
    for read in (read_csv, read_interactions):
        with pytest.raises(ValueError, match="quoting must be one of auto, csv, none, got"):
            read(path, quoting=quoting)


def test_quoting_is_refused_where_it_has_no_effect(tmp_path: Path) -> None:
    path = write(tmp_path, "a.inter", "user_id:token\titem_id:token\n1\t2\n")
    with pytest.raises(ValueError, match="quoting=none has no effect on recbole files"):
        read_interactions(path, quoting="none")
    path = write(tmp_path, "ratings.csv", ML_RATINGS)
    assert len(read_interactions(path, quoting="none")) == 3
