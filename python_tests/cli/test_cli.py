"""The command line on files of a few hundred lines: what it writes, prints and refuses."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import polars as pl
import pytest
import torch

from atjt_ext.cli.main import main
from atjt_ext.cli.tables import comparison_table
from atjt_ext.evaluation.metrics import RANKING_METRICS
from atjt_ext.runs.folder import Run
from helpers.command_line import SMALL, SMALL_NOISE_MODEL

# On this little data the noise model says much the same of everybody.
pytestmark = pytest.mark.filterwarnings("ignore::atjt_ext.training.trainer.WeightsCollapsedWarning")


def both(run: Path) -> tuple[Path, Path]:
    return run, run / "equal_weights"


def train_help(capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(SystemExit):
        main(["train", "--help"])
    return " ".join(capsys.readouterr().out.split())


# ---- what a run leaves behind -----------------------------------------------------------------


def test_a_run_folder_holds_config_metrics_history_weights_and_checkpoint(
    trained_folder: Path,
) -> None:
    assert {path.name for path in trained_folder.iterdir()} == {
        "catalogue.parquet",
        "checkpoint.pt",
        "comparison.json",
        "config.json",
        "equal_weights",
        "history.jsonl",
        "interactions.parquet",
        "manifest",
        "metrics.json",
        "ranks.parquet",
        "sequences.parquet",
        "weights.parquet",
    }
    config = json.loads((trained_folder / "config.json").read_text())
    assert config["recipe"] == "default"
    assert config["trainer"]["batch_size"] == 32
    metrics = json.loads((trained_folder / "metrics.json").read_text())
    assert set(metrics["test"]) == set(metrics["valid"]) == set(RANKING_METRICS)
    standard = {"AUC", "HR@5", "NDCG@5"}
    assert set(metrics["sampled_test"]) == standard | {"paper_HR@5", "paper_NDCG@5"}
    assert metrics["seen_items_excluded"] is True
    assert metrics["softmax"] == "logits"
    assert 0 < metrics["noise"]["held_out_AUC"] < 1
    history = [
        json.loads(line) for line in (trained_folder / "history.jsonl").read_text().splitlines()
    ]
    assert [record["epoch"] for record in history] == [1, 2, 3, 4]
    assert history[-1]["weights_used"] == "all"
    weights = pl.read_parquet(trained_folder / "weights.parquet")
    assert weights.columns == ["user", "weight"]
    assert weights["user"].to_list() == [f"u{n:02d}" for n in range(60)]
    assert weights["weight"].is_between(0, 1).all()


def test_the_baseline_is_the_same_run_with_equal_weights(trained_folder: Path) -> None:
    ours, baseline = Run(trained_folder), Run(trained_folder / "equal_weights")
    assert baseline.config() == ours.config().with_equal_weights()
    assert baseline.metrics()["noise"] == {"held_out_AUC": None}
    assert baseline.metrics()["weights"] == {"mean": 1.0, "std": 0.0, "min": 1.0, "max": 1.0}
    assert {r.weights_used for r in ours.history()} == {"all"}
    assert {r.weights_used for r in baseline.history()} == {"none"}
    # More is trained on, in the same number of epochs.
    assert ours.history()[0].recommender_loss != baseline.history()[0].recommender_loss


def test_the_table_of_runs_shows_the_metric_watched_in_training(trained_folder: Path) -> None:
    runs = {"default": Run(trained_folder).metrics()}
    for watched in ("MRR@5", "NDCG@10"):
        names = list(comparison_table(runs, watched).columns[0].cells)
        assert names.count(watched) == 1


def test_the_gain_over_the_baseline_comes_with_its_interval(
    trained_folder: Path, ratings_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # Finished: resuming only measures, and prints the same once more.
    assert main(["train", str(ratings_file), f"--out={trained_folder}", "--resume", *SMALL]) == 0
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
    ours, baseline = (Run(folder).metrics()["test"]["NDCG@10"] for folder in both(trained_folder))
    assert gain == pytest.approx(ours - baseline, abs=6e-5)
    written = json.loads((trained_folder / "comparison.json").read_text())
    assert (written["metric"], written["users"]) == ("NDCG@10", 60)
    assert (written["recipe"], written["baseline"]) == ("default", "equal_weights")
    assert [written[name] for name in ("gain", "low", "high")] == pytest.approx(
        [gain, low, high], abs=6e-5
    )
    ranks = pl.read_parquet(trained_folder / "ranks.parquet")
    assert ranks["user"].to_list() == [f"u{n:02d}" for n in range(60)]
    assert (ranks["rank"] <= 10).mean() == pytest.approx(
        Run(trained_folder).metrics()["test"]["HR@10"]
    )


def test_help_is_free_of_markup(capsys: pytest.CaptureFixture[str]) -> None:
    for command in ("train", "experiment", "audit"):
        with pytest.raises(SystemExit):
            main([command, "--help"])
        told = capsys.readouterr().out
        assert "k_core" in told
        assert not re.search(r"``|:\w+:`", told)
    assert "Options of JointTrainer; defaults: recipe default" in train_help(capsys)


@pytest.mark.parametrize("recipe", ["joint", "joint_positions"])
def test_a_joint_run_and_its_baseline_are_alike_until_weights_are_used(
    recipe: str, tmp_path: Path, ratings_file: Path
) -> None:
    out = tmp_path / recipe
    options = [f"--out={out}", f"--recipe={recipe}", *SMALL, *SMALL_NOISE_MODEL]
    assert main(["train", str(ratings_file), *options]) == 0
    ours, baseline = Run(out).history(), Run(out / "equal_weights").history()
    # Warm-up epochs use weights of one: there both runs are the same to the last bit.
    assert [r.recommender_loss for r in ours[:2]] == [r.recommender_loss for r in baseline[:2]]
    assert ours[-1].weights_used == "all"
    assert main(["evaluate", f"--run={out}"]) == 0  # what was saved can be loaded


def test_two_runs_with_one_seed_write_the_same_bytes(
    trained_folder: Path, tmp_path: Path, ratings_file: Path
) -> None:
    again = tmp_path / "again"
    assert main(["train", str(ratings_file), f"--out={again}", "--no_baseline", *SMALL]) == 0
    assert not (again / "equal_weights").exists()
    assert (again / "metrics.json").read_bytes() == (trained_folder / "metrics.json").read_bytes()
    other = tmp_path / "other"
    arguments = ["train", str(ratings_file), f"--out={other}", "--no_baseline", *SMALL, "--seed=1"]
    assert main(arguments) == 0
    assert (other / "metrics.json").read_bytes() != (trained_folder / "metrics.json").read_bytes()


def test_the_data_of_a_run_come_back_as_they_were(trained_folder: Path, ratings_file: Path) -> None:
    frame = pl.read_csv(ratings_file).sort("user", "time")
    sequences = Run(trained_folder).sequences()
    for user in ("u00", "u31", "u59"):
        items = sequences.decode_items(sequences.items_of(sequences.user_index(user)))
        assert items == frame.filter(pl.col("user") == user)["item"].to_list()


def test_a_recipe_sets_defaults_that_options_override(ratings_file: Path, tmp_path: Path) -> None:
    out = tmp_path / "paper"
    arguments = ["--recipe=paper", "--epochs=1", "--batch_size=32", "--no_baseline"]
    assert main(["train", str(ratings_file), f"--out={out}", *arguments]) == 0
    config = Run(out).config()
    assert (config.recipe, config.model.embedding_dim) == ("paper", 8)
    assert (config.trainer.optimizer, config.trainer.noise_loss_weight) == ("adagrad", 100.0)
    assert (config.trainer.epochs, config.trainer.batch_size) == (1, 32)


# ---- using a run ------------------------------------------------------------------------------


def test_evaluate_repeats_the_metrics_of_the_run(
    trained_folder: Path, ratings_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    value = f"{Run(trained_folder).metrics()['test']['NDCG@10']:.4f}"
    assert main(["evaluate", f"--run={trained_folder}"]) == 0
    assert value in next(line for line in capsys.readouterr().out.splitlines() if "NDCG@10" in line)
    capsys.readouterr()
    # Rows in another order give users and items other codes.
    shuffled = tmp_path / "shuffled.csv"
    pl.read_csv(ratings_file).sample(fraction=1.0, shuffle=True, seed=1).write_csv(shuffled)
    assert main(["evaluate", f"--run={trained_folder}", f"--file={shuffled}"]) == 0
    assert value in next(line for line in capsys.readouterr().out.splitlines() if "NDCG@10" in line)


def test_recommend_speaks_the_users_ids_and_leaves_out_what_was_seen_unless_told(
    trained_folder: Path, ratings_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    frame = pl.read_csv(ratings_file)
    seen = set(frame.filter(pl.col("user") == "u07")["item"])
    for option, left_out in (("true", seen), ("false", set())):
        command = ["recommend", f"--run={trained_folder}", "--user=u07", "--k=40"]
        assert main([*command, f"--exclude_seen={option}"]) == 0
        shown = {word for word in capsys.readouterr().out.split() if re.fullmatch(r"i\d+", word)}
        assert shown == set(frame["item"]) - left_out


@pytest.mark.filterwarnings("default:.*no column of times:UserWarning")
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
        (["shop.csv"], ["shop.csv", "--time_column=when"], ["lists.txt", "--format=sequences"])
    ):
        arguments = [str(tmp_path / given[0]), f"--out={tmp_path / str(number)}", *given[1:]]
        assert main([*common, *arguments]) == 0
        said.append(capsys.readouterr())
    warned = "warning: " + str(tmp_path / "shop.csv") + ":1: no column of times was found"
    assert [warned in one.err for one in said] == [True, False, False]
    assert "is it one of 'when'? Name it with time_column" in said[0].err
    said = [one.out for one in said]
    columns = "shop.csv: user is 'customer_id', item is 'sku'"
    assert f"{columns}, no times: rows are taken in the order of the file\n" in said[0]
    assert f"{columns}, time is 'when'\n" in said[1]
    assert "user is" not in said[2]


def test_info_is_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info"]) == 0
    info = json.loads(capsys.readouterr().out)
    assert {"version", "cuda_architectures", "cpu_isa", "torch", "system", "processor"} <= set(info)
    assert info["packages"].keys() == {"numpy", "polars", "jsonargparse", "rich"}


def test_no_command_prints_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    assert "recommend" in capsys.readouterr().out


# ---- killed and resumed -----------------------------------------------------------------------


def test_a_run_killed_in_mid_epoch_resumes_to_the_same_metrics(
    ratings_file: Path, tmp_path: Path
) -> None:
    arguments = [
        "train",
        str(ratings_file),
        "--no_baseline",
        *SMALL,
        "--epochs=40",
        "--patience=40",
    ]
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    assert main([*arguments, f"--out={whole}"]) == 0

    command = [sys.executable, "-m", "atjt_ext", *arguments, f"--out={broken}"]
    # The same number of threads as in this process: another number may round differently.
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
    ratings_file: Path, tmp_path: Path
) -> None:
    out = tmp_path / "linear"
    arguments = [str(ratings_file), "--no_baseline", *SMALL, "--epochs=1", "--softmax=linear"]
    assert main(["train", *arguments, f"--out={out}"]) == 0
    assert Run(out).metrics()["softmax"] == "linear"
    assert Run(out).config().trainer.softmax == "linear"


def test_resuming_a_finished_run_says_so_and_changes_nothing(
    trained_folder: Path, ratings_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = (trained_folder / "metrics.json").read_bytes()
    assert main(["train", str(ratings_file), f"--out={trained_folder}", *SMALL, "--resume"]) == 0
    said = capsys.readouterr().err
    for title in ("default", "equal weights"):
        assert f"{title}: trained already (epochs: 4)" in said
    assert (trained_folder / "metrics.json").read_bytes() == before
