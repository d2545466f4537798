"""atjt_ext inside RePlay: its losses, its Lightning module, its page."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from torch import Tensor, nn

pytest.importorskip("replay.nn", reason="RePlay is not installed (integrations/run makes it)")

from replay.data import FeatureHint, FeatureSource, FeatureType
from replay.data.nn import TensorFeatureInfo, TensorFeatureSource, TensorSchema
from replay.nn.lightning import LightningModule
from replay.nn.loss import CE, CEWeighted
from replay.nn.sequential import SasRec
from replay.nn.transform.template import make_default_sasrec_transforms

from atjt_ext.integrations.replay import JointCE, ReweightedCE, with_target_weights
from host_pages import require_same_loss_and_gradients, row_weights_of, run_page, trusted

ITEMS, USERS, LENGTH = 30, 12, 6


def _feature(name: str, kind: FeatureType, **options: Any) -> TensorFeatureInfo:
    source = [TensorFeatureSource(FeatureSource.INTERACTIONS, name)]
    return TensorFeatureInfo(name, kind, feature_sources=source, **options)


SCHEMA = TensorSchema(
    [
        _feature(
            "item_id",
            FeatureType.CATEGORICAL,
            is_seq=True,
            feature_hint=FeatureHint.ITEM_ID,
            cardinality=ITEMS,
            padding_value=ITEMS,
            embedding_dim=16,
        ),
        _feature(
            "user_id",
            FeatureType.CATEGORICAL,
            feature_hint=FeatureHint.QUERY_ID,
            cardinality=USERS,
        ),
        _feature("weight", FeatureType.NUMERICAL, is_seq=True, tensor_dim=1, embedding_dim=1),
    ]
)


def _model() -> SasRec:
    torch.manual_seed(0)
    return SasRec.from_params(
        SCHEMA,
        embedding_dim=16,
        num_heads=2,
        num_blocks=1,
        max_sequence_length=LENGTH,
        excluded_features=["weight"],
    )


def _with_loss(model: SasRec, loss: nn.Module) -> SasRec:
    model.loss = loss
    model.loss.logits_callback = model.get_logits
    return model


def _raw() -> dict[str, Tensor]:
    """What RePlay reads of a file: sequences padded on the left, and their masks."""
    random = np.random.default_rng(0)
    items = torch.full((USERS, LENGTH + 1), ITEMS)
    weights = torch.zeros(USERS, LENGTH + 1, dtype=torch.float64)
    for user, length in enumerate(random.integers(2, LENGTH + 2, USERS)):
        items[user, -length:] = torch.from_numpy(random.integers(0, ITEMS, length))
        weights[user, -length:] = torch.from_numpy(random.random(length))
    return {
        "item_id": items,
        "item_id_mask": items != ITEMS,
        "weight": weights,
        "weight_mask": items != ITEMS,
        "user_id": torch.arange(USERS),
        "user_id_mask": torch.ones(USERS, dtype=torch.bool),
    }


def _batch(*, ones: bool = False) -> dict[str, Any]:
    raw = _raw()
    if ones:
        raw["weight"] = torch.ones_like(raw["weight"])
    transforms = with_target_weights(make_default_sasrec_transforms(SCHEMA)["train"], "weight")
    batch = nn.Sequential(*transforms)(raw)
    read = ("feature_tensors", "padding_mask", "positive_labels", "target_padding_mask")
    return {name: batch[name] for name in read}


def _loss(model: SasRec, batch: dict[str, Any]) -> Tensor:
    torch.manual_seed(1)  # seeds the dropout
    return model.train()(negative_labels=None, **batch)["loss"]


def test_weights_move_to_where_their_items_are_predicted() -> None:
    raw, batch = _raw(), _batch()
    moved = batch["feature_tensors"]["weight"]
    torch.testing.assert_close(moved, raw["weight"][:, 1:])
    assert torch.equal(batch["positive_labels"][..., 0], raw["item_id"][:, 1:])


def test_weights_of_one_give_replays_own_loss() -> None:
    batch = _batch(ones=True)
    theirs = _with_loss(_model(), CE(ignore_index=ITEMS))
    ours = _with_loss(_model(), ReweightedCE("weight"))
    wanted, found = _loss(theirs, batch), _loss(ours, batch)
    require_same_loss_and_gradients(ours, theirs, found, wanted)


def test_weights_give_replays_own_weighted_loss() -> None:
    batch = _batch()
    wanted = _loss(_with_loss(_model(), CEWeighted("weight", ignore_index=ITEMS)), batch)
    found = _loss(_with_loss(_model(), ReweightedCE("weight")), batch)
    torch.testing.assert_close(found.double(), wanted.double(), rtol=1e-6, atol=1e-6)
    assert abs(found - _loss(_with_loss(_model(), CE(ignore_index=ITEMS)), batch)) > 1e-3


def test_joint_starts_from_replays_own_loss() -> None:
    batch = _batch(ones=True)
    wanted = _loss(_with_loss(_model(), CE(ignore_index=ITEMS)), batch)
    joint = _with_loss(_model(), JointCE(ITEMS, USERS))
    found = _loss(joint, batch)
    noise_loss = joint.loss.joint_loss.metrics()["noise_loss"]
    torch.testing.assert_close(found, wanted + noise_loss, rtol=1e-6, atol=1e-6)


def test_joint_weighs_every_target_of_a_row_as_the_formula_says() -> None:
    batch, raw = _batch(), _raw()
    model = _with_loss(_model(), JointCE(ITEMS, USERS))
    joint = trusted(model.loss.joint_loss)
    sequences = torch.where(raw["item_id_mask"], raw["item_id"] + 1, 0)
    weights = row_weights_of(joint, sequences, raw["user_id"])
    # RePlay's own weighted loss is the judge.
    counted = batch["target_padding_mask"][..., 0]
    batch["feature_tensors"]["weight"] = weights[:, None] * counted
    wanted = _loss(_with_loss(_model(), CEWeighted("weight", ignore_index=ITEMS)), batch)
    found = _loss(model, batch) - joint.metrics()["noise_loss"]
    torch.testing.assert_close(found, wanted, rtol=1e-6, atol=1e-6)
    assert abs(found - _loss(_with_loss(_model(), CE(ignore_index=ITEMS)), batch)) > 1e-4


def test_targets_that_replay_masks_do_not_count() -> None:
    batch = _batch(ones=True)
    keep = torch.rand(batch["target_padding_mask"].shape) < 0.5
    batch["target_padding_mask"] = batch["target_padding_mask"] & keep
    wanted = _loss(_with_loss(_model(), CE(ignore_index=ITEMS)), batch)
    found = _loss(_with_loss(_model(), ReweightedCE("weight")), batch)
    torch.testing.assert_close(found, wanted, rtol=1e-6, atol=1e-6)
    joint = _with_loss(_model(), JointCE(ITEMS, USERS))
    found = _loss(joint, batch) - joint.loss.joint_loss.metrics()["noise_loss"]
    torch.testing.assert_close(found, wanted, rtol=1e-6, atol=1e-6)


def test_joint_reads_whole_sequences(monkeypatch: pytest.MonkeyPatch) -> None:
    joint = _with_loss(_model(), JointCE(ITEMS, USERS))
    seen: list[Any] = []
    noise_models = joint.loss.joint_loss.noise_models
    weigh = noise_models.noise_loss
    monkeypatch.setattr(noise_models, "noise_loss", lambda b, *a: seen.append(b) or weigh(b, *a))
    _loss(joint, _batch())
    raw = _raw()
    wanted = torch.where(raw["item_id_mask"], raw["item_id"] + 1, 0)
    assert torch.equal(seen[0].sequences, wanted)
    assert torch.equal(seen[0].users, raw["user_id"])


def test_several_targets_each_and_foreign_heads_are_refused() -> None:
    batch = _batch()
    batch["positive_labels"] = batch["positive_labels"].expand(-1, -1, 2)
    with pytest.raises(ValueError, match=r"positive_labels must be \[B, T, 1\]"):
        _loss(_with_loss(_model(), ReweightedCE("weight")), batch)
    loss = ReweightedCE("weight")
    with pytest.raises(RuntimeError, match="logits_callback must be set"):
        _ = loss.logits_callback
    with pytest.raises(ValueError, match="must be the get_logits method of a model"):
        loss.logits_callback = lambda hidden: hidden


@pytest.mark.usefixtures("in_folder")
def test_the_page_runs_and_both_ways_train(tmp_path: Path) -> None:
    names = run_page("replay", tmp_path)
    assert isinstance(names["joint"], LightningModule)
    joint = names["model"].loss
    fresh = JointCE(names["num_items"], names["num_users"])
    changed = [
        not torch.equal(mine, new)
        for mine, new in zip(joint.parameters(), fresh.parameters(), strict=True)
    ]
    assert all(changed)
    assert joint.joint_loss.steps == 8
    weights = pl.read_parquet("train.parquet")["weight"].explode()
    assert weights.min() < 0.9 < weights.max() <= 1.0

    # Save and load: the host's checkpoint holds the noise models, and the steps.
    names["trainer"].save_checkpoint("joint.ckpt")
    again = _again(names)
    state = torch.load("joint.ckpt", weights_only=False)["state_dict"]
    again.load_state_dict(state)
    assert again.model.loss.joint_loss.steps == 8
    for mine, loaded in zip(names["joint"].parameters(), again.parameters(), strict=True):
        assert torch.equal(mine, loaded)


def _again(names: dict[str, Any]) -> LightningModule:
    model = SasRec.from_params(
        names["schema"],
        embedding_dim=32,
        num_heads=2,
        num_blocks=1,
        max_sequence_length=names["length"],
        excluded_features=["weight"],
    )
    _with_loss(model, JointCE(names["num_items"], names["num_users"]))
    return LightningModule(model)
