"""RecBole's files with a column of weights."""

from __future__ import annotations

import gzip
from pathlib import Path

import polars as pl
import pytest
import torch

from atjt_ext.data import (
    DataError,
    leave_one_out,
    read_interactions,
    simulate_interactions,
    to_sequences,
    weights_table,
)
from atjt_ext.integrations.recbole_files import _lines, add_weights, in_recboles_order
from atjt_ext.recognition import RecognitionConfig, recognise_noise

HEADER = "user_id:token\titem_id:token\ttimestamp:float"


@pytest.fixture
def inter(tmp_path: Path) -> Path:
    """Simulated interactions in a random order."""
    simulated = simulate_interactions(
        num_users=40, num_items=30, seed=1, mean_length=9, max_length=15
    )
    frame = simulated.frame.sample(fraction=1.0, shuffle=True, seed=2)
    rows = frame.select("user", "item", "time").rows()
    path = tmp_path / "shop.inter"
    path.write_text("\n".join([HEADER, *("\t".join(map(str, row)) for row in rows)]))
    return path


def test_every_row_gets_the_weight_of_its_interaction(inter: Path, tmp_path: Path) -> None:
    out = tmp_path / "weighted" / "weighted.inter"
    weights = add_weights(inter, out, seed=3)
    lines, before = out.read_text().splitlines(), inter.read_text().splitlines()
    assert lines[0] == HEADER + "\tweight:float"
    assert [line.rpartition("\t")[0] for line in lines] == before
    written = torch.tensor([float(line.rpartition("\t")[2]) for line in lines[1:]])
    assert torch.equal(written, weights)

    # Straight from the recogniser, found by user and item and time.
    sequences = to_sequences(in_recboles_order(read_interactions(inter)))
    train = leave_one_out(sequences).train
    told = weights_table(train, recognise_noise(train, seed=3).weights)
    wanted = {(u, i, p): w for u, i, p, w in told.rows()}
    frame = in_recboles_order(read_interactions(out)).frame.with_columns(
        weight=pl.Series(written.numpy())
    )
    frame = frame.with_columns(
        position=pl.col("time").rank("ordinal").over("user").cast(pl.Int64) - 1
    )
    judged = 0
    for user, item, position, weight in frame.select("user", "item", "position", "weight").rows():
        expected = wanted.get((user, item, position), 1.0)
        judged += (user, item, position) in wanted
        assert weight == pytest.approx(expected, rel=1e-5)
    assert judged == train.num_interactions
    assert written.std() > 0.01


def test_gzip_blank_lines_and_carriage_returns_are_read(inter: Path, tmp_path: Path) -> None:
    plain = add_weights(inter, tmp_path / "plain.inter")
    odd = tmp_path / "odd.inter.gz"
    odd.write_bytes(gzip.compress(inter.read_text().replace("\n", "\r\n\r\n").encode()))
    assert torch.equal(add_weights(odd, tmp_path / "odd.inter"), plain)
    assert (tmp_path / "odd.inter").read_bytes() == (tmp_path / "plain.inter").read_bytes()


def test_the_order_is_recboles_which_reads_times_as_float32(tmp_path: Path) -> None:
    path, out = tmp_path / "shop.inter", tmp_path / "out.inter"
    # A second apart, and so one time for RecBole: the file's order decides what is held out.
    rows = [f"u{u}\ti{(u + n) % 9}\t{1_600_000_000 + 9 - n}" for u in range(30) for n in range(9)]
    path.write_text("\n".join([HEADER, *rows]))
    weights = add_weights(path, out, held_out=3).reshape(30, 9)
    assert (weights[:, -3:] == 1.0).all()
    assert (weights[:, :-3] != 1.0).any(dim=0).all()


def test_short_users_and_what_is_held_out_weigh_one(inter: Path, tmp_path: Path) -> None:
    inter.write_text(inter.read_text() + "\nnew\ti1\t5\nnew\ti2\t6")
    weights = add_weights(inter, tmp_path / "out.inter", column="w", held_out=3)
    assert weights[-2:].tolist() == [1.0, 1.0]
    assert (tmp_path / "out.inter").read_text().startswith(HEADER + "\tw:float\n")
    users = read_interactions(inter).frame["user"].n_unique()
    assert int((weights == 1.0).sum()) >= 3 * (users - 1)
    whole = add_weights(inter, tmp_path / "out.inter", column="w", held_out=0)
    assert (whole != weights).any()
    with pytest.raises(ValueError, match="held_out=99 leaves no interactions to judge"):
        add_weights(inter, tmp_path / "out.inter", held_out=99)


@pytest.mark.parametrize("rows", [8, 10])
def test_a_file_that_has_changed_since_it_was_read_is_refused(inter: Path, rows: int) -> None:
    inter.write_text("\n".join([HEADER, *["u\ti\t1"] * 9]))
    with pytest.raises(DataError, match=f"9 lines, {rows} when it was read"):
        list(_lines(inter, "w", torch.ones(rows)))
    assert len(list(_lines(inter, "w", torch.ones(9)))) == 10


def test_what_does_not_fit_is_refused_and_nothing_is_written(inter: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.inter"
    weighted = tmp_path / "weighted.inter"
    add_weights(inter, weighted)
    ratings = tmp_path / "ratings.csv"
    ratings.write_text("user,item\na,b\n")
    with pytest.raises(DataError, match=r"weighted.inter:1: the header names 'weight' already"):
        add_weights(weighted, out)
    with pytest.raises(DataError, match=r"source must be an \.inter file"):
        add_weights(tmp_path, out)
    with pytest.raises(DataError, match="name:type"):
        add_weights(ratings, out)
    with pytest.raises(ValueError, match="folds"):
        add_weights(inter, out, config=RecognitionConfig(num_folds=100))
    for held_out in (-1, 2.5):
        with pytest.raises(ValueError, match="held_out must be an integer and at least 0, got"):
            add_weights(inter, out, held_out=held_out)  # type: ignore[arg-type]
    for column in ("", "w:float", "a\tb"):
        with pytest.raises(ValueError, match="column must be a name without ':' or tabs"):
            add_weights(inter, out, column=column)
    for destination in (tmp_path, tmp_path / "out.inter.gz"):
        with pytest.raises(ValueError, match=r"destination must be a plain \.inter file"):
            add_weights(inter, destination)
    assert {path.name for path in tmp_path.iterdir()} == {
        "ratings.csv",
        "shop.inter",
        "weighted.inter",
    }
