"""SASRec here, in RecTools and in RePlay: NDCG@10 against processor seconds of training.

    python benchmarks/host_libraries.py --file ml-100k.inter --budget 120 --seeds 5 --out build/race

Makes an environment for each library (``python_tests/integrations/environment``, about 2 GB each),
then trains all contenders in turns on one thread, so that noise of the machine hits all alike. One
evaluator ranks for all. Writes race.jsonl, race.md and race.svg into the folder. A race that was
stopped continues with the same command: what is in race.jsonl is not run again.

A JSON file of contenders (--contenders) is a list of objects like
{"name": "ours before", "library": "atjt_ext", "model": {"dropout": 0.5}, "training": {"softmax":
"logits"}} or {"name": "RePlay, windows", "library": "replay", "model": {"dropout": 0.2},
"windows": true}; model: options of the library's SASRec; training: options of JointTrainerConfig.

The status is 1 if a contender has no result. It runs on Linux only (/proc).
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from atjt_ext.data import LeaveOneOut, leave_one_out, read_interactions, to_sequences
from machine import facts, processor
from race.contenders import OURS, RECTOOLS, REPLAY, Contender, chosen
from race.course import run_seed
from race.environments import digest, python_of, wheel_of
from race.job import Job, Sizes
from race.judge import Judge, race_data
from race.picture import draw
from race.record import Record
from race.report import markdown
from race.worker import Worker

_BENCHMARKS = Path(__file__).parent
_MODULES = {OURS: "race.train_ours", RECTOOLS: "race.train_rectools", REPLAY: "race.train_replay"}


class Race:
    """The folder, the data and the processes of a race.

    Args:
        options: those of the command.
        commands: for each library, how its process is started.
        wheel: SHA-256 of what is raced as ``atjt_ext``.
    """

    def __init__(
        self, options: argparse.Namespace, commands: Mapping[str, Sequence[str]], wheel: str
    ) -> None:
        self.options, self._commands = options, commands
        self.sizes = Sizes(heads=options.heads)
        split = leave_one_out(to_sequences(read_interactions(options.file)))
        self.record = Record(options.out / "race.jsonl", self._heading(split, wheel))
        self._judge = Judge(split, self.sizes.length)
        race_data(split, self.sizes.length).write(options.out / "data.npz")
        (options.out / "logs").mkdir(exist_ok=True)

    def _heading(self, split: LeaveOneOut, wheel: str) -> dict[str, Any]:
        file, train = self.options.file, split.train
        return {
            "data": {
                "file": file.name,
                "sha256": digest(file),
                "users": train.num_users,
                "items": train.num_items,
                "interactions": train.num_interactions + 2 * train.num_users,
            },
            "sizes": asdict(self.sizes),
            "budget": self.options.budget,
            "turn": self.options.turn,
            "wheel": wheel,
            "processor": processor(),
            "machine": facts(),
        }

    def run(self, contenders: Sequence[Contender], note: Callable[[str], None]) -> None:
        """Runs what the record lacks, seed by seed, and writes the report after each."""
        for seed in range(self.options.seeds):
            missing = self.record.missing(contenders, seed)
            if not missing:
                continue
            with tempfile.TemporaryDirectory(prefix="race-") as folder:
                results, deaths = run_seed(
                    missing,
                    seed,
                    lambda contender, seed: self._start(contender, seed, Path(folder)),
                    self._judge,
                    budget=self.options.budget,
                    turn=self.options.turn,
                    note=note,
                )
            self.record.add(results, deaths)
            self.write_report()

    def _start(self, contender: Contender, seed: int, folder: Path) -> Worker:
        name = f"{contender.name}, seed {seed}"
        own = folder / str(len(list(folder.iterdir())))
        own.mkdir()
        job = own / "job.json"
        Job(
            contender=contender.as_dict(),
            seed=seed,
            sizes=self.sizes,
            file=str(self.options.file.resolve()),
            data=str((self.options.out / "data.npz").resolve()),
            exports=str(own),
        ).write(job)
        return Worker(
            name,
            [*self._commands[contender.library], str(job)],
            log=self.options.out / "logs" / f"{name.replace('/', '-')}.log",
            folder=own,
            patience=self.options.patience,
            environment={"PYTHONPATH": str(_BENCHMARKS), "CUDA_VISIBLE_DEVICES": ""},
        )

    def write_report(self) -> None:
        """race.md and race.svg of what the record holds."""
        record, out = self.record, self.options.out
        text = markdown(record.heading, record.results, record.deaths, self.options.thresholds)
        (out / "race.md").write_text(text)
        if record.results:
            draw(out / "race.svg", record.results, record.heading["data"]["file"])


def parsed(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--file", type=Path, required=True, help="interactions, as for `atjt`")
    parser.add_argument("--contenders", type=Path, help="a JSON file; default: nine contenders")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="contenders with these names")
    parser.add_argument(
        "--budget", type=float, default=120.0, help="processor seconds of training for each"
    )
    parser.add_argument("--turn", type=float, default=4.0, help="processor seconds in a row")
    parser.add_argument("--seeds", type=int, default=5, help="seeds 0, 1, ...")
    parser.add_argument("--heads", type=int, default=1)
    parser.add_argument("--thresholds", type=float, nargs="+", help="values of NDCG@10")
    parser.add_argument("--wheel", type=Path, help="of atjt_ext; default: built from the sources")
    parser.add_argument(
        "--patience", type=float, default=1800.0, help="seconds to wait for a process"
    )
    parser.add_argument("--out", type=Path, default=Path("build/race"))
    options = parser.parse_args(arguments)
    for name in ("budget", "turn", "seeds", "heads", "patience"):
        if not getattr(options, name) > 0:
            parser.error(f"--{name} must be above 0, got {getattr(options, name)}")
    if not options.file.is_file():
        parser.error(f"--file: no such file: {options.file}")
    return options


def main(arguments: Sequence[str] | None = None) -> int:
    options = parsed(arguments)
    torch.set_num_threads(1)
    try:
        contenders = chosen(options.contenders, options.only)
        options.out.mkdir(parents=True, exist_ok=True)
        wheel = wheel_of(options.out, options.wheel)
        commands = {
            library: [str(python_of(library, wheel)), "-m", _MODULES[library]]
            for library in dict.fromkeys(one.library for one in contenders)
        }
        race = Race(options, commands, digest(wheel))
        race.run(contenders, lambda line: print(line, flush=True))
    except (OSError, RuntimeError, ValueError) as error:
        print(f"host_libraries: {error}", file=sys.stderr)
        return 1
    race.write_report()
    print((options.out / "race.md").read_text())
    return 1 if race.record.deaths else 0


if __name__ == "__main__":
    raise SystemExit(main())
