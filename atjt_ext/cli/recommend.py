"""The command ``atjt recommend``: a table for one user, or a file for many."""

from __future__ import annotations

import time
from pathlib import Path

import torch
from jsonargparse import ArgumentParser, Namespace
from rich.console import Console

from ..data import DataError, leave_one_out
from ..runs.build import load_trainer
from ..runs.data import everything_known
from ..runs.folder import Run
from ..runs.recommendations import users_named, write_recommendations
from .parser import CommandParser
from .tables import recommendation_table

__all__ = ["recommend_parser", "run_recommend"]


def recommend_parser(default_device: str) -> ArgumentParser:
    """Options: a run, one user or many, and where to write."""
    parser = CommandParser(allow_abbrev=False, description="Best items for users of a run.")
    parser.add_argument("--run", type=str, required=True, help="run folder")
    parser.add_argument("--user", type=str | None, default=None, help="user id as in the data")
    parser.add_argument(
        "--users", type=str | None, default=None, help="all, or a text file with a user id per line"
    )
    parser.add_argument("--k", type=int, default=10, help="how many items")
    parser.add_argument(
        "--exclude_seen",
        type=bool,
        default=True,
        help="leave out what users have; false where people buy things again",
    )
    parser.add_argument(
        "--out",
        type=str | None,
        default=None,
        help=".parquet or .csv to write instead of printing: user, rank, item, score",
    )
    parser.add_argument("--device", type=str, default=default_device)
    return parser


def run_recommend(options: Namespace, console: Console) -> int:
    """Recommends; returns the exit status."""
    if (options.user is None) == (options.users is None):
        raise ValueError("exactly one of --user ID and --users all|FILE must be given")
    if options.users is not None and options.out is None:
        raise ValueError("--users needs --out FILE.parquet (or .csv) to write to")
    run = Run(Path(options.run))
    sequences = run.sequences()
    if options.user is not None:
        users = torch.tensor([sequences.user_index(options.user)])
    elif options.users == "all":
        users = torch.arange(sequences.num_users)
    else:
        users = users_named(sequences, options.users)
    if not 1 <= options.k <= sequences.num_items:
        raise DataError(f"k must be in 1..{sequences.num_items} (the items), got {options.k}")
    train = leave_one_out(sequences).train
    trainer = load_trainer(run, sequences, device=options.device, train=train)
    known = everything_known(sequences, users)
    if options.out is not None:
        started = time.perf_counter()
        rows = write_recommendations(
            options.out, trainer, known, k=options.k, exclude_seen=options.exclude_seen
        )
        rate = len(users) / (time.perf_counter() - started)
        console.print(f"{options.out}: {rows:,} rows of {len(users):,} users, {rate:,.0f} users/s")
        return 0
    items, scores = trainer.recommend(known, k=options.k, exclude_seen=options.exclude_seen)
    # Fewer than k items may be left unseen.
    unseen = scores[0] > -torch.inf
    ids = sequences.decode_items(items[0][unseen])
    console.print(
        recommendation_table(
            options.user, ids, scores[0][unseen].tolist(), exclude_seen=options.exclude_seen
        )
    )
    return 0
