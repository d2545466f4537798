"""Every base model trains: with either loss, on one batch by heart, and in a joint trainer."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import pytest
import torch
from torch import Tensor

from atjt_ext import JointTrainer, JointTrainerConfig, TargetAttentionNoiseModel
from atjt_ext.data import Batch, LeaveOneOut
from atjt_ext.training.objectives import recommender_loss
from helpers.joint import config, parameters
from helpers.tiny import tiny_batch
from helpers.zoo import ALL_MODELS, CLOSE, SEQUENCE_MODELS, gradients, shaken

EVERY = pytest.mark.parametrize("name", ALL_MODELS)
BOTH_LOSSES = pytest.mark.parametrize("loss", ["cross_entropy", "binary_cross_entropy"])
collapsed_is_fine = pytest.mark.filterwarnings(
    "ignore::atjt_ext.training.trainer.WeightsCollapsedWarning"
)


def _loss(model: Any, batch: Batch, weights: Tensor, loss: Any, negatives: int = 3) -> Tensor:
    torch.manual_seed(0)  # of the negatives
    options = {"num_negatives": negatives} if loss == "binary_cross_entropy" else {}
    return recommender_loss(model, batch, weights, JointTrainerConfig(loss=loss, **options))


@EVERY
@BOTH_LOSSES
def test_both_losses_reach_every_parameter_and_honour_weights(name: str, loss: str) -> None:
    model, batch = shaken(name), tiny_batch([1, 2, 3, 4, 5, 6], [7, 8, 9, 7], [10, 11])
    model.eval()  # Dice would let a row of weight 0 in through the batch's mean
    _loss(model, batch, torch.ones(3), loss).backward()
    silent = [key for key, p in model.named_parameters() if p.grad is None or not p.grad.any()]
    assert silent == []
    model.zero_grad()
    _loss(model, batch, torch.tensor([1.0, 1.0, 0.0]), loss).backward()
    dropped = gradients(model)
    model.zero_grad()
    other = Batch(batch.rows, batch.users, batch.sequences.clone())
    other.sequences[2, -2] = 19
    _loss(model, other, torch.tensor([1.0, 1.0, 0.0]), loss).backward()
    torch.testing.assert_close(gradients(model), dropped, **CLOSE)


@EVERY
def test_it_overfits_one_batch(name: str) -> None:
    torch.manual_seed(0)
    model = ALL_MODELS[name](30)
    windows = torch.randint(1, 31, (8, 9), generator=torch.Generator().manual_seed(0))
    windows[:4, :3] = 0
    batch = Batch(torch.arange(8), torch.arange(8) % 4, windows)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    for _ in range(120):
        loss = _loss(model, batch, torch.ones(8), "cross_entropy")
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert float(loss.detach()) < 0.1
    everything = torch.arange(1, 31).expand(8, -1)
    with torch.no_grad():
        model.train(name == "din")  # running statistics lag behind weights that move this fast
        best = (
            (model.encode(batch.inputs)[:, -1] @ model.item_table()[1:].T).argmax(dim=1)
            if name in SEQUENCE_MODELS
            else model.score(batch, everything).argmax(dim=1)
        )
    assert torch.equal(best + 1, batch.targets[:, -1])


Loss = Literal["cross_entropy", "binary_cross_entropy"]


def _trainer(name: str, split: LeaveOneOut, **changes: Any) -> JointTrainer:
    torch.manual_seed(0)
    items = split.train.num_items
    options: dict[str, Any] = (
        {} if name in SEQUENCE_MODELS else {"num_users": split.train.num_users}
    )
    return JointTrainer(
        ALL_MODELS[name](items, **options),
        TargetAttentionNoiseModel(items, embedding_dim=8, hidden_dims=(16,)),
        config=config(epochs=2, gate_auc=0.0, warmup_epochs=1, **changes),
    )


@EVERY
@BOTH_LOSSES
@collapsed_is_fine
def test_joint_training_from_end_to_end(
    name: str, loss: Loss, split: LeaveOneOut, tmp_path: Path
) -> None:
    trained = _trainer(name, split, loss=loss)
    history = trained.fit(
        split.train, split.valid, progress=False, checkpoint=tmp_path / "checkpoint.pt"
    )
    assert history[1].recommender_loss < history[0].recommender_loss
    assert history[1].weights_used == "all"
    measured = trained.evaluate(split.test)

    again = _trainer(name, split, loss=loss)
    assert again.fit(split.train, split.valid, progress=False)[1].recommender_loss == (
        history[1].recommender_loss
    )
    assert torch.equal(parameters(again.recommender), parameters(trained.recommender))

    loaded = _trainer(name, split, loss=loss)
    torch.nn.init.normal_(next(loaded.recommender.parameters()))
    loaded.load(tmp_path / "checkpoint.pt", num_users=split.train.num_users)
    assert loaded.evaluate(split.test) == measured
    items, scores = loaded.recommend(split.test, k=5)
    assert items.shape == scores.shape == (120, 5)
