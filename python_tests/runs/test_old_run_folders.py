"""Run folders and checkpoints of earlier releases are still read, evaluated and resumed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from atjt_ext.data import leave_one_out
from atjt_ext.runs.build import load_models
from atjt_ext.runs.config import RunConfig
from atjt_ext.runs.folder import Run
from atjt_ext.runs.train import train_run
from atjt_ext.training.checkpoint import CheckpointError
from helpers.small_run import make_run, small_sequences, without_manifest

# Options stood in every config, whether they had an effect or not.
NOISE_MODEL = {
    "noise_model": "target_attention",
    "noise_embedding_dim": 32,
    "noise_hidden_dims": [256, 64],
    "noise_num_blocks": 2,
    "noise_num_heads": 2,
}
TRAINER = {"num_folds": 2, "gate_auc": 0.55, "precision": "float32", "drop_below": 0.6}


def in_old_form(run: Run) -> tuple[Run, RunConfig]:
    """Rewrites config.json and checkpoint.pt as earlier releases wrote them."""
    config = without_manifest(run).config()
    values = json.loads(run.config_path.read_text(encoding="utf-8"))
    noise = {**NOISE_MODEL, **(values.pop("noise_model") or {})}
    values["model"] = {**noise, **values["model"]}
    values["trainer"] = {**values["trainer"], **TRAINER}
    run.config_path.write_text(json.dumps(values), encoding="utf-8")
    state: dict[str, Any] = torch.load(run.checkpoint_path, weights_only=True)
    decided = {**TRAINER, "weights_act_on": state["config"]["weights_act_on"] or "targets"}
    state |= {"format": 1, "scaler": {}, "config": {**state["config"], **decided}}
    torch.save(state, run.checkpoint_path)
    return run, config


@pytest.mark.filterwarnings("ignore::atjt_ext.training.trainer.WeightsCollapsedWarning")
@pytest.mark.parametrize("recipe", ["equal_weights", "default", "joint"])
def test_an_old_run_gives_its_figures_and_resumes(tmp_path: Path, recipe: str) -> None:
    run, config = in_old_form(make_run(tmp_path / "run", recipe=recipe, epochs=2))
    assert run.config() == config
    metrics, sequences = run.metrics(), run.sequences()
    split = leave_one_out(sequences)
    models = load_models(run, sequences)
    assert models.evaluate(split.test) == metrics["test"]
    again = train_run(run.folder, small_sequences(), config, resume=True, progress=False)
    assert again == metrics


def test_a_checkpoint_trained_in_float16_is_refused(tmp_path: Path) -> None:
    run, _ = in_old_form(make_run(tmp_path / "run"))
    state = torch.load(run.checkpoint_path, weights_only=True)
    state["config"]["precision"] = "float16"
    torch.save(state, run.checkpoint_path)
    with pytest.raises(CheckpointError, match=r"config in the checkpoint: .*float16 was removed"):
        load_models(run, run.sequences())
