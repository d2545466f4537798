"""Text on the command line is its own value: YAML reads none of it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from jsonargparse import Namespace

from atjt_ext.cli.main import main, parse
from atjt_ext.cli.parser import CommandParser

YAML_READS_OTHERWISE = [
    *("#sku", "~", "null", "Null", "true", "yes", "off", "&a", "*x", "!tag", "%d", "@a", "`a`"),
    *("[a", "[a]", "{", "{a: 1}", "- x", "? x", "a: b", "a #b", "1e5", "0x10", "010", "1:30"),
    *("2024-01-01", "-2+3", "-5", "'a", '"a"', "|", ">", "", " ", " a ", "a\nb", "a\tb", "\\n"),
    *("\x1b[31m", "\x85", "\u2028", "\ufeff", "日本", "\U0001f600", "\udcff", "text", "...", "---"),
]
# An option of each command, and the rest of a call.
OPTIONS = [
    (["train", "a.csv"], "--item_column"),
    (["train", "a.csv"], "--item_file"),
    (["train", "a.csv"], "--out"),
    (["train", "a.csv"], "--device"),
    (["recommend", "--run=a"], "--user"),
    (["recommend", "--run=a"], "--users"),
    (["recommend"], "--run"),
    (["evaluate", "--run=a"], "--file"),
    (["report", "--run=a"], "--out"),
    (["export", "--run=a"], "--out"),
    (["audit", "a.csv"], "--out"),
    (["audit"], "--run"),
    (["experiment"], "--out"),
    (["experiment"], "--against"),
]


@pytest.fixture(scope="module")
def parser() -> CommandParser:
    """With the file, a text, texts and a number: the commands' own parsers are slow to make."""
    made = CommandParser(prog="atjt x")
    made.add_argument("file", type=str | None, nargs="?", default=None)
    made.add_argument("--name", type=str | None, default=None)
    made.add_argument("--must", type=str, default="here")
    made.add_argument("--names", type=tuple[str, ...], default=())
    made.add_argument("--number", type=int | None, default=3)
    return made


@pytest.mark.parametrize("text", YAML_READS_OTHERWISE)
def test_text_is_its_own_value(text: str, parser: CommandParser) -> None:
    for option in ("--name", "--must"):
        assert parser.parse_args([f"{option}={text}"])[option[2:]] == text
        if not text.startswith("--"):
            assert parser.parse_args([option, text])[option[2:]] == text


@pytest.mark.parametrize("text", YAML_READS_OTHERWISE)
def test_the_file_is_its_own_name(text: str, parser: CommandParser) -> None:
    if not text.startswith("-"):
        assert parser.parse_args([text]).file == text
    options = parser.parse_args(["--number=4", "--", text])
    assert (options.file, options.number) == (text, 4)


@pytest.mark.parametrize("text", YAML_READS_OTHERWISE)
def test_the_elements_of_a_list_are_text(text: str, parser: CommandParser) -> None:
    def names(value: str) -> object:
        return parser.parse_args([f"--names={value}"]).names

    if text.strip() == text != "":
        assert names(f"{text},b") == names(f"[{text}, b]") == (text, "b")
    assert names(json.dumps([text, "a,b"])) == (text, "a,b")


def test_lists_have_brackets_or_none(parser: CommandParser) -> None:
    for value, texts in {
        "": (),
        "[]": (),
        "[a].csv": ("[a].csv",),
        "[[a]]": ("[a]",),
        '["a", 3]': ('"a"', "3"),
        "a": ("a",),
    }.items():
        assert parser.parse_args([f"--names={value}"]).names == texts


def test_the_last_of_equal_options_counts(parser: CommandParser) -> None:
    options = parser.parse_args(["--name=~", "--must=a", "--name", "#b"])
    assert (options.name, options.must, options.names, options.file) == ("#b", "a", (), None)
    assert parser.parse_args([]).name is None


@pytest.mark.parametrize(("call", "option"), OPTIONS)
def test_every_command_keeps_text(call: list[str], option: str) -> None:
    _, options = parse([*call, option, "#~"])
    assert options[option[2:]] == "#~"


def test_numbers_lists_and_flags_keep_their_forms() -> None:
    call = ["experiment", "--seeds", "0,1", "--epochs", "3", "--learning_rate=1e-2", "--no_figures"]
    _, options = parse([*call, "--patience=null", "--num_folds", "2", "--clean_at_test=false"])
    assert (options.seeds, options.epochs, options.learning_rate) == ((0, 1), 3, 0.01)
    assert (options.figures, options.patience, options.num_folds) == (False, None, 2)
    assert options.clean_at_test is False


# ---- files of options -------------------------------------------------------------------------


def in_file(folder: Path, content: str | bytes, *more: str) -> Namespace:
    path = folder / "grid.yaml"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return parse(["experiment", f"--config={path}", *more])[1]


def test_quoted_text_in_a_file_of_options_is_text(tmp_path: Path) -> None:
    texts = YAML_READS_OTHERWISE
    values = {"item_column": "#sku", "files": texts, "user_column": None}
    options = in_file(tmp_path, json.dumps(values))
    assert options["item_column"] == "#sku"
    assert options["files"] == tuple(texts)
    assert options["user_column"] is None
    assert in_file(tmp_path, "item_column: '~'\nfiles: ['null']")["files"] == ("null",)


def test_options_after_the_file_override_it(tmp_path: Path) -> None:
    content = "seeds: [1, 2]\nepochs: 4\nfigures: false\nlearning_rate: 1e-3\npatience: null\n"
    options = in_file(tmp_path, content + "clean_at_test: no\nloss: cross_entropy\n", "--epochs=5")
    wanted = {"seeds": (1, 2), "epochs": 5, "figures": False, "learning_rate": 0.001}
    wanted |= {"patience": None, "clean_at_test": False, "loss": "cross_entropy"}
    assert {name: options[name] for name in wanted} == wanted
    assert in_file(tmp_path, "# nothing").item_column is None


def test_the_printed_options_are_a_file_of_options(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    call = ["experiment", "--item_column=\u202e~", "--files=#a,null", "--epochs=7", "--no_figures"]
    assert main([*call, "--print_config"]) == 0
    printed = capsys.readouterr().out
    assert printed.isascii()
    again, first = in_file(tmp_path, printed), parse(call)[1]
    for options in (again, first):
        options.pop("config")
    assert again == first
    assert again.item_column == "\u202e~"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("item_column: 3", "item_column must be text, in quotes, got 3"),
        ("item_column: 2024-01-01", "item_column must be text, in quotes, got datetime.date"),
        ("out: null", "out must be text, in quotes, got None"),
        ("files: a.csv", "files must be a list of texts, in quotes, got 'a.csv'"),
        ("files: [a.csv, 3]", "files must be a list of texts, in quotes, got a list with 3"),
        ("epochs: [1]", "--epochs must be an integer, got [1]"),
        ("epochs: {a: 1}", "epochs must be a number, a word or a list of them, got a mapping"),
        ("epochs: many", "--epochs must be an integer, got many"),
        ("figures: 3", "figures must be true or false"),
        ("epochs: 1\nepochs: 2", "grid.yaml: epochs is given twice"),
        ("epochz: 1", "grid.yaml: there is no option epochz; did you mean --epochs?"),
        ('{"epochs": 1, "epochs": 2}', "grid.yaml: epochs is given twice"),
        ("config: a", "there is no option config"),
        ("from_a_newer_version: 1", "grid.yaml: there is no option from_a_newer_version"),
        ("- 3", "grid.yaml: wanted a line `name: value` for each option"),
        ("[1", "grid.yaml: line 1: not YAML: expected ',' or ']'"),
        ("a: " + "[" * 5000 + "]" * 5000, "grid.yaml: nested too deeply"),
        ("a: \x1b", "grid.yaml: not YAML: unacceptable character #x001b"),
        (b"\xff\xfe", "grid.yaml: 'utf-8' codec can't decode byte 0xff in position 0"),
        ("a: 2024-99-99", "grid.yaml: month must be in 1..12"),
        ("x" * 2**20 + "x", "grid.yaml: larger than 1 MiB"),
    ],
)
def test_a_file_of_options_that_does_not_fit_is_one_line(
    content: str | bytes, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        in_file(tmp_path, content)
    assert ended.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ")
    assert message in line


def test_a_missing_file_of_options_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for path, reason in ((tmp_path / "no", "No such file"), (tmp_path, "Is a directory")):
        with pytest.raises(SystemExit):
            parse(["experiment", "--config", str(path)])
        assert f"error: {path}: {reason}" in capsys.readouterr().err
