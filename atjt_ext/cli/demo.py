"""Plant noise in simulated data, train with and without weights, compare, and write a page."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..training.processes import require_one_process
from .parser import CommandParser, device_of

if TYPE_CHECKING:
    from jsonargparse import Namespace
    from rich.console import Console

__all__ = ["LESS_MEMORY", "TO_GO_ON", "add_options", "execute"]

LESS_MEMORY = "a lower num_users or num_items needs less"
TO_GO_ON = "; --resume continues after the last whole epoch"
NOISY_USER_SHARE, NOISY_ITEM_SHARE = 0.3, 0.5


def add_options(parser: CommandParser, arguments: Sequence[str]) -> None:
    parser.add_argument("--out", type=str, default="runs/demo", help="folder to write")
    parser.add_argument("--seed", type=int, default=0, help="decides data and training")
    parser.add_argument("--num_users", type=int, default=3000, help="number of simulated users")
    parser.add_argument("--num_items", type=int, default=1000, help="number of simulated items")
    parser.add_argument("--epochs", type=int, default=25, help="largest number of epochs")
    parser.add_resume()
    parser.add_device()


def execute(options: Namespace, console: Console) -> int:
    """Trains the recipe ``default`` and equal weights on the same data, and writes the page.

    Raises:
        CheckpointError: the folder holds a run already, and ``--resume`` is off.
    """
    require_one_process("demo")
    from ..data import PlantedNoise, simulate_interactions, to_sequences
    from ..data.locks import exclusive
    from ..report import write_page
    from ..runs.config import RunConfig
    from ..runs.folder import Run
    from .train import train_and_compare

    noise = PlantedNoise(noisy_user_share=NOISY_USER_SHARE, noisy_item_share=NOISY_ITEM_SHARE)
    made = simulate_interactions(
        num_users=options.num_users, num_items=options.num_items, seed=options.seed, noise=noise
    )
    sequences = to_sequences(made)
    console.print(
        f"simulated {sequences.num_interactions:,} interactions of {sequences.num_users:,} users "
        f"with {sequences.num_items:,} items; {NOISY_USER_SHARE:.0%} of the users have "
        f"{NOISY_ITEM_SHARE:.0%} of their training items replaced at random"
    )
    config = RunConfig.from_recipe("default", epochs=options.epochs, dropout=0.2, seed=options.seed)
    run, device = Run(Path(options.out)), device_of(options)
    page = run.folder / "report.html"
    with exclusive(run.folder, "atjt demo"):
        metrics = train_and_compare(
            run, sequences, config, console, resume=options.resume, device=device
        )
        write_page(run, page, device=device)
    auc = metrics["noise"]["interaction_AUC"]
    if auc is not None:  # a tiny simulation can be free of noise
        console.print(f"P(noise) finds the planted noise with AUC {auc:.3f} (0.5 is guessing)")
    console.print(f"the report page: {page}, open it in a browser")
    return 0
