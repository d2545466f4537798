"""SASRec here and in RecBole: seconds per epoch, and NDCG@10 after so many seconds of training.

    python_tests/integrations/run recbole        # once: an environment with RecBole, in build/hosts
    build/hosts/recbole/bin/python benchmarks/recbole_epoch.py ml-100k.inter --threads 1

Both have the same training and validation targets (checked), width, length, layers, heads, dropout,
learning rate and loss (softmax over the whole catalogue), on the CPU. RecBole makes one row of each
target and its history; here one window of a user's sequence trains all its targets. The models take
turns in one process: one epoch in RecBole, then ``--epochs_per_turn`` epochs here.
"""

from __future__ import annotations

import argparse
import functools
import os
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import torch

from atjt_ext import JointTrainer, JointTrainerConfig, SASRec
from atjt_ext.data import LeaveOneOut, leave_one_out, read_interactions, to_sequences
from atjt_ext.evaluation.ranking import evaluate
from atjt_ext.integrations.recbole_files import in_recboles_order
from atjt_ext.training.history import EpochRecord

WIDTH, LENGTH, BLOCKS, HEADS, DROPOUT, LEARNING_RATE = 64, 50, 2, 1, 0.5, 1e-3


@dataclass(frozen=True, slots=True)
class Turn:
    """One turn of both: seconds of an epoch, seconds trained so far, validation NDCG@10."""

    theirs: float
    their_total: float
    their_ndcg: float
    ours: float
    our_total: float
    our_ndcg: float


class RecBole:
    """RecBole's SASRec, loaders and trainer, with its default batch size of 2,048 rows."""

    def __init__(self, file: Path, folder: Path, attention_dropout: float) -> None:
        sys.argv = sys.argv[:1]  # Config reads the command line
        from recbole.config import Config
        from recbole.data import create_dataset, data_preparation
        from recbole.model.sequential_recommender import SASRec as TheirSASRec
        from recbole.trainer import Trainer
        from recbole.utils import init_seed

        # RecBole pickles its Config into checkpoints.
        torch.load = functools.partial(torch.load, weights_only=False)
        (folder / "data").mkdir()
        (folder / "data" / "data.inter").symlink_to(file.resolve())
        options = {
            "data_path": str(folder),
            "checkpoint_dir": str(folder),
            "load_col": {"inter": ["user_id", "item_id", "timestamp"]},
            "train_neg_sample_args": None,
            "eval_args": {"split": {"LS": "valid_and_test"}, "order": "TO", "mode": "full"},
            "metrics": ["NDCG", "Hit"],
            "valid_metric": "NDCG@10",
            "hidden_size": WIDTH,
            "inner_size": WIDTH,
            "n_layers": BLOCKS,
            "n_heads": HEADS,
            "hidden_dropout_prob": DROPOUT,
            "attn_dropout_prob": attention_dropout,
            "MAX_ITEM_LIST_LENGTH": LENGTH,
            "learning_rate": LEARNING_RATE,
            "use_gpu": False,
            "show_progress": False,
        }
        config = Config(model=TheirSASRec, dataset="data", config_dict=options)
        init_seed(0, True)
        self.train, self.valid, _ = data_preparation(config, create_dataset(config))
        # RecBole's trainer writes logs into the working directory and ignores checkpoint_dir.
        here = Path.cwd()
        os.chdir(folder)
        try:
            self.trainer = Trainer(config, TheirSASRec(config, self.train.dataset))
        finally:
            os.chdir(here)
        self.epochs = 0

    def targets(self, loader: Any) -> Counter[tuple[str, str]]:
        """Users and items of all targets, by their names in the file."""
        dataset, rows = loader.dataset, loader.dataset.inter_feat
        pairs = zip(rows["user_id"].tolist(), rows["item_id"].tolist(), strict=True)
        users, items = dataset.field2id_token["user_id"], dataset.field2id_token["item_id"]
        return Counter((str(users[user]), str(items[item])) for user, item in pairs)

    def epoch(self) -> float:
        """Trains one epoch; returns its seconds."""
        started = time.perf_counter()
        self.trainer._train_epoch(self.train, self.epochs, show_progress=False)
        self.epochs += 1
        return time.perf_counter() - started

    def ndcg(self) -> float:
        return float(self.trainer.evaluate(self.valid, load_best_model=False)["ndcg@10"])


def compare(options: argparse.Namespace) -> list[Turn]:
    """Trains both in turns and prints a line for each turn."""
    split = leave_one_out(to_sequences(in_recboles_order(read_interactions(options.file))))
    recommender = SASRec(
        split.train.num_items,
        max_length=LENGTH,
        embedding_dim=WIDTH,
        num_blocks=BLOCKS,
        num_heads=HEADS,
        dropout=DROPOUT,
    )
    config = JointTrainerConfig.from_recipe(
        "equal_weights",
        epochs=options.turns * options.epochs_per_turn,
        max_length=LENGTH,
        learning_rate=LEARNING_RATE,
    )
    turns: list[Turn] = []
    with tempfile.TemporaryDirectory() as folder:
        theirs = RecBole(options.file, Path(folder), options.attention_dropout)
        _require_same(theirs, split)
        ours = int((split.train.lengths - 1).sum())
        print(
            f"{ours:,} targets per epoch\n\n"
            "| turn | RecBole s/epoch | epochs | s | NDCG@10 "
            "| here s/epoch | epochs | s | NDCG@10 |\n"
            "|---|---|---|---|---|---|---|---|---|",
            flush=True,
        )

        def take_turn(history: list[EpochRecord]) -> None:
            if len(history) % options.epochs_per_turn:
                return
            latest = [record.seconds for record in history[-options.epochs_per_turn :]]
            seconds = theirs.epoch()
            turn = Turn(
                theirs=seconds,
                their_total=seconds + (turns[-1].their_total if turns else 0.0),
                their_ndcg=theirs.ndcg(),
                ours=median(latest),
                our_total=sum(record.seconds for record in history),
                # RecBole's sequential models may recommend seen items.
                our_ndcg=evaluate(recommender, split.valid, exclude_seen=False)["NDCG@10"],
            )
            turns.append(turn)
            print(
                f"| {len(turns)} | {turn.theirs:.2f} | {theirs.epochs} | {turn.their_total:.1f} "
                f"| {turn.their_ndcg:.4f} | {turn.ours:.3f} | {len(history)} "
                f"| {turn.our_total:.1f} | {turn.our_ndcg:.4f} |",
                flush=True,
            )

        trainer = JointTrainer(recommender, config=config)
        trainer.fit(split.train, progress=False, on_epoch=take_turn)
    return turns


def _require_same(theirs: RecBole, split: LeaveOneOut) -> None:
    """Exits unless both have the same (user, item) pairs for training and for validation."""
    train, valid = split.train, split.valid
    firsts = torch.zeros(train.num_interactions, dtype=torch.bool)
    firsts[train.offsets[:-1]] = True  # a first item has no history to be predicted from
    users = torch.repeat_interleave(train.lengths)[~firsts]
    for name, loader, codes, items in (
        ("training", theirs.train, users, train.items[~firsts]),
        ("validation", theirs.valid, valid.users, valid.targets),
    ):
        pairs = zip(codes.tolist(), train.decode_items(items), strict=True)
        ours = Counter((train.user_ids[user], item) for user, item in pairs)
        if ours != (other := theirs.targets(loader)):
            here, there = (ours - other).total(), (other - ours).total()
            raise SystemExit(f"{name} targets: {here} only here, {there} only in RecBole")


def summary(turns: Sequence[Turn]) -> str:
    """Medians, their ratio, and the seconds that either took to RecBole's best NDCG@10."""
    ratio = median(turn.theirs / turn.ours for turn in turns)
    theirs, ours = median(turn.theirs for turn in turns), median(turn.ours for turn in turns)
    best = max(turn.their_ndcg for turn in turns)
    spent = next(turn.their_total for turn in turns if turn.their_ndcg == best)
    reached = next((turn.our_total for turn in turns if turn.our_ndcg >= best), None)
    return (
        f"Epoch, medians: RecBole {theirs:.2f} s, here {ours:.3f} s; ratio {ratio:.1f}.\n"
        f"RecBole's best NDCG@10 of these turns, {best:.4f}, took it {spent:.1f} s; "
        + ("not reached here." if reached is None else f"here reached within {reached:.1f} s.")
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("file", type=Path, help="a RecBole .inter file")
    parser.add_argument("--turns", type=int, default=10, help="epochs in RecBole")
    parser.add_argument(
        "--epochs_per_turn", type=int, default=4, help="epochs here per epoch in RecBole"
    )
    parser.add_argument(
        "--attention_dropout", type=float, default=0.0, help="in RecBole; here it is 0"
    )
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    print("\n" + summary(compare(options)))


if __name__ == "__main__":
    main()
