"""Top-k lists of many users, written by function and by command."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl
import pytest
import torch

from atjt_ext.cli.main import main
from atjt_ext.data import DataError, Interactions, Sequences, to_sequences
from atjt_ext.runs import recommendations as batch_recommendations
from atjt_ext.runs.build import load_models
from atjt_ext.runs.data import everything_known
from atjt_ext.runs.folder import Run
from atjt_ext.runs.recommendations import users_named, write_recommendations
from atjt_ext.training import belief_sources
from atjt_ext.training.joint_models import JointModels
from helpers.small_run import make_run


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return make_run(tmp_path_factory.mktemp("runs") / "a")


@pytest.fixture(scope="module")
def models(run: Run) -> JointModels:
    return load_models(run, run.sequences())


def expected(models: JointModels, sequences: Sequences, users: list[int], k: int) -> pl.DataFrame:
    """By the whole matrix of scores, a row at a time."""
    rows = []
    model = models.recommender.eval()
    for user in users:
        history = sequences.items_of(user)
        with torch.no_grad():
            state = model.encode(history[-10:][None])[0, -1]
            scores = model.item_table() @ state
        scores[0] = scores[history] = -torch.inf
        best, items = scores.sort(descending=True, stable=True)
        for rank in range(min(k, int((best > -torch.inf).sum()))):
            item = sequences.item_ids[int(items[rank]) - 1]
            rows.append((sequences.user_ids[user], rank + 1, item, float(best[rank])))
    return pl.DataFrame(rows, schema=["user", "rank", "item", "score"], orient="row")


def assert_same(frame: pl.DataFrame, wanted: pl.DataFrame) -> None:
    assert frame.columns == ["user", "rank", "item", "score"]
    assert frame.dtypes == [pl.String, pl.Int32, pl.String, pl.Float32]
    assert frame.drop("score").rows() == wanted.drop("score").rows()
    assert frame["score"].to_list() == pytest.approx(wanted["score"].to_list(), abs=1e-5)


@pytest.mark.parametrize("rows_per_part", [2**20, 35])
def test_everybody_gets_the_best_unseen_items_in_order(
    run: Run,
    models: JointModels,
    tmp_path: Path,
    rows_per_part: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(batch_recommendations, "_ROWS_PER_PART", rows_per_part)
    sequences, path = run.sequences(), tmp_path / "deep" / "recs.parquet"
    users = torch.arange(sequences.num_users)
    rows = write_recommendations(path, models, everything_known(sequences, users), k=7)
    assert rows == 7 * 60
    assert_same(pl.read_parquet(path), expected(models, sequences, users.tolist(), 7))
    assert [one.name for one in path.parent.iterdir()] == ["recs.parquet"]


def test_names_of_files_are_no_patterns(run: Run, models: JointModels, tmp_path: Path) -> None:
    sequences = run.sequences()
    (tmp_path / "r1.parquet").write_text("not Parquet")
    path = tmp_path / "r[1].parquet"
    known = everything_known(sequences, torch.tensor([3]))
    assert write_recommendations(path, models, known, k=2) == 2
    assert_same(pl.read_parquet(path, glob=False), expected(models, sequences, [3], 2))


@pytest.mark.parametrize("k", [0, -1, 41])
def test_k_must_be_a_number_of_items(run: Run, models: JointModels, tmp_path: Path, k: int) -> None:
    known = everything_known(run.sequences(), torch.tensor([3]))
    with pytest.raises(ValueError, match=rf"k must be in 1\.\.40 \(number of items\), got {k}"):
        write_recommendations(tmp_path / "recs.parquet", models, known, k=k)
    assert list(tmp_path.iterdir()) == []


def test_a_list_of_users_may_begin_with_a_byte_order_mark(run: Run, tmp_path: Path) -> None:
    (tmp_path / "ids.txt").write_text("u03\nu11\n", encoding="utf-8-sig")
    assert users_named(run.sequences(), tmp_path / "ids.txt").tolist() == [3, 11]


def test_where_few_items_are_unseen_lists_are_short(
    run: Run, models: JointModels, tmp_path: Path
) -> None:
    sequences, path = run.sequences(), tmp_path / "recs.parquet"
    users = torch.tensor([31, 2])
    write_recommendations(path, models, everything_known(sequences, users), k=40)
    frame = pl.read_parquet(path)
    assert_same(frame, expected(models, sequences, [31, 2], 40))
    unseen = 40 - len(set(sequences.items_of(31).tolist()))
    assert (frame["user"] == sequences.user_ids[31]).sum() == unseen < 40


def test_histories_are_read_as_in_training_and_prepared_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = make_run(tmp_path / "run", recipe="default", gate_auc=0.0)
    models, sequences = load_models(made, made.sequences()), made.sequences()
    data = everything_known(sequences, torch.arange(sequences.num_users))
    assert models.as_read(data).read is not None
    prepared = []
    extended_weights = belief_sources.extended_weights

    def spy(*arguments: Any) -> torch.Tensor:
        prepared.append(arguments)
        return extended_weights(*arguments)

    monkeypatch.setattr(belief_sources, "extended_weights", spy)
    monkeypatch.setattr(batch_recommendations, "_ROWS_PER_PART", 35)
    write_recommendations(tmp_path / "recs.parquet", models, data, k=5)
    assert len(prepared) == 1
    items, _ = models.recommend(data, k=5)
    written = pl.read_parquet(tmp_path / "recs.parquet")["item"].to_list()
    assert written == sequences.decode_items(items.flatten())


def test_the_command_writes_all_some_and_one(
    run: Run, models: JointModels, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sequences, path = run.sequences(), tmp_path / "recs.parquet"
    command = ["recommend", f"--run={run.folder}", f"--out={path}", "--k=3", "--device=cpu"]
    assert main([*command, "--users=all"]) == 0
    assert "180 rows of 60 users" in capsys.readouterr().out
    assert_same(pl.read_parquet(path), expected(models, sequences, list(range(60)), 3))
    chosen = tmp_path / "users.txt"
    chosen.write_text(f"{sequences.user_ids[9]}\n\n{sequences.user_ids[4]}\r\n")
    assert main([*command, f"--users={chosen}"]) == 0
    assert_same(pl.read_parquet(path), expected(models, sequences, [9, 4], 3))
    text = tmp_path / "recs.csv"
    assert main([*command, f"--users={chosen}", f"--out={text}"]) == 0
    assert text.read_text().startswith("user,rank,item,score\n")
    assert pl.read_csv(text).drop("score").rows() == pl.read_parquet(path).drop("score").rows()
    assert main([*command, f"--user={sequences.user_ids[5]}"]) == 0
    assert_same(pl.read_parquet(path), expected(models, sequences, [5], 3))
    assert main([*command, f"--users={chosen}", "--exclude_seen=false", "--k=40"]) == 0
    assert len(pl.read_parquet(path)) == 2 * 40


def test_users_in_a_file_come_once_and_must_exist(run: Run, tmp_path: Path) -> None:
    sequences, path = run.sequences(), tmp_path / "users.txt"
    path.write_text("u07\nu03\nu07\n")
    assert users_named(sequences, path).tolist() == [7, 3]
    path.write_text("u07\n\nnobody\n")
    with pytest.raises(DataError, match=r"users\.txt:3: .*no user 'nobody'"):
        users_named(sequences, path)
    path.write_text("\n")
    with pytest.raises(DataError, match=r"users\.txt: the file is empty"):
        users_named(sequences, path)
    path.write_bytes(b"u07\n\xff\n")
    with pytest.raises(DataError, match=r"users\.txt:2: not UTF-8 text"):
        users_named(sequences, path)


def test_users_in_a_file_have_their_ids_as_written(tmp_path: Path) -> None:
    ids = [" u", "u", "u ", "u\u2028v", "u\x85v", "u\x0bv", "u\x1cv", "\ufeffu", "u\rv", "u\tv"]
    sequences = to_sequences(Interactions(pl.DataFrame({"user": ids, "item": ids})))
    path = tmp_path / "users.txt"
    for end in ("\n", "\r\n"):
        for start in ("", "\ufeff"):
            path.write_bytes((start + end.join(["u", *ids]) + end).encode())
            assert users_named(sequences, path).tolist() == [1, 0, *range(2, len(ids))]


@pytest.mark.parametrize(
    ("options", "status", "message"),
    [
        ([], 2, "exactly one of --user ID and --users all|FILE"),
        (["--user=u01", "--users=all"], 2, "exactly one of --user ID and --users all|FILE"),
        (["--users=all"], 2, "--users needs --out FILE.parquet"),
        (["--users=all", "--out=x.tsv"], 1, "out must end in .parquet or .csv, got 'x.tsv'"),
        (
            ["--users=all", "--out=x.parquet", "--k=41"],
            1,
            "k must be in 1..40 (number of items), got 41",
        ),
    ],
)
def test_wrong_calls_are_refused(
    run: Run, options: list[str], status: int, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["recommend", f"--run={run.folder}", *options]) == status
    assert message in capsys.readouterr().err
