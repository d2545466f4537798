"""Valid JSON, Parquet and checkpoints with other contents than a run writes: one-line refusals.

A manifest finds every edit. Runs of earlier releases have none, so their contents are checked as
well: most edits here are made in such a run.
"""

from __future__ import annotations

import json
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import torch

from atjt_ext.cli.main import main
from atjt_ext.data.manifest import manifest_path
from atjt_ext.runs.folder import Run
from helpers.small_run import make_run, without_manifest

NAN = float("nan")
Edit = Callable[[Path], object]


@pytest.fixture(scope="module")
def new_run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return make_run(tmp_path_factory.mktemp("edited") / "new", recipe="default", epochs=2)


@pytest.fixture(scope="module")
def old_run(new_run: Run, tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("edited") / "old"
    return without_manifest(Run(Path(shutil.copytree(new_run.folder, folder))))


def refusal(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str], command: str, *edits: Edit
) -> str:
    """The one line that ``command`` prints for an edited copy of ``run``, which it must refuse."""
    copy = Run(Path(shutil.copytree(run.folder, tmp_path / "copy")))
    user = run.sequences().user_ids[0]
    for edit in edits:
        edit(copy.folder)
    options = {
        "recommend": [f"--user={user}", "--k=3"],
        "report": [f"--out={tmp_path / 'page.html'}"],
        "audit": [f"--out={tmp_path / 'audit'}"],
        "export": [f"--out={tmp_path / 'export'}"],
    }
    capsys.readouterr()
    assert main([command, f"--run={copy.folder}", *options.get(command, [])]) == 1
    *before, line = capsys.readouterr().err.splitlines()
    assert before == []
    assert line.startswith("error: ")
    return line


def text(name: str, content: str) -> Edit:
    return lambda folder: (folder / name).write_text(content)


def option(path: str, value: object) -> Edit:
    """Sets one option in config.json."""

    def edit(folder: Path) -> None:
        config = json.loads((folder / "config.json").read_text())
        part = config
        *parts, last = path.split(".")
        for name in parts:
            part = part[name]
        part[last] = value
        (folder / "config.json").write_text(json.dumps(config))

    return edit


def metric(part: str, change: Callable[[Any], Any]) -> Edit:
    def edit(folder: Path) -> None:
        path = folder / "metrics.json"
        metrics = json.loads(path.read_text())
        path.write_text(json.dumps({**metrics, part: change(metrics[part])}))

    return edit


def epoch(**changes: Any) -> Edit:
    """Changes the last line of history.jsonl."""

    def edit(folder: Path) -> None:
        path = folder / "history.jsonl"
        *lines, last = path.read_text().splitlines()
        path.write_text("\n".join([*lines, json.dumps({**json.loads(last), **changes})]) + "\n")

    return edit


def table(name: str, change: Callable[[pl.DataFrame], pl.DataFrame]) -> Edit:
    def edit(folder: Path) -> None:
        path = folder / f"{name}.parquet"
        change(pl.read_parquet(path)).write_parquet(path)

    return edit


def column(name: str, **columns: pl.Expr) -> Edit:
    return table(name, lambda frame: frame.with_columns(**columns))


def items(change: pl.Expr) -> Edit:
    return column("sequences", items=pl.col("items").list.eval(change))


def renamed(name: str) -> Callable[[pl.DataFrame], pl.DataFrame]:
    return lambda frame: frame.rename({name: "x"})


def five(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.head(5)


def state(change: Callable[[dict[str, Any]], object]) -> Edit:
    """Changes the checkpoint in place."""

    def edit(folder: Path) -> None:
        saved = torch.load(folder / "checkpoint.pt", weights_only=True)
        change(saved)
        torch.save(saved, folder / "checkpoint.pt")

    return edit


def entry(**values: object) -> Edit:
    return state(lambda saved: saved.update(values))


def without(part: str) -> Edit:
    return state(lambda saved: saved.pop(part))


def best_of(saved: dict[str, Any]) -> dict[str, torch.Tensor]:
    parameters: dict[str, torch.Tensor] = saved["best"]["models"]["recommender"]
    return parameters


def parameters(value: float) -> Edit:
    def change(saved: dict[str, Any]) -> None:
        for models in (saved["models"]["recommender"], best_of(saved)):
            next(iter(models.values()))[0] = value

    return state(change)


EACH = pl.element()
EMPTY = pl.col("items").list.head(0)
NO_ITEMS = pl.lit(None, pl.List(pl.Int32))
NO_TEXT = pl.lit(None, pl.String)
HUGE = pl.lit(1e30, pl.Float32)
EDITS: list[tuple[str, str, str, Edit]] = [
    # command, file in the message, what the message says, edit
    *[
        ("recommend", "config.json", "", text("config.json", content))
        for content in ("[]", "null", "3", '"x"', "{}", '{"recipe": 3}', "", "[" * 100_000)
    ],
    ("recommend", "config.json", "embedding_dim", option("model.embedding_dim", "a lot")),
    ("recommend", "config.json", "embedding_dim", option("model.embedding_dim", -3)),
    ("recommend", "config.json", "embedding_dim", option("model.embedding_dim", 8.0)),
    ("recommend", "config.json", "num_blocks", option("model.num_blocks", "1")),
    ("recommend", "config.json", "dropout", option("model.dropout", None)),
    ("recommend", "config.json", "JSON", option("model.dropout", NAN)),
    ("recommend", "config.json", "model must be one of", option("model.name", ["sasrec"])),
    ("recommend", "config.json", "max_length", option("trainer.max_length", "20")),
    ("recommend", "config.json", "batch_size", option("trainer.batch_size", 1.5)),
    ("recommend", "config.json", "seed", option("trainer.seed", "abc")),
    ("recommend", "config.json", "seed", option("trainer.seed", True)),
    ("recommend", "config.json", "weighting", option("trainer.weighting", "none such")),
    ("recommend", "config.json", "epochs", option("trainer.epochs", [])),
    ("recommend", "config.json", "item_columns", option("data.item_columns", 5)),
    ("recommend", "config.json", "recipe", option("recipe", ["x"])),
    ("recommend", "config.json", "trainer must be an object", option("trainer", [])),
    ("recommend", "config.json", "no option 'of_later'", option("trainer.of_later", 1)),
    *[
        ("report", "metrics.json", "", text("metrics.json", content))
        for content in ("[]", "{}", "null", '{"test": {}}', "[" * 100_000)
    ],
    ("report", "metrics.json", "test must be", metric("test", lambda _: {"HR@5": "high"})),
    ("report", "metrics.json", "test lacks HR@5", metric("test", lambda _: {})),
    ("report", "metrics.json", "valid.HR@5", metric("valid", lambda old: {**old, "HR@5": 1.5})),
    ("report", "metrics.json", "kept_epoch", metric("kept_epoch", lambda _: 99)),
    *[
        ("report", "history.jsonl:1", "", text("history.jsonl", f"{content}\n"))
        for content in ("{}", "[]", "null", "3", "[" * 100_000)
    ],
    ("report", "history.jsonl:2", "epoch", epoch(epoch=7)),
    ("report", "history.jsonl:2", "recommender_loss", epoch(recommender_loss="low")),
    ("report", "history.jsonl:2", "weights_used", epoch(weights_used="few")),
    ("report", "history.jsonl:2", "of_later", epoch(of_later=1)),
    ("recommend", "sequences.parquet", "items must be", items(EACH + 10**6)),
    ("evaluate", "sequences.parquet", "items must be", items(EACH * 0)),
    ("audit", "sequences.parquet", "items must be", items(-EACH)),
    ("recommend", "sequences.parquet", "must be List(Int32)", items(EACH.cast(pl.String))),
    ("recommend", "sequences.parquet", "nulls", column("sequences", items=NO_ITEMS)),
    ("recommend", "sequences.parquet", "one value per item", column("sequences", items=EMPTY)),
    ("recommend", "sequences.parquet", "columns", table("sequences", renamed("items"))),
    ("evaluate", "sequences.parquet", "each id once", table("sequences", pl.DataFrame.clear)),
    ("evaluate", "sequences.parquet", "each id once", column("sequences", user=pl.lit("u"))),
    ("recommend", "sequences.parquet", "items must be in 1..5", table("catalogue", five)),
    ("recommend", "catalogue.parquet", "columns", table("catalogue", renamed("item"))),
    ("recommend", "catalogue.parquet", "nulls", column("catalogue", item=NO_TEXT)),
    ("recommend", "catalogue.parquet", "each id once", column("catalogue", item=pl.lit("i"))),
    ("recommend", "interactions.parquet", "in [0, 1]", column("interactions", weight=HUGE)),
    ("recommend", "interactions.parquet", "Float32", column("interactions", weight=pl.lit("a"))),
    *[
        ("recommend", "checkpoint.pt", f"lacks '{part}'", without(part))
        for part in ("num_items", "config", "models", "best", "optimizers", "history", "steps")
    ],
    (
        "recommend",
        "checkpoint.pt",
        "epochs 1, 2, ...",
        state(lambda saved: saved["history"].pop(0)),
    ),
    ("recommend", "checkpoint.pt", "checkpoint of training", entry(history=[{"a": 1}])),
    ("recommend", "checkpoint.pt", "steps", entry(steps="many")),
    ("recommend", "checkpoint.pt", "models", entry(models=[1])),
    ("recommend", "checkpoint.pt", "lacks 'value'", entry(best={"epoch": 1})),
    ("recommend", "checkpoint.pt", "do not fit", state(lambda saved: best_of(saved).popitem())),
    ("evaluate", "checkpoint.pt", "NaN", parameters(NAN)),
    ("export", "checkpoint.pt", "NaN", parameters(float("inf"))),
    ("export", "checkpoint.pt", "newer version", entry(format=3)),
]


@pytest.mark.parametrize(("command", "file", "said", "edit"), EDITS)
def test_an_edit_is_refused_where_no_manifest_finds_it(
    command: str,
    file: str,
    said: str,
    edit: Edit,
    old_run: Run,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    line = refusal(old_run, tmp_path, capsys, command, edit)
    assert f"copy/{file}: " in line
    assert said in line


@pytest.mark.parametrize(
    ("command", "file"),
    [
        ("recommend", "config.json"),
        ("report", "metrics.json"),
        ("report", "history.jsonl"),
        ("evaluate", "sequences.parquet"),
        ("audit", "catalogue.parquet"),
        ("recommend", "interactions.parquet"),
        ("export", "checkpoint.pt"),
        ("evaluate", "manifest/sha256.json"),
    ],
)
@pytest.mark.parametrize("how", ["missing", "edited"])
def test_a_manifest_finds_edited_and_missing_files(
    command: str,
    file: str,
    how: str,
    new_run: Run,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def edit(folder: Path) -> None:
        path = folder / file
        if how == "missing":
            path.unlink()
        elif path.suffix == ".parquet":  # the same table in other bytes
            pl.read_parquet(path).write_parquet(path, compression="uncompressed")
        elif path.suffix == ".pt":
            state(lambda saved: saved.update(steps=saved["steps"] + 1))(folder)
        else:
            path.write_text(path.read_text() + " ")

    line = refusal(new_run, tmp_path, capsys, command, edit)
    # A run without metrics.json has not finished.
    assert file in line
    assert ("missing" if how == "missing" else "edited") in line or "has not finished" in line


def test_a_run_does_not_go_on_with_damaged_files(
    new_run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = Run(Path(shutil.copytree(new_run.folder, tmp_path / "copy")))
    config, sequences = copy.config(), copy.sequences()
    column("ranks", rank=pl.lit(-5))(copy.folder)
    with pytest.raises(RuntimeError, match=r"ranks\.parquet: damaged, or edited"):
        copy.create(config, sequences, resume=True)


def test_a_config_of_a_newer_version_is_refused_with_both_versions(
    old_run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    newer = [option("format", 3), option("atjt_ext", "99.1")]
    line = refusal(old_run, tmp_path, capsys, "recommend", *newer)
    assert "config.json: " in line
    assert "run format 1 to 2 wanted, found 3" in line
    assert "written by atjt_ext 99.1, this is " in line


class Boom:
    """Pickled, a command."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.mark,)


@pytest.mark.parametrize("form", ["torch", "pickle"])
def test_code_in_a_checkpoint_does_not_run(
    form: str, old_run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mark = tmp_path / "ran"

    def edit(folder: Path) -> None:
        path = folder / "checkpoint.pt"
        if form == "torch":
            torch.save({"format": 1, "x": Boom(mark)}, path)
        else:
            path.write_bytes(pickle.dumps(Boom(mark)))

    assert "checkpoint.pt: not a readable checkpoint" in refusal(
        old_run, tmp_path, capsys, "recommend", edit
    )
    assert not mark.exists()


def test_an_unedited_run_of_each_kind_is_read(new_run: Run, old_run: Run) -> None:
    assert manifest_path(new_run.folder).exists()
    assert not manifest_path(old_run.folder).exists()
    for command in ("evaluate", "recommend"):
        user = [f"--user={new_run.sequences().user_ids[0]}"] if command == "recommend" else []
        for run in (new_run, old_run):
            assert main([command, f"--run={run.folder}", *user]) == 0
