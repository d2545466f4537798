"""Recommend the best items for users of a run: a table for one user, a file for many."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from .parser import CommandParser, WrongCallError, device_of, escapes_formulas

if TYPE_CHECKING:
    from jsonargparse import Namespace
    from rich.console import Console

__all__ = ["add_options", "execute"]


def add_options(parser: CommandParser, arguments: Sequence[str]) -> None:
    parser.add_run()
    parser.add_argument("--user", type=str | None, default=None, help="id of a user in the data")
    text = "all, or a text file with one user id per line"
    parser.add_argument("--users", type=str | None, default=None, help=text)
    parser.add_argument("--k", type=int, default=10, help="number of items per user")
    text = "leave out items that the user already has; false suits repeated purchases"
    parser.add_argument("--exclude_seen", type=bool, default=True, help=text)
    text = ".parquet or .csv to write instead of a table: user, rank, item, score"
    parser.add_argument("--out", type=str | None, default=None, help=text)
    parser.add_formulas()
    parser.add_device()


def execute(options: Namespace, console: Console) -> int:
    """Prints the items of one user, or writes the items of many."""
    if (options.user is None) == (options.users is None):
        raise WrongCallError("exactly one of --user ID and --users all|FILE must be given")
    if options.users is not None and options.out is None:
        raise WrongCallError("--users needs --out FILE.parquet (or .csv) to write to")
    out = options.out
    escape = escapes_formulas(options, is_csv=out is not None and out.endswith(".csv"))
    import torch

    from ..data import leave_one_out
    from ..runs.build import load_models
    from ..runs.data import everything_known
    from ..runs.folder import Run
    from ..runs.recommendations import users_named, write_recommendations
    from .tables import recommendation_table

    run = Run(Path(options.run))
    sequences = run.sequences()
    if options.user is not None:
        users = torch.tensor([sequences.user_index(options.user)])
    elif options.users == "all":
        users = torch.arange(sequences.num_users)
    else:
        users = users_named(sequences, options.users)
    if not 1 <= options.k <= sequences.num_items:
        raise ValueError(
            f"k must be in 1..{sequences.num_items} (number of items), got {options.k}"
        )
    train = leave_one_out(sequences).train
    models = load_models(run, sequences, device=device_of(options), train=train)
    known = everything_known(sequences, users)
    choice = {"k": options.k, "exclude_seen": options.exclude_seen}
    if out is not None:
        started = time.perf_counter()
        rows = write_recommendations(out, models, known, escape_formulas=escape, **choice)
        rate = len(users) / (time.perf_counter() - started)
        console.print(f"{out}: {rows:,} rows of {len(users):,} users, {rate:,.0f} users/s")
        return 0
    items, scores = models.recommend(known, **choice)
    # A user can have fewer than k unseen items.
    unseen = scores[0] > -torch.inf
    ids, values = sequences.decode_items(items[0][unseen]), scores[0][unseen].tolist()
    exclude_seen = options.exclude_seen
    console.print(recommendation_table(options.user, ids, values, exclude_seen=exclude_seen))
    return 0
