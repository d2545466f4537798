"""The main job on data that needs no download: noise is planted, so that the truth is known."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console

from ..data import PlantedNoise, leave_one_out, simulate_interactions, to_sequences
from ..data.sequences import noisy_users, per_user
from ..experiment.figures import require_matplotlib
from ..runs.build import load_trainer
from ..runs.config import RunConfig
from ..runs.evaluate import compare_runs
from ..runs.folder import Run
from ..runs.train import train_run
from .plots import plot_noise, plot_training
from .tables import comparison_table

__all__ = ["run_demo"]

NOISY_USER_SHARE, NOISY_ITEM_SHARE = 0.3, 0.5


def run_demo(
    folder: Path,
    console: Console,
    *,
    seed: int,
    num_users: int,
    num_items: int,
    epochs: int,
    resume: bool = False,
) -> None:
    """Simulates, trains with and without weights, prints a table and draws figures in ``folder``.

    Raises:
        CheckpointError: ``folder`` holds a run already, and ``resume`` is off.
        ImportError: matplotlib is missing.
    """
    require_matplotlib()
    noise = PlantedNoise(noisy_user_share=NOISY_USER_SHARE, noisy_item_share=NOISY_ITEM_SHARE)
    sequences = to_sequences(
        simulate_interactions(num_users=num_users, num_items=num_items, seed=seed, noise=noise)
    )
    console.print(
        f"simulated {sequences.num_interactions:,} interactions of {sequences.num_users:,} users "
        f"with {sequences.num_items:,} items; {NOISY_USER_SHARE:.0%} of the users have "
        f"{NOISY_ITEM_SHARE:.0%} of their training items replaced at random",
        highlight=False,
    )
    config = RunConfig.from_recipe("default", epochs=epochs, dropout=0.2, seed=seed)
    run = Run(folder)
    baseline = run.baseline
    metrics = {
        "default": train_run(run.folder, sequences, config, resume=resume, title="default"),
        "equal weights": train_run(
            baseline.folder,
            sequences,
            config.with_equal_weights(),
            resume=resume,
            title="equal weights",
        ),
    }
    console.print(comparison_table(metrics))
    console.print(compare_runs(run, baseline, config.trainer.valid_metric))

    train = leave_one_out(sequences).train
    trainer = load_trainer(run, sequences)
    logits = per_user(train, trainer.interaction_noise_logits(train))
    weights = trainer.sequence_weights(train)
    known = ~logits.isnan()
    histories = {"default": run.history(), "equal weights": baseline.history()}
    plot_training(folder / "training.png", histories)
    plot_noise(folder / "noise.png", logits[known], weights[known], noisy_users(train)[known])
    console.print(
        f"figures: {folder / 'training.png'}, {folder / 'noise.png'}; all else is in {folder}",
        highlight=False,
    )
