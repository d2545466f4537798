"""The command line on files of a few hundred lines: what it writes, prints and refuses."""

from __future__ import annotations

import gzip
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import polars as pl
import pytest
import torch

from atjt_ext.cli import main
from atjt_ext.data import simulate_interactions
from atjt_ext.run_folder import Run

# On this little data the noise model says much the same of everybody.
pytestmark = pytest.mark.filterwarnings("ignore::atjt_ext.trainer.WeightsCollapsedWarning")

SMALL = ["--batch_size=32", "--max_length=10", "--embedding_dim=16", "--num_blocks=1"]
SMALL += ["--noise_embedding_dim=8", "--noise_hidden_dims=[16]", "--gate_auc=0", "--epochs=4"]


@pytest.fixture(scope="module")
def ratings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("data") / "ratings.csv"
    interactions = simulate_interactions(
        num_users=60, num_items=40, seed=1, mean_length=8, max_length=20
    )
    interactions.frame.select("user", "item", "time").write_csv(path)
    return path


@pytest.fixture(scope="module")
def trained(ratings: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "a"
    assert main(["train", str(ratings), f"--out={out}", *SMALL]) == 0
    return out


def both(run: Path) -> tuple[Path, Path]:
    return run, run / "equal_weights"


def train_help(capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(SystemExit):
        main(["train", "--help"])
    return " ".join(capsys.readouterr().out.split())


def refusal(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """The one line that a refused command prints."""
    assert main(list(arguments)) in (1, 2)
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1, lines
    assert lines[0].startswith("error: ")
    return lines[0]


# ---- what a run leaves behind -----------------------------------------------------------------


def test_a_run_folder_holds_config_metrics_history_weights_and_checkpoint(trained: Path) -> None:
    assert {path.name for path in trained.iterdir()} == {
        "catalogue.parquet",
        "checkpoint.pt",
        "comparison.json",
        "config.json",
        "equal_weights",
        "history.jsonl",
        "interactions.parquet",
        "metrics.json",
        "ranks.parquet",
        "sequences.parquet",
        "weights.parquet",
    }
    config = json.loads((trained / "config.json").read_text())
    assert config["recipe"] == "default"
    assert config["trainer"]["batch_size"] == 32
    metrics = json.loads((trained / "metrics.json").read_text())
    names = {f"{kind}@{k}" for kind in ("HR", "NDCG", "MRR") for k in (5, 10, 20)}
    assert set(metrics["test"]) == set(metrics["valid"]) == names
    standard = {"AUC", "HR@5", "NDCG@5"}
    assert set(metrics["sampled_test"]) == standard | {"paper_HR@5", "paper_NDCG@5"}
    assert metrics["seen_items_excluded"] is True
    assert metrics["softmax"] == "logits"
    assert 0 < metrics["noise"]["held_out_AUC"] < 1
    history = [json.loads(line) for line in (trained / "history.jsonl").read_text().splitlines()]
    assert [record["epoch"] for record in history] == [1, 2, 3, 4]
    assert history[-1]["weights_used"] == "all"
    weights = pl.read_parquet(trained / "weights.parquet")
    assert weights.columns == ["user", "weight"]
    assert weights["user"].to_list() == [f"u{n:02d}" for n in range(60)]
    assert weights["weight"].is_between(0, 1).all()


def test_the_baseline_is_the_same_run_with_equal_weights(trained: Path) -> None:
    ours, baseline = Run(trained), Run(trained / "equal_weights")
    assert baseline.config() == ours.config().with_equal_weights()
    assert baseline.metrics()["noise"] == {"held_out_AUC": None}
    assert baseline.metrics()["weights"] == {"mean": 1.0, "std": 0.0, "min": 1.0, "max": 1.0}
    assert {r.weights_used for r in ours.history()} == {"all"}
    assert {r.weights_used for r in baseline.history()} == {"none"}
    # More is trained on, in the same number of epochs.
    assert ours.history()[0].recommender_loss != baseline.history()[0].recommender_loss


def test_the_gain_over_the_baseline_comes_with_its_interval(
    trained: Path, ratings: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # Finished: resuming only measures, and prints the same once more.
    assert main(["train", str(ratings), f"--out={trained}", "--resume", *SMALL]) == 0
    number = r"([+-]0\.\d{4})"
    told = re.search(
        rf"^NDCG@10 against equal weights: {number}, 95 % over users {number} to {number}: "
        r"(better|worse|no difference shown) by this one seed ",
        capsys.readouterr().out,
        re.M,
    )
    assert told is not None
    gain, low, high = map(float, told.groups()[:3])
    assert (told[4] == "better") == (low > 0)
    assert (told[4] == "worse") == (high < 0)
    assert low < gain < high
    ours, baseline = (Run(folder).metrics()["test"]["NDCG@10"] for folder in both(trained))
    assert gain == pytest.approx(ours - baseline, abs=6e-5)
    written = json.loads((trained / "comparison.json").read_text())
    assert (written["metric"], written["users"]) == ("NDCG@10", 60)
    assert (written["recipe"], written["baseline"]) == ("default", "equal_weights")
    assert [written[name] for name in ("gain", "low", "high")] == pytest.approx(
        [gain, low, high], abs=6e-5
    )
    ranks = pl.read_parquet(trained / "ranks.parquet")
    assert ranks["user"].to_list() == [f"u{n:02d}" for n in range(60)]
    assert (ranks["rank"] <= 10).mean() == pytest.approx(Run(trained).metrics()["test"]["HR@10"])


def test_help_is_free_of_markup(capsys: pytest.CaptureFixture[str]) -> None:
    for command in ("train", "experiment", "audit"):
        with pytest.raises(SystemExit):
            main([command, "--help"])
        told = capsys.readouterr().out
        assert "k_core" in told
        assert not re.search(r"``|:\w+:`", told)
    assert "Options of JointTrainer; the defaults are the default recipe" in train_help(capsys)


def test_a_joint_run_and_its_baseline_are_alike_until_weights_are_used(
    tmp_path: Path, ratings: Path
) -> None:
    out = tmp_path / "joint"
    assert main(["train", str(ratings), f"--out={out}", "--recipe=joint", *SMALL]) == 0
    ours, baseline = Run(out).history(), Run(out / "equal_weights").history()
    # Warm-up epochs use weights of one: there both runs are the same to the last bit.
    assert [r.recommender_loss for r in ours[:2]] == [r.recommender_loss for r in baseline[:2]]


def test_two_runs_with_one_seed_write_the_same_bytes(
    trained: Path, tmp_path: Path, ratings: Path
) -> None:
    again = tmp_path / "again"
    assert main(["train", str(ratings), f"--out={again}", "--no_baseline", *SMALL]) == 0
    assert not (again / "equal_weights").exists()
    assert (again / "metrics.json").read_bytes() == (trained / "metrics.json").read_bytes()
    other = tmp_path / "other"
    arguments = ["train", str(ratings), f"--out={other}", "--no_baseline", *SMALL, "--seed=1"]
    assert main(arguments) == 0
    assert (other / "metrics.json").read_bytes() != (trained / "metrics.json").read_bytes()


def test_the_data_of_a_run_come_back_as_they_were(trained: Path, ratings: Path) -> None:
    frame = pl.read_csv(ratings).sort("user", "time")
    sequences = Run(trained).sequences()
    for user in ("u00", "u31", "u59"):
        items = sequences.decode_items(sequences.items_of(sequences.user_index(user)))
        assert items == frame.filter(pl.col("user") == user)["item"].to_list()


def test_a_recipe_sets_defaults_that_options_override(ratings: Path, tmp_path: Path) -> None:
    out = tmp_path / "paper"
    arguments = ["--recipe=paper", "--epochs=1", "--batch_size=32", "--no_baseline"]
    assert main(["train", str(ratings), f"--out={out}", *arguments]) == 0
    config = Run(out).config()
    assert (config.recipe, config.model.embedding_dim) == ("paper", 8)
    assert (config.trainer.optimizer, config.trainer.noise_loss_weight) == ("adagrad", 100.0)
    assert (config.trainer.epochs, config.trainer.batch_size) == (1, 32)


# ---- using a run ------------------------------------------------------------------------------


def test_evaluate_repeats_the_metrics_of_the_run(
    trained: Path, ratings: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    value = f"{Run(trained).metrics()['test']['NDCG@10']:.4f}"
    assert main(["evaluate", f"--run={trained}"]) == 0
    assert value in next(line for line in capsys.readouterr().out.splitlines() if "NDCG@10" in line)
    assert main(["evaluate", f"--run={trained}", f"--file={ratings}"]) == 0


def test_recommend_speaks_the_users_ids_and_leaves_out_what_was_seen(
    trained: Path, ratings: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["recommend", f"--run={trained}", "--user=u07", "--k=40"]) == 0
    shown = {word for word in capsys.readouterr().out.split() if re.fullmatch(r"i\d+", word)}
    frame = pl.read_csv(ratings)
    seen = set(frame.filter(pl.col("user") == "u07")["item"])
    assert shown == set(frame["item"]) - seen


def test_train_says_which_columns_it_took_for_what(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [(f"u{user}", f"i{user}{step}", step) for user in range(3) for step in range(4)]
    frame = pl.DataFrame(rows, ["customer_id", "sku", "when"], orient="row")
    frame.write_csv(tmp_path / "shop.csv")
    lines = "".join(f"u{user} 1 2 {user}3 {user}4 {user}5\n" for user in range(3))
    (tmp_path / "lists.txt").write_text(lines)
    common = ["train", "--no_baseline", *SMALL]
    said = []
    for number, given in enumerate(
        (["shop.csv"], ["shop.csv", "--time_column=when"], ["lists.txt"])
    ):
        arguments = [str(tmp_path / given[0]), f"--out={tmp_path / str(number)}", *given[1:]]
        assert main([*common, *arguments]) == 0
        said.append(capsys.readouterr().out)
    columns = "shop.csv: user is 'customer_id', item is 'sku'"
    assert f"{columns}; no times: rows are taken as in order\n" in said[0]
    assert f"{columns}, time is 'when'\n" in said[1]
    assert "user is" not in said[2]


def test_info_is_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info"]) == 0
    info = json.loads(capsys.readouterr().out)
    assert {"version", "cuda_architectures", "cpu_isa", "torch"} <= set(info)


def test_no_command_prints_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    assert "recommend" in capsys.readouterr().out


# ---- killed and resumed -----------------------------------------------------------------------


def test_a_run_killed_in_mid_epoch_resumes_to_the_same_metrics(
    ratings: Path, tmp_path: Path
) -> None:
    arguments = ["train", str(ratings), "--no_baseline", *SMALL, "--epochs=40", "--patience=40"]
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    assert main([*arguments, f"--out={whole}"]) == 0

    command = [sys.executable, "-m", "atjt_ext", *arguments, f"--out={broken}"]
    # The same number of threads as in this process: another one may round differently.
    environment = {**os.environ, "OMP_NUM_THREADS": str(torch.get_num_threads())}
    process = subprocess.Popen(
        command, env=environment, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL
    )
    try:
        deadline = time.monotonic() + 120
        while not (broken / "history.jsonl").exists() or len(Run(broken).history()) < 3:
            assert process.poll() is None, "the run ended before it could be killed"
            assert time.monotonic() < deadline, "the run wrote no history"
            time.sleep(0.005)
        os.kill(process.pid, signal.SIGKILL)
    finally:
        process.kill()
        process.wait()
    assert not (broken / "metrics.json").exists()
    assert len(Run(broken).history()) < 40

    assert main([*arguments, f"--out={broken}", "--resume"]) == 0
    assert (broken / "metrics.json").read_bytes() == (whole / "metrics.json").read_bytes()


def test_softmax_without_logits_is_an_option_that_metrics_remember(
    ratings: Path, tmp_path: Path
) -> None:
    out = tmp_path / "linear"
    arguments = [str(ratings), "--no_baseline", *SMALL, "--epochs=1", "--softmax=linear"]
    assert main(["train", *arguments, f"--out={out}"]) == 0
    assert Run(out).metrics()["softmax"] == "linear"
    assert Run(out).config().trainer.softmax == "linear"


def test_resuming_a_finished_run_says_so_and_changes_nothing(
    trained: Path, ratings: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = (trained / "metrics.json").read_bytes()
    assert main(["train", str(ratings), f"--out={trained}", *SMALL, "--resume"]) == 0
    said = capsys.readouterr().err
    for title in ("default", "equal weights"):
        assert f"{title}: trained already, 4 epochs" in said
    assert (trained / "metrics.json").read_bytes() == before


# ---- refusals: one line, a status, nothing half-written ---------------------------------------

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


def test_a_user_who_has_every_item_is_refused_before_anything_is_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, out = tmp_path / "all.txt", tmp_path / "run"
    path.write_text("u0 1 2 3 4 5\nu1 2 1 6 5 4 3\nu2 1 2 5 6 7 8\n")
    message = refusal(capsys, "train", str(path), f"--out={out}", *SMALL)
    assert message == (
        f"error: {path}: user 'u1' has all 5 items that are trained on, "
        "so no other is left to rank a target against"
    )
    assert not out.exists()
    message = refusal(capsys, "experiment", f"--files=[{path}]", f"--out={out}", "--epochs=1")
    assert "user 'u1' has all 5 items" in message


def test_an_unknown_user_is_named(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    message = refusal(capsys, "recommend", f"--run={trained}", "--user=nobody")
    assert "no user 'nobody'; known are 'u00'" in message


def test_too_many_items_are_refused(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    message = refusal(capsys, "recommend", f"--run={trained}", "--user=u01", "--k=41")
    assert "k must be in 1..40 (the items), got 41" in message


def test_a_checkpoint_of_another_catalogue_is_refused(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "other.csv"
    rows = (f"{user},x{n},{n}\n" for user in ("u1", "u2") for n in range(9))
    other.write_text(HEADER + "".join(rows))
    message = refusal(capsys, "evaluate", f"--run={trained}", f"--file={other}")
    assert "trained on another catalogue: 40 ids" in message
    assert "other.csv has 9" in message
    message = refusal(capsys, "train", str(other), f"--out={trained}", *SMALL, "--resume")
    assert "trained on another catalogue" in message


def test_a_folder_that_holds_a_run_is_not_overwritten(
    trained: Path, ratings: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["train", str(ratings), f"--out={trained}", *SMALL]) == 1
    assert "holds a run already" in capsys.readouterr().err


def test_resuming_with_another_config_says_what_changed(
    trained: Path, ratings: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["train", str(ratings), f"--out={trained}", *SMALL, "--resume", "--seed=9"]
    assert main(arguments) == 1
    assert "another config (trainer.seed: 0 -> 9)" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["evaluate", "recommend"])
def test_a_folder_without_a_run_is_refused(
    command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    extra = ["--user=u1"] if command == "recommend" else []
    assert "no run here" in refusal(capsys, command, f"--run={tmp_path}", *extra)


def test_a_value_out_of_range_is_named(
    ratings: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    message = refusal(capsys, "train", str(ratings), f"--out={tmp_path / 'x'}", "--epochs=0")
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
    ],
)
def test_a_wrong_option_leaves_nothing_behind(
    option: str,
    message: str,
    ratings: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / "run"
    assert main(["train", str(ratings), f"--out={out}", *SMALL, option]) in (1, 2)
    assert message in capsys.readouterr().err
    assert not out.exists()


def test_one_amount_of_replacement_takes_the_others_place(ratings: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    arguments = [*SMALL, "--num_replacements=2", "--epochs=1", "--no_baseline"]
    assert main(["train", str(ratings), f"--out={out}", *arguments]) == 0
    trainer = Run(out).config().trainer
    assert (trainer.num_replacements, trainer.replace_ratio) == (2, None)


def test_the_last_recipe_named_is_the_one_trained(ratings: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    arguments = ["--recipe=paper", "--recipe=equal_weights", "--epochs=1"]
    assert main(["train", str(ratings), f"--out={out}", *arguments]) == 0
    config = Run(out).config()
    assert config.recipe == "equal_weights"
    assert config.trainer.weighting == "equal"
    assert config.model.embedding_dim == 64


def test_an_abbreviated_option_is_refused(ratings: Path, tmp_path: Path) -> None:
    with pytest.raises(SystemExit):
        main(["train", str(ratings), f"--out={tmp_path / 'x'}", "--rec=paper"])


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
    name: str, trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(trained, broken)
    (broken / name).write_bytes((broken / name).read_bytes()[:40])
    assert f"{name}: not readable" in refusal(capsys, "evaluate", f"--run={broken}")
