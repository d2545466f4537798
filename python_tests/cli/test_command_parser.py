"""Parsing: the options of each call, and errors of one line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from atjt_ext.cli.main import main, parse
from atjt_ext.models.registry import MODELS
from helpers.command_line import refusal

WITH_HEADS = [name for name in MODELS if "num_heads" in MODELS.option_names(name)]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        ("train", "train needs FILE (atjt train --help lists all options)"),
        ("recommend --user 3", "recommend needs --run (atjt recommend --help lists"),
        (
            "train a.csv --drop-below 0.5",
            "no option --drop-below; did you mean --drop_below? (atjt",
        ),
        ("experiment --epoch=3", "there is no option --epoch; did you mean --epochs?"),
        ("train a.csv --bogus 3", "there is no option --bogus (atjt train"),
        (
            "train a.csv --model gru4rec --num_heads 2",
            f"of this model, it is one of {', '.join(WITH_HEADS)}",
        ),
        (
            "train a.csv --noise_embedding_dim 8",
            "where no noise model is trained, it needs weighting=clean_probability or calibrated",
        ),
        (
            "train a.csv --recipe joint --noise_num_heads 4",
            "of this noise model, it is one of bidirectional",
        ),
        ("train a.csv --epochs many", "--epochs must be an integer, got many"),
        ("train a.csv --patience soon", "--patience must be an integer or null, got soon"),
        ("train a.csv --drop_below x", "--drop_below must be a number, got x"),
        ("train a.csv --patience #3", "--patience must be an integer or null, got #3"),
        ("train a.csv --patience=~", "--patience must be an integer or null, got ~"),
        ("train a.csv --epochs 1:30", "--epochs must be an integer, got 1:30"),
        ("train a.csv --weights_act_on=!x", "'both', 'drop' or null, got !x"),
        ("recommend --run a --user", "--user needs a value (atjt"),
        ("recommend --run a --user --k", "got --k; is that the value? Write --user=--k"),
        ("experiment --files=a,,b", "--files must be a,b,... without empty elements, got a,,b"),
        ("train a.csv b.csv", "unexpected argument b.csv (atjt train --help"),
        ("train a.csv -x", "unexpected argument -x (atjt train --help"),
        ("report b.csv", "unexpected argument b.csv (atjt report --help"),
        ("train a.csv --loss bce", "--loss must be one of 'cross_entropy', 'binary_cross_entropy'"),
        ("train a.csv --recipe magic", "--recipe must be one of default, joint, joint_positions"),
        ("magic", "there is no command magic; commands are demo, train, experiment"),
        ("recomend --k 3", "there is no command recomend; did you mean recommend?"),
        ("report --run a --topp 3", "there is no option --topp; did you mean --top?"),
        ("export --run a --out b --format hdf", "--format must be one of safetensors, onnx, got"),
        ("train a.csv --model=x", f"--model must be one of {', '.join(MODELS)}"),
    ],
)
def test_a_wrong_call_is_one_line(
    call: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(call.split())
    assert ended.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ")
    assert message in line


def test_recipe_model_and_weighting_decide_options_and_defaults() -> None:
    _, options = parse(["train", "a.csv", "--recipe", "joint_positions", "--model=din"])
    assert (options.noise_model, options.noise_num_heads) == ("bidirectional", 2)
    assert (options.loss, options.replace_probability) == ("binary_cross_entropy", 0.2)
    _, options = parse(["train", "a.csv", "--weighting=calibrated", "--noise_hidden_dims", "8,4"])
    assert (options.noise_model, options.noise_hidden_dims) == ("target_attention", (8, 4))
    _, options = parse(["train", "a.csv", "--recipe=joint", "--weighting=equal"])
    assert "noise_model" not in options
    assert options.device is None


def test_a_grid_takes_lists_without_brackets(
    ratings_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["experiment", f"--files={ratings_file}", "--noises", "none", "--seeds=0,1"]
    command += ["--recipes=equal_weights", f"--out={tmp_path}", "--epochs=1", "--no_figures"]
    assert main([*command, "--embedding_dim=8", "--num_blocks=1"]) == 0
    cells = json.loads((tmp_path / "results.json").read_text())["cells"]
    assert [cell["cell"]["seed"] for cell in cells] == [0, 1]
    assert "2 cells" in capsys.readouterr().out
    assert "recipe must be one of" in refusal(capsys, *command[:4], "--recipes=magic")


def test_help_says_null_as_the_command_line_does(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["train", "--help"])
    text = capsys.readouterr().out
    assert "null" in text
    assert "None" not in text.replace("NoneType", "")
