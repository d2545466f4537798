"""The state of training: best epoch, checkpoints, and resuming to the same result."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from atjt_ext import JointTrainer, SASRec, TargetAttentionNoiseModel
from atjt_ext.data import LeaveOneOut, TrainingRows
from atjt_ext.training.checkpoint import CheckpointError, load_checkpoint, save_checkpoint
from atjt_ext.training.state import TrainingState
from helpers.joint import config, fit, parameters, trainer
from helpers.resuming import assert_resumes_like_unbroken

# ---- early stopping ---------------------------------------------------------------------------


def fit_and_spoil(split: LeaveOneOut, **changes: object) -> JointTrainer:
    """Forgets the items after epoch 4, so that the last epoch is not the best one."""
    made = trainer(split, epochs=6, learning_rate=1e-3, **changes)

    def spoil(history: list[object]) -> None:
        if len(history) == 4:
            with torch.no_grad():
                made.recommender.item_embedding.weight.normal_(std=5.0)

    torch.manual_seed(0)
    made.fit(split.train, split.valid, progress=False, on_epoch=spoil)
    return made


def test_fit_ends_with_the_best_epochs_models(split: LeaveOneOut) -> None:
    made = fit_and_spoil(split)
    values = [record.valid["NDCG@10"] for record in made.state.history]
    assert made.state.best_epoch == 1 + values.index(max(values))
    assert made.state.best_epoch < len(values)
    assert made.evaluate(split.valid)["NDCG@10"] == max(values)


def test_training_stops_when_patience_runs_out_but_not_before_min_epochs(
    split: LeaveOneOut,
) -> None:
    stuck = {"learning_rate": 1e-12, "epochs": 9, "weighting": "equal"}
    assert len(fit(split, patience=2, min_epochs=0, min_steps=0, **stuck).state.history) == 3
    assert len(fit(split, patience=2, min_epochs=6, min_steps=0, **stuck).state.history) == 6
    assert len(fit(split, patience=None, **stuck).state.history) == 9


def test_training_does_not_stop_before_min_steps(split: LeaveOneOut) -> None:
    stuck = {"learning_rate": 1e-12, "epochs": 9, "weighting": "equal"}
    stuck |= {"patience": 2, "min_epochs": 0}
    per_epoch = fit(split, **stuck | {"epochs": 1}).state.steps
    made = fit(split, min_steps=4 * per_epoch + 1, **stuck)
    assert len(made.state.history) == 5
    assert len(fit(split, min_steps=4 * per_epoch, **stuck).state.history) == 4
    assert len(fit(split, **stuck).state.history) == 9  # by default 2,000 steps, and here are few


def test_without_patience_the_last_models_stay(split: LeaveOneOut) -> None:
    made = fit_and_spoil(split, patience=None)
    last = made.state.history[-1].valid["NDCG@10"]
    assert made.state.best_epoch is not None
    assert made.state.best_epoch < 6
    assert made.evaluate(split.valid)["NDCG@10"] == last


def test_an_unknown_validation_metric_is_refused(split: LeaveOneOut) -> None:
    with pytest.raises(ValueError, match=r"valid_metric must be one of HR@5, .*, got AUC"):
        fit(split, valid_metric="AUC")


# ---- optimizers -------------------------------------------------------------------------------


@pytest.mark.parametrize(("clip", "wanted"), [(None, 5.0), (2.0, 2.0), (10.0, 5.0)])
def test_gradients_are_clipped_by_their_norm(
    split: LeaveOneOut, clip: float | None, wanted: float
) -> None:
    models = trainer(split, clip_grad_norm=clip).models  # with noise models, which get no gradient
    models.begin(split.train.num_users)
    weight = models.recommender.item_embedding.weight
    before = parameters(models.recommender)
    TrainingState(models).update((weight[1, :2] * torch.tensor([3.0, 4.0])).sum())
    assert float(weight.grad.norm()) == pytest.approx(wanted, rel=1e-5)
    assert not torch.equal(parameters(models.recommender), before)


# ---- checkpoints ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "changes", [{"weighting": "equal"}, {"weighting": "calibrated", "gate_auc": 0.0}]
)
def test_a_resumed_run_ends_like_an_unbroken_one(
    split: LeaveOneOut, tmp_path: Path, changes: dict[str, object]
) -> None:
    path = tmp_path / "run" / "checkpoint.pt"
    assert_resumes_like_unbroken(lambda: trainer(split, epochs=6, **changes), split, path, after=3)


def test_a_checkpoint_from_before_an_option_is_taken(split: LeaveOneOut, tmp_path: Path) -> None:
    path = tmp_path / "c.pt"
    made = trainer(split, epochs=2)
    made.fit(split.train, split.valid, checkpoint=path, progress=False)
    state = load_checkpoint(path)
    for name in ("schedule", "schedule_warmup_steps", "precision", "compile"):
        del state["config"][name]
    save_checkpoint(path, state)
    loaded = trainer(split, epochs=2)
    loaded.load(path, num_users=split.train.num_users)
    assert torch.equal(parameters(loaded.recommender), parameters(made.recommender))
    with pytest.raises(CheckpointError, match=r"with schedule=constant, .* schedule=cosine"):
        trainer(split, epochs=2, schedule="cosine").load(path, num_users=split.train.num_users)


def test_loading_brings_back_the_best_models_and_their_weights(
    split: LeaveOneOut, tmp_path: Path
) -> None:
    path = tmp_path / "c.pt"
    made = trainer(split, epochs=4, gate_auc=0.0)
    made.fit(split.train, split.valid, checkpoint=path, progress=False)
    loaded = trainer(split, epochs=4, gate_auc=0.0)
    loaded.load(path, num_users=split.train.num_users)
    assert loaded.evaluate(split.test) == made.evaluate(split.test)
    assert loaded.sequence_weights(split.train).equal(made.sequence_weights(split.train))


def test_loading_brings_back_where_the_schedule_is(split: LeaveOneOut, tmp_path: Path) -> None:
    path = tmp_path / "c.pt"
    options = {"epochs": 4, "patience": 2, "min_epochs": 0, "min_steps": 0}
    options |= {"weighting": "equal", "schedule": "linear", "learning_rate": 1e-12}
    made = fit(split, **options)
    assert made.state.steps < made.state.total_steps  # it ended early: a step more has a rate
    made.save(path)
    loaded = trainer(split, **options)
    loaded.load(path, num_users=split.train.num_users)
    assert loaded.state.total_steps == made.state.total_steps
    batch = next(TrainingRows(split.train, max_length=12).batches(8, seed=0, epoch=0))
    for one in (made, loaded):
        one.step(batch, batch, active=[], weigh=False)
    assert loaded.state.learning_rate == made.state.learning_rate > 0


def test_a_checkpoint_of_something_else_is_refused(split: LeaveOneOut, tmp_path: Path) -> None:
    path = tmp_path / "c.pt"
    trainer(split, epochs=1).fit(split.train, checkpoint=path, progress=False)
    users = split.train.num_users
    wanted = r"made with learning_rate=0\.005, this run has .*0\.1"
    with pytest.raises(CheckpointError, match=wanted):
        trainer(split, epochs=1, learning_rate=0.1).load(path, num_users=users)
    with pytest.raises(CheckpointError, match="made with num_users=120, this run has num_users=7"):
        trainer(split, epochs=1).load(path, num_users=7)
    noise_model = TargetAttentionNoiseModel(9)
    other = JointTrainer(SASRec(9, max_length=12), noise_model, config=config(epochs=1))
    with pytest.raises(CheckpointError, match="made with num_items=60, this run has num_items=9"):
        other.load(path, num_users=users)
    wider = JointTrainer(
        SASRec(60, max_length=12, embedding_dim=32, num_blocks=1),
        TargetAttentionNoiseModel(60, embedding_dim=8, hidden_dims=(16,)),
        config=config(epochs=1),
    )
    with pytest.raises(CheckpointError, match="parameters do not fit the models"):
        wider.load(path, num_users=users)
