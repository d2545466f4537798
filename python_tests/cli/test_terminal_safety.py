"""Ids, names and values from files and shells do nothing to a terminal."""

from __future__ import annotations

import io
import json
from contextlib import suppress
from pathlib import Path

import pytest
from rich.console import Console

from atjt_ext.cli import tables
from atjt_ext.cli.main import _console, _show_warning, main
from atjt_ext.data.errors import printable
from atjt_ext.report.suspicion import Suspicion
from atjt_ext.training.progress import FitProgress
from helpers.command_line import SMALL

EVIL = [
    "\x1b[31mRED\x1b[0m",
    "\x1b]0;title\x07",
    "\x1b[2J\x1b[H",
    "a\rb",
    "\u202eevil",
    "\u2066x\u200f",
    "c\u2028d\x85e",
    "\x9b31m\x7f",
    "[red]x[/red] :smile:",
]
ACTS = "".join(
    character for text in EVIL for character in text if printable(character) != character
)


def harmless(text: str) -> bool:
    return not {*text} & {*ACTS} - {"\n"}


def file_of(folder: Path, name: str = "evil.csv") -> Path:
    users, items = [*EVIL, *"abcdef"], [*reversed(EVIL), *"uvwxyz"]
    rows = [
        f'"{user}","{items[(u + n) % len(items)]}",{n}\n'
        for u, user in enumerate(users)
        for n in range(6)
    ]
    path = folder / name
    path.write_text("user,item,time\n" + "".join(rows), newline="")
    return path


def test_hostile_ids_and_names_print_as_escapes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, run = file_of(tmp_path, "\x1b[5m\u202e.csv"), tmp_path / "\x1b[7mrun\x9b\n"
    arguments = ["--recipe=equal_weights", *SMALL, "--epochs=1"]
    assert main(["train", str(path), f"--out={run}", *arguments]) == 0
    for user in EVIL:
        assert main(["recommend", f"--run={run}", f"--user={user}", "--k=12"]) == 0
    assert main(["audit", f"--run={run}", "--top=50"]) == 0
    assert main(["evaluate", f"--run={run}", f"--file={path}"]) == 0
    assert main(["recommend", f"--run={run}", "--users=all", f"--out={run}/\x1br.csv"]) == 0
    assert main(["report", f"--run={run}"]) == 0
    shown = capsys.readouterr()
    assert harmless(shown.out)
    assert harmless(shown.err)
    for text in EVIL:
        assert printable(text) in shown.out
    assert r"\x1b[7mrun\x9b\n" in shown.out


@pytest.mark.parametrize(
    "call",
    [
        "{}",
        "train {}",
        "train a.csv --item_column={}",
        "train a.csv --{}",
        "train a.csv --epochs={}",
        "train a.csv --recipe={}",
        "recommend --run={} --user=a",
        "experiment --config={}",
        "experiment --files=a.csv --noises={}",
    ],
)
def test_errors_print_escapes(
    call: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a.csv").write_text("user,item,time\n")
    with suppress(SystemExit):
        assert main([part.format("".join(EVIL)) for part in call.split()]) in (1, 2)
    shown = capsys.readouterr().err
    assert harmless(shown)
    assert shown.startswith("error: ")
    assert shown.count("\n") == 1


@pytest.mark.filterwarnings("default:.*no column of times")
def test_a_grid_prints_escapes_in_all_its_processes(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / f"{''.join(EVIL[:-1])}.csv"
    path.write_text(file_of(tmp_path).read_text().replace("time", "when", 1))
    command = ["experiment", f"--files={json.dumps([str(path)])}", "--noises=none"]
    command += ["--seeds=0", "--recipes=equal_weights", "--epochs=1", "--embedding_dim=8"]
    command += ["--num_blocks=1", "--no_figures", f"--out={tmp_path / EVIL[0]}"]
    assert main([*command, "--jobs=2"]) == 0
    shown = capfd.readouterr()
    assert "no column of times" in shown.err
    assert printable(path.name) in shown.err
    assert harmless(shown.err)
    assert harmless(shown.out)


def test_every_table_prints_escapes(capsys: pytest.CaptureFixture[str]) -> None:
    evil = "".join(EVIL)
    console = _console()
    console.print(evil)
    console.print(tables.recommendation_table(evil, [evil], [1.0], exclude_seen=True))
    row = {"user": evil, "length": 3, "noise_share": 0.5, "suspicious": 1}
    console.print(tables.noisy_users_table([row]))
    numbers = {"rank": 1, "position": 1, "p_noise": 0.9, "is_noise": None, "from_end": 1}
    numbers |= {"item_users": 1, "item_percentile": 0.0, "neighbours": 1, "neighbours_met": 0}
    numbers |= {"times_met": 0, "times_expected": 0.0, "user_share": None}
    console.print(tables.suspicions_table([Suspicion(user=evil, item=evil, **numbers)]))
    assert harmless(capsys.readouterr().out)


def test_warnings_and_progress_print_escapes(capsys: pytest.CaptureFixture[str]) -> None:
    evil = "".join(EVIL)
    _show_warning(UserWarning(f"{evil}: two\nlines"))
    shown = capsys.readouterr().err
    assert harmless(shown)
    assert shown.endswith(": two lines\n")
    output = io.StringIO()
    progress = FitProgress(
        evil, total_epochs=1, valid_metric="NDCG@10", console=Console(file=output)
    )
    with progress:
        progress.message_once(f"{evil}: x")
        progress.message(evil)
    assert harmless(output.getvalue())
    assert printable(evil) in output.getvalue()
