"""What the command line refuses: one line, a status, nothing half-written."""

from __future__ import annotations

import gzip
import re
import shutil
from pathlib import Path

import pytest

from atjt_ext.cli.main import main
from atjt_ext.runs.folder import Run
from helpers.command_line import SMALL, refusal

# On this little data the noise model says much the same of everybody.
pytestmark = pytest.mark.filterwarnings("ignore::atjt_ext.training.trainer.WeightsCollapsedWarning")


HEADER = "user,item,time\n"
BAD_FILES = {
    "missing column": ("a.csv", b"user,time\nu1,3\n", r"a.csv"),
    "non-numeric time": (
        "b.csv",
        f"{HEADER}u1,i1,1\nu1,i2,soon\n".encode(),
        "b.csv:3.*'time'.*'soon'",
    ),
    "empty file": ("c.csv", b"", "c.csv"),
    "header only": ("d.csv", HEADER.encode(), "d.csv"),
    "two interactions": (
        "e.csv",
        f"{HEADER}u1,i1,1\nu1,i2,2\nu1,i3,3\nu2,i1,1\nu2,i2,2\n".encode(),
        "e.csv: user 'u2' has 2 interactions.*min_length=3",
    ),
    "truncated gz": ("f.csv.gz", gzip.compress(HEADER.encode() * 99)[:-9], "f.csv.gz"),
}


@pytest.mark.parametrize("case", BAD_FILES)
def test_a_bad_file_is_one_line_naming_it_and_leaves_nothing(
    case: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    name, content, pattern = BAD_FILES[case]
    (tmp_path / name).write_bytes(content)
    out = tmp_path / "run"
    message = refusal(capsys, "train", str(tmp_path / name), f"--out={out}")
    assert re.search(pattern, message), message
    assert not out.exists()


def test_an_unknown_user_is_named(trained_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    message = refusal(capsys, "recommend", f"--run={trained_folder}", "--user=nobody")
    assert "no user 'nobody'; known are 'u00'" in message


def test_too_many_items_are_refused(
    trained_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    message = refusal(capsys, "recommend", f"--run={trained_folder}", "--user=u01", "--k=41")
    assert "k must be in 1..40 (number of items), got 41" in message


def test_a_checkpoint_of_another_catalogue_is_refused(
    trained_folder: Path, ratings_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "other.csv"
    rows = (f"u{user},x{(user + n) % 12},{n}\n" for user in range(4) for n in range(9))
    other.write_text(HEADER + "".join(rows))
    message = refusal(capsys, "evaluate", f"--run={trained_folder}", f"--file={other}")
    assert "trained on another catalogue: 40 ids" in message
    assert "other.csv has 12; it lacks 'i00', 'i01', 'i02' and 37 more, it adds 'x0'" in message
    message = refusal(capsys, "train", str(other), f"--out={trained_folder}", *SMALL, "--resume")
    assert "trained on another catalogue" in message
    shuffled = tmp_path / "shuffled.csv"
    rows = ratings_file.read_text().splitlines()
    shuffled.write_text("\n".join([rows[0], *reversed(rows[1:])]) + "\n")
    message = refusal(capsys, "train", str(shuffled), f"--out={trained_folder}", *SMALL, "--resume")
    assert "users and items that the run was trained on in another order" in message


def test_a_folder_that_holds_a_run_is_not_overwritten(
    trained_folder: Path, ratings_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for file in (str(ratings_file), "not even read"):
        message = refusal(capsys, "train", file, f"--out={trained_folder}", *SMALL)
        assert "holds a run already: continue it (--resume), or choose another folder" in message


def test_resuming_with_another_config_says_what_changed(
    trained_folder: Path, ratings_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [
        "train",
        str(ratings_file),
        f"--out={trained_folder}",
        *SMALL,
        "--resume",
        "--seed=9",
    ]
    assert main(arguments) == 1
    assert "another config (trainer.seed: 0 -> 9)" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["evaluate", "recommend"])
def test_a_folder_without_a_run_is_refused(
    command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    extra = ["--user=u1"] if command == "recommend" else []
    assert "no run here" in refusal(capsys, command, f"--run={tmp_path}", *extra)


def test_a_value_out_of_range_is_named(
    ratings_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    message = refusal(capsys, "train", str(ratings_file), f"--out={tmp_path / 'x'}", "--epochs=0")
    assert message == "error: epochs must be at least 1, got 0"
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("--valid_metric=HR@1", "valid_metric must be one of HR@5"),
        ("--num_folds=1000", "num_folds must be in 1..60"),
        ("--num_heads=3", "num_heads must divide embedding_dim"),
        ("--device=nonsense", "device must be like cpu, cuda or cuda:1, got nonsense"),
        ("--seed=10000000000000000", "seed must be below 2**32"),
        ("--num_negatives=2", "num_negatives=2 has an effect only under loss=binary_cross_entropy"),
    ],
)
def test_a_wrong_option_leaves_nothing_behind(
    option: str,
    message: str,
    ratings_file: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / "run"
    assert main(["train", str(ratings_file), f"--out={out}", *SMALL, option]) in (1, 2)
    assert message in capsys.readouterr().err
    assert not out.exists()


def test_one_amount_of_replacement_takes_the_others_place(
    ratings_file: Path, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    arguments = ["--recipe=joint", *SMALL, "--num_replacements=2", "--epochs=1", "--no_baseline"]
    assert main(["train", str(ratings_file), f"--out={out}", *arguments]) == 0
    trainer = Run(out).config().trainer
    assert (trainer.num_replacements, trainer.replace_ratio) == (2, None)


def test_the_last_recipe_named_is_the_one_trained(ratings_file: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    arguments = ["--recipe=paper", "--recipe=equal_weights", "--epochs=1"]
    assert main(["train", str(ratings_file), f"--out={out}", *arguments]) == 0
    config = Run(out).config()
    assert config.recipe == "equal_weights"
    assert config.trainer.weighting == "equal"
    assert config.model.embedding_dim == 64


def test_an_abbreviated_option_is_refused(ratings_file: Path, tmp_path: Path) -> None:
    with pytest.raises(SystemExit):
        main(["train", str(ratings_file), f"--out={tmp_path / 'x'}", "--rec=paper"])


def test_ids_are_shown_as_they_are(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, out = tmp_path / "odd.csv", tmp_path / "run"
    items = [f"[i{n}] :smile: [/x]" for n in range(8)]
    rows = (f"{u},{items[(u + n) % 8]},{n}\n" for u in range(6) for n in range(5))
    path.write_text(HEADER + "".join(rows))
    assert main(["train", str(path), f"--out={out}", "--recipe=equal_weights", "--epochs=1"]) == 0
    assert main(["recommend", f"--run={out}", "--user=0", "--k=3"]) == 0
    shown = capsys.readouterr().out
    assert all(items[n] in shown for n in (5, 6, 7))


@pytest.mark.parametrize("name", ["sequences.parquet", "catalogue.parquet"])
def test_a_damaged_run_folder_is_one_line(
    name: str, trained_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(trained_folder, broken)
    (broken / name).write_bytes((broken / name).read_bytes()[:40])
    assert f"{name}: damaged, or edited" in refusal(capsys, "evaluate", f"--run={broken}")
