"""Little data, and run folders on it as ``atjt train`` leaves them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from atjt_ext.data import Interactions, Sequences, simulate_interactions, to_sequences
from atjt_ext.data.manifest import manifest_path
from atjt_ext.runs.config import RunConfig
from atjt_ext.runs.folder import Run
from atjt_ext.runs.train import train_run

_SMALL: dict[str, Any] = {"batch_size": 32, "max_length": 10, "epochs": 1}
_SIZES: dict[str, dict[str, Any]] = {
    "gru4rec": {"embedding_dim": 8, "hidden_dim": 12},
    "din": {"embedding_dim": 8, "hidden_dims": (8,)},
}
_TRANSFORMER = {"embedding_dim": 8, "num_blocks": 1, "num_heads": 1}


def small_interactions() -> Interactions:
    """60 users with 3 to 20 interactions each, 40 items."""
    return simulate_interactions(num_users=60, num_items=40, seed=1, mean_length=8, max_length=20)


def small_sequences() -> Sequences:
    """The sequences of ``small_interactions``."""
    return to_sequences(small_interactions())


def make_run(
    folder: Path, *, model: str = "sasrec", recipe: str = "equal_weights", **changes: Any
) -> Run:
    sizes = _SIZES.get(model, _TRANSFORMER)
    if model == "s3rec":
        sizes = {**sizes, "pretrain_epochs": 1}
    config = RunConfig.from_recipe(recipe, model=model, **{**_SMALL, **sizes, **changes})
    train_run(folder, small_sequences(), config, progress=False)
    return Run(folder)


def without_manifest(run: Run) -> Run:
    """Makes ``run`` one of format 1, whose files have no digests, and returns it."""
    shutil.rmtree(manifest_path(run.folder).parent)
    values = json.loads(run.config_path.read_text(encoding="utf-8"))
    del values["format"], values["atjt_ext"]
    run.config_path.write_text(json.dumps(values), encoding="utf-8")
    return run
