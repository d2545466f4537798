"""atjt_ext inside RecTools: its Lightning module, its SASRec, its page."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

pytest.importorskip("rectools", reason="RecTools is not installed (integrations/run makes it)")

import pandas as pd
from rectools import Columns
from rectools.dataset import Dataset
from rectools.models import BERT4RecModel, SASRecModel

from atjt_ext.integrations.rectools import JointModule, ReweightedModule, WithUsers
from atjt_ext.training.joint_loss import JointLoss
from host_pages import require_same_loss_and_gradients, row_weights_of, run_page, trusted

SIZES = dict(
    n_blocks=1,
    n_heads=2,
    n_factors=16,
    session_max_len=6,
    batch_size=8,
    epochs=1,
    deterministic=True,
)
OFFLINE = dict(loss="reweighted", lightning_module_type=ReweightedModule)
JOINT = dict(loss="joint", lightning_module_type=JointModule, data_preparator_type=WithUsers)


def _dataset(*, ones: bool = False) -> Dataset:
    random = np.random.default_rng(0)
    rows = [
        (user, item, time, 1.0 if ones else random.random())
        for user, length in enumerate(random.integers(2, 10, 20))
        for time, item in enumerate(random.integers(0, 30, length))
    ]
    frame = pd.DataFrame(
        rows, columns=[Columns.User, Columns.Item, Columns.Datetime, Columns.Weight]
    )
    frame[Columns.Datetime] = pd.to_datetime(frame[Columns.Datetime], unit="s")
    return Dataset.construct(frame)


def _built(dataset: Dataset, **options: Any) -> Any:
    """A model with all its parts, before any training, and its first batch."""
    torch.manual_seed(0)
    model = SASRecModel(**SIZES, **options)
    model._build_model_from_dataset(dataset)
    torch.manual_seed(0)
    model.lightning_model._xavier_normal_init()
    model.lightning_model.log = lambda *_, **__: None
    torch.manual_seed(2)  # seeds the shuffle
    return model.lightning_model, next(iter(model.data_preparator.get_dataloader_train()))


def _loss(module: Any, batch: dict[str, Tensor]) -> Tensor:
    torch.manual_seed(1)  # seeds the dropout
    return module.train().training_step(batch, 0)


def test_weights_of_one_give_rectools_own_loss() -> None:
    dataset = _dataset(ones=True)
    (theirs, batch), (ours, same) = _built(dataset), _built(dataset, **OFFLINE)
    assert all(torch.equal(batch[name], same[name]) for name in batch)
    wanted, found = _loss(theirs, batch), _loss(ours, batch)
    require_same_loss_and_gradients(ours, theirs, found, wanted)


def test_weights_are_normalised_by_their_sum() -> None:
    dataset = _dataset()
    (theirs, batch), (ours, _) = _built(dataset), _built(dataset, **OFFLINE)
    y, w = batch["y"], batch["yw"]
    torch.manual_seed(1)
    logits = theirs.train().get_batch_logits(batch)
    losses = torch.nn.functional.cross_entropy(
        logits.transpose(1, 2), y, ignore_index=0, reduction="none"
    )
    found = _loss(ours, batch)
    torch.testing.assert_close(found, (w * losses).sum() / w.sum(), rtol=1e-6, atol=1e-6)
    # RecTools' own divides by the number of targets.
    own = _loss(theirs, batch)
    torch.testing.assert_close(own * (y != 0).sum() / w.sum(), found, rtol=1e-5, atol=1e-6)
    assert own < 0.8 * found


def test_joint_starts_from_rectools_own_loss() -> None:
    dataset = _dataset(ones=True)
    (theirs, batch), (joint, named) = _built(dataset), _built(dataset, **JOINT)
    wanted, found = _loss(theirs, batch), _loss(joint, named)
    noise_loss = joint.joint_loss.metrics()["noise_loss"]
    torch.testing.assert_close(found, wanted + noise_loss, rtol=1e-6, atol=1e-6)


def test_joint_weighs_every_target_of_a_row_as_the_formula_says() -> None:
    dataset = _dataset(ones=True)
    (theirs, batch), (module, named) = _built(dataset), _built(dataset, **JOINT)
    joint = trusted(module.joint_loss)
    sequences = torch.cat([named["x"], named["y"][:, -1:]], dim=1)
    weights = row_weights_of(joint, sequences, named["user_code"])
    torch.manual_seed(1)
    logits = theirs.train().get_batch_logits(batch).transpose(1, 2)
    losses = torch.nn.functional.cross_entropy(logits, batch["y"], ignore_index=0, reduction="none")
    w = weights[:, None] * (batch["y"] != 0)
    found = _loss(module, named) - joint.metrics()["noise_loss"]
    torch.testing.assert_close(found, (w * losses).sum() / w.sum(), rtol=1e-6, atol=1e-6)
    assert abs(found - _loss(theirs, batch)) > 1e-4


def test_joint_reads_whole_sequences_of_their_users(monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = _dataset()
    module, batch = _built(dataset, **JOINT)
    seen: list[Any] = []
    learn = module.joint_loss.noise_models.noise_loss
    monkeypatch.setattr(
        module.joint_loss.noise_models, "noise_loss", lambda b, *a: seen.append(b) or learn(b, *a)
    )
    _loss(module, batch)
    train = module.data_preparator.train_dataset.interactions.df
    for user, row in zip(seen[0].users.tolist(), seen[0].sequences, strict=True):
        own = train[train[Columns.User] == user].sort_values(Columns.Datetime, kind="stable")
        assert row[row != 0].tolist() == own[Columns.Item].tolist()


@pytest.mark.usefixtures("in_folder")
def test_a_run_is_the_same_with_weights_of_one() -> None:
    """A whole fit of the host's trainer, same seed: the same losses and recommendations. (Not the
    same parameters: Adam makes whole steps of the rounding of a gradient that should be 0, as that
    of the bias of the keys.)"""
    dataset, losses, recommended = _dataset(ones=True), [], []
    for options in ({}, OFFLINE):
        torch.manual_seed(0)
        model = SASRecModel(**{**SIZES, "epochs": 3}, **options).fit(dataset)
        losses.append(model.fit_trainer.callback_metrics["train_loss"])
        recommended.append(model.recommend(np.arange(20), dataset, k=5, filter_viewed=True))
    torch.testing.assert_close(losses[1], losses[0], rtol=1e-6, atol=1e-6)
    pd.testing.assert_frame_equal(
        recommended[1].drop(columns=Columns.Score), recommended[0].drop(columns=Columns.Score)
    )


@pytest.mark.usefixtures("in_folder")
def test_fit_partial_and_validation_go_on() -> None:
    def last_of_each(interactions: pd.DataFrame, **_: Any) -> np.ndarray:
        rank = interactions.sort_values(Columns.Datetime).groupby(Columns.User, sort=False)
        return (rank.cumcount(ascending=False).sort_index() == 0).to_numpy()

    model = SASRecModel(**SIZES, **JOINT, get_val_mask_func=last_of_each)
    model.fit_partial(_dataset(ones=True), 1, 1)
    steps = model.lightning_model.joint_loss.steps
    assert steps > 0
    assert "val_loss" in model.fit_trainer.callback_metrics
    model.fit_partial(_dataset(ones=True), 1, 1)
    assert model.lightning_model.joint_loss.steps == 2 * steps


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (dict(lightning_module_type=ReweightedModule), "loss must be .* got 'softmax'"),
        ({**OFFLINE, "similarity_module_kwargs": {"distance": "cosine"}}, "with distance 'dot'"),
        ({**JOINT, "data_preparator_type": None}, "data_preparator_type=WithUsers"),
    ],
)
@pytest.mark.usefixtures("in_folder")
def test_what_does_not_fit_is_refused(options: dict[str, Any], message: str) -> None:
    options = {name: value for name, value in options.items() if value is not None}
    with pytest.raises(ValueError, match=message):
        SASRecModel(**SIZES, **options).fit(_dataset())


@pytest.mark.usefixtures("in_folder")
def test_masked_item_models_are_refused() -> None:
    with pytest.raises(ValueError, match="the model must predict the next item"):
        BERT4RecModel(**SIZES, **OFFLINE).fit(_dataset())


@pytest.mark.usefixtures("in_folder")
def test_the_page_runs_trains_saves_and_loads(tmp_path: Path) -> None:
    names = run_page("rectools", tmp_path)
    weights = names["frame"][Columns.Weight]
    assert weights.min() < 0.9 < weights.max() <= 1.0
    assert len(names["recommended"]) == 5 * names["test"]["user"].nunique()

    module = names["joint"].lightning_model
    fresh = JointLoss(module.joint_loss.num_items, module.joint_loss.num_users)
    changed = [
        not torch.equal(mine, new)
        for mine, new in zip(module.joint_loss.parameters(), fresh.parameters(), strict=True)
    ]
    assert all(changed)
    assert module.joint_loss.steps == 8

    names["joint"].save("joint.pkl")
    again = SASRecModel.load("joint.pkl").lightning_model
    assert again.joint_loss.steps == 8
    assert again.joint_loss.warmup_steps == 2
    for mine, loaded in zip(module.parameters(), again.parameters(), strict=True):
        assert torch.equal(mine, loaded)
