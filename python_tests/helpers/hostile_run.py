"""A small trained run with known planted noise and with ids that break unescaped markup."""

from __future__ import annotations

import warnings
from dataclasses import replace
from pathlib import Path

from atjt_ext.data import PlantedNoise, Sequences, simulate_interactions, to_sequences
from atjt_ext.runs.config import RunConfig
from atjt_ext.runs.folder import Run
from atjt_ext.runs.train import train_run
from atjt_ext.training.trainer import WeightsCollapsedWarning

HOSTILE = "<b>&\"'{{ 7 * 7 }}"


def small_sequences() -> Sequences:
    """150 users, whose first two items are the same; 30 % have half of their training items
    replaced."""
    made = simulate_interactions(
        num_users=150,
        num_items=60,
        seed=3,
        noise=PlantedNoise(noisy_user_share=0.3),
        mean_length=10,
        max_length=24,
    )
    sequences = to_sequences(made)
    items, first = sequences.items.clone(), sequences.offsets[:-1]
    items[first + 1] = items[first]
    return replace(
        sequences,
        items=items,
        user_ids=[HOSTILE + one for one in sequences.user_ids],
        item_ids=[f"</td><script>{one}" for one in sequences.item_ids],
    )


def small_run(folder: Path, recipe: str = "default", *, baseline: bool = True) -> Run:
    """Trains three epochs of a small model, and its baseline."""
    sizes = {"embedding_dim": 16, "num_blocks": 1, "max_length": 12}
    config = RunConfig.from_recipe(recipe, epochs=3, shared={"noise_embedding_dim": 8}, **sizes)
    sequences = small_sequences()
    with warnings.catch_warnings():
        # On so little data the noise model gives all users similar weights.
        warnings.simplefilter("ignore", WeightsCollapsedWarning)
        train_run(folder, sequences, config, progress=False)
    if baseline:
        equal = config.with_equal_weights()
        train_run(folder / "equal_weights", sequences, equal, progress=False)
    return Run(folder)
