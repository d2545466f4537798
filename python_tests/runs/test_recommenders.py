"""A model by its name: from the command line to a run folder and back."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from atjt_ext.cli.main import main
from atjt_ext.data import DataError, simulate_interactions
from atjt_ext.models import S3Rec
from atjt_ext.models.din import DINConfig
from atjt_ext.models.registry import MODELS
from atjt_ext.recognition import recognise_noise
from atjt_ext.runs.build import build_trainer, load_trainer, trainer_for
from atjt_ext.runs.config import RunConfig
from atjt_ext.runs.data import load_sequences
from atjt_ext.runs.folder import Run
from helpers.joint import parameters

pytestmark = pytest.mark.filterwarnings("ignore::atjt_ext.training.trainer.WeightsCollapsedWarning")

SEE_FEATURES = {"din", "wide_deep", "dcn"}
SMALL = ["--batch_size=64", "--max_length=8", "--embedding_dim=8", "--epochs=3", "--no_baseline"]
SMALL += ["--learning_rate=0.02"]
OWN = {"s3rec": ["--pretrain_epochs=2"], "din": ["--hidden_dims=[8]", "--attention_dims=[4]"]}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("data")
    interactions = simulate_interactions(
        num_users=40, num_items=30, seed=1, mean_length=6, max_length=12
    )
    interactions.frame.select("user", "item", "time").write_csv(folder / "ratings.csv")
    items = sorted(set(interactions.frame["item"]))
    lines = ["item_id:token\tclass:token_seq\tbrand:token"]
    lines += [f"{item}\tc{n % 3} c{n % 5}\tb{n % 2}" for n, item in enumerate(items)]
    (folder / "a.item").write_text("\n".join(lines) + "\n")
    return folder / "ratings.csv", folder / "a.item"


@pytest.mark.parametrize("name", MODELS)
def test_options_reach_the_model(name: str) -> None:
    def count(**options: object) -> int:
        made = RunConfig.from_recipe(model=name, **options).model.build(
            9, max_length=50, num_users=3
        )
        return sum(p.numel() for p in made.parameters())

    assert count(embedding_dim=8) < count()


def test_a_model_that_sees_users_must_be_told_how_many() -> None:
    with pytest.raises(ValueError, match="num_users must be given where see_users is on"):
        DINConfig().build(9, max_length=50)
    assert DINConfig(see_users=False).build(9, max_length=50).user_embedding is None


@pytest.mark.parametrize("name", MODELS)
def test_a_run_of_every_model_is_trained_measured_and_reloaded(
    name: str, data: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ratings, items = data
    out = tmp_path / "run"
    arguments = ["train", str(ratings), f"--out={out}", f"--model={name}", *SMALL]
    arguments += [f"--item_file={items}", *OWN.get(name, [])]
    assert main(arguments) == 0
    assert ("pre-training epoch   2/2" in capsys.readouterr().err) is (name == "s3rec")
    run = Run(out)
    config, sequences = run.config(), run.sequences()
    assert config == RunConfig.from_dict(json.loads((out / "config.json").read_text()))
    assert config.model.name == name
    history = run.history()
    assert history[-1].recommender_loss < history[0].recommender_loss
    trainer = load_trainer(run, sequences)
    assert type(trainer.recommender).__name__.lower() == name.replace("_", "")
    if name in SEE_FEATURES:
        assert trainer.recommender.items.width == 3 * 8
    value = f"{run.metrics()['test']['NDCG@10']:.4f}"
    # The features are the run's own: their file may be gone.
    for more in ([], [f"--file={ratings}"]):
        assert main(["evaluate", f"--run={out}", *more]) == 0
        lines = capsys.readouterr().out.splitlines()
        assert value in next(line for line in lines if "NDCG@10" in line)
    assert main(["recommend", f"--run={out}", "--user=u07", "--k=3"]) == 0


def test_pretraining_happens_once_and_depends_on_the_seed_alone(
    data: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ratings, items = data
    common = ["train", str(ratings), "--model=s3rec", *SMALL, "--pretrain_epochs=2"]
    common += [f"--item_file={items}", "--recipe=equal_weights"]
    runs = [tmp_path / name for name in ("a", "b")]
    for run in runs:
        assert main([*common, f"--out={run}"]) == 0
    assert (runs[0] / "metrics.json").read_bytes() == (runs[1] / "metrics.json").read_bytes()
    capsys.readouterr()
    (runs[0] / "metrics.json").unlink()
    assert main([*common, f"--out={runs[0]}", "--resume"]) == 0
    assert "pre-training" not in capsys.readouterr().err
    assert (runs[0] / "metrics.json").read_bytes() == (runs[1] / "metrics.json").read_bytes()


def test_without_features_s3rec_pretrains_on_items_and_segments(
    data: tuple[Path, Path], tmp_path: Path
) -> None:
    arguments = ["train", str(data[0]), f"--out={tmp_path}", "--model=s3rec", *SMALL]
    assert main([*arguments, "--pretrain_epochs=1"]) == 0
    assert isinstance(load_trainer(Run(tmp_path), Run(tmp_path).sequences()).recommender, S3Rec)


def test_models_see_the_features_that_are_named(data: tuple[Path, Path]) -> None:
    ratings, items = data

    def width(**options: object) -> int:
        config = RunConfig.from_recipe(
            model="dcn", embedding_dim=8, item_file=str(items), **options
        )
        trainer = trainer_for(load_sequences(ratings, config), config, None)
        return trainer.recommender.items.width // 8

    assert width() == 1 + 2
    assert width(item_columns=("brand",)) == 1 + 1
    with pytest.raises(DataError, match="no item feature 'genre'; there are 'class', 'brand'"):
        width(item_columns=("genre",))


def test_what_is_not_named_is_no_evidence_of_noise_either(
    data: tuple[Path, Path], tmp_path: Path
) -> None:
    ratings, items = data
    alone = tmp_path / "brands.item"
    lines = [line.split("\t") for line in items.read_text().splitlines()]
    kept = [index for index, name in enumerate(lines[0]) if not name.startswith("class:")]
    alone.write_text("\n".join("\t".join(line[index] for index in kept) for line in lines))

    def noise(item_file: Path, *columns: str) -> torch.Tensor:
        config = RunConfig.from_recipe(item_file=str(item_file), item_columns=columns)
        return recognise_noise(load_sequences(ratings, config)).noise_logits

    named = noise(items, "brand")
    assert torch.equal(named, noise(alone))
    assert not torch.equal(named, noise(items))


def test_a_run_with_named_features_is_evaluated_on_another_file(
    data: tuple[Path, Path], tmp_path: Path
) -> None:
    ratings, items = data
    named = [f"--item_file={items}", "--item_columns=[brand]"]
    arguments = ["train", str(ratings), f"--out={tmp_path}", "--model=dcn", *SMALL, *named]
    assert main(arguments) == 0
    assert main(["evaluate", f"--run={tmp_path}", f"--file={ratings}"]) == 0


def test_resuming_with_other_features_is_refused(
    data: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ratings, items = data
    own = tmp_path / "b.item"
    own.write_text(items.read_text())
    arguments = ["train", str(ratings), f"--out={tmp_path / 'run'}", "--model=dcn", *SMALL]
    arguments += [f"--item_file={own}"]
    assert main(arguments) == 0
    lines = items.read_text().splitlines()
    last, brand = lines[-1][:-1], lines[-1][-1]
    for changed in (
        items.read_text().replace("b1", "b9"),  # another value
        "\n".join([*lines[:-1], last + "10"[int(brand)]]),  # the same values, dealt otherwise
    ):
        own.write_text(changed)
        capsys.readouterr()
        assert main([*arguments, "--resume"]) == 1
        assert "the items' features have changed" in capsys.readouterr().err


def test_a_models_own_options_are_its_alone(
    data: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["train", str(data[0]), f"--out={tmp_path / 'x'}"]
    for wrong in (["--model=din", "--num_heads=2"], ["--attention_dims=[4]"], ["--model=bert4rec"]):
        with pytest.raises(SystemExit):
            main([*arguments, *wrong])
    assert "bert4rec" in capsys.readouterr().err
    assert not (tmp_path / "x").exists()


def test_help_shows_the_options_of_the_model_that_is_named(
    capsys: pytest.CaptureFixture[str],
) -> None:
    def shown(*arguments: str) -> str:
        with pytest.raises(SystemExit):
            main(["train", *arguments, "--help"])
        return capsys.readouterr().out

    assert "--num_cross_layers" in shown("--model=dcn")
    assert "--num_cross_layers" in shown("--model", "dcn")
    assert "--num_cross_layers" not in shown()
    assert "--num_blocks" in shown()


def test_two_models_of_one_seed_start_alike(data: tuple[Path, Path]) -> None:
    config = RunConfig.from_recipe(model="wide_deep", seed=3)
    first, second = (build_trainer(config, 30, num_users=40).recommender for _ in range(2))
    assert torch.equal(parameters(first), parameters(second))
