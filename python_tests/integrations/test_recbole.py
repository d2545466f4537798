"""atjt_ext inside RecBole: its SASRec and GRU4Rec, its trainer, its page."""

from __future__ import annotations

import argparse
import functools
import sys
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import polars as pl
import pytest
import torch
from torch import Tensor

pytest.importorskip("recbole", reason="RecBole is not installed (integrations/run makes it)")

from recbole.config import Config
from recbole.data import create_dataset, data_preparation
from recbole.model.sequential_recommender import GRU4Rec, SASRec
from recbole.trainer import Trainer
from recbole.utils import init_seed

from atjt_ext.integrations.recbole import JointTraining, ReweightedLoss, left_padded
from atjt_ext.training.joint_loss import JointLoss
from host_pages import require_same_loss_and_gradients, row_weights_of, run_page, trusted
from recbole_epoch import compare

pytestmark = pytest.mark.usefixtures("recbole_runs")


class ReweightedSASRec(ReweightedLoss, SASRec):
    pass


class ReweightedGRU4Rec(ReweightedLoss, GRU4Rec):
    pass


class JointSASRec(JointTraining, SASRec):
    joint_options: ClassVar = {"warmup_steps": 3, "calibrate_every": 3}


@pytest.fixture
def recbole_runs(in_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tiny data; none of our arguments for RecBole to read; its checkpoints can be loaded."""
    monkeypatch.setattr(sys, "argv", ["test"])
    monkeypatch.setattr(torch, "load", functools.partial(torch.load, weights_only=False))
    random = np.random.default_rng(0)
    for name, ones in (("ones", True), ("random", False)):
        lines = ["user_id:token\titem_id:token\ttimestamp:float\tweight:float"]
        for user, length in enumerate(random.integers(4, 12, 20)):
            for time, item in enumerate(random.integers(0, 30, length)):
                weight = 1.0 if ones else random.random()
                lines.append(f"u{user}\ti{item}\t{time}\t{weight}")
        (in_folder / name).mkdir()
        (in_folder / name / f"{name}.inter").write_text("\n".join(lines))


def _built(model_class: type, data: str = "ones", **options: Any) -> Any:
    """Config, model and loaders, the model with its own first parameters."""
    settings = {
        "data_path": ".",
        "load_col": {"inter": ["user_id", "item_id", "timestamp", "weight"]},
        "train_neg_sample_args": None,
        "train_batch_size": 32,
        "eval_args": {"split": {"LS": "valid_and_test"}, "order": "TO", "mode": "full"},
        "hidden_size": 16,
        "inner_size": 16,
        "n_layers": 1,
        "MAX_ITEM_LIST_LENGTH": 6,
        "epochs": 2,
        "show_progress": False,
        **options,
    }
    config = Config(model=model_class, dataset=data, config_dict=settings)
    init_seed(0, True)
    loaders = data_preparation(config, create_dataset(config))
    init_seed(0, True)
    model = model_class(config, loaders[0].dataset)
    init_seed(2, True)  # seeds the shuffle
    return config, model, loaders


def _loss(model: Any, batch: Any) -> Tensor:
    torch.manual_seed(1)  # seeds the dropout
    return model.train().calculate_loss(batch)


@pytest.mark.parametrize("host", [SASRec, GRU4Rec])
def test_weights_of_one_give_recboles_own_loss(host: type) -> None:
    ours_class = ReweightedSASRec if host is SASRec else ReweightedGRU4Rec
    (_, theirs, loaders), (_, ours, _) = _built(host), _built(ours_class)
    batch = next(iter(loaders[0]))
    wanted, found = _loss(theirs, batch), _loss(ours, batch)
    require_same_loss_and_gradients(ours, theirs, found, wanted)


def test_rows_take_the_weights_of_their_targets() -> None:
    (_, theirs, _), (_, ours, loaders) = (
        _built(SASRec, "random"),
        _built(ReweightedSASRec, "random"),
    )
    batch = next(iter(loaders[0]))
    torch.manual_seed(1)
    hidden = theirs.train().forward(batch["item_id_list"], batch["item_length"])
    logits = hidden @ theirs.item_embedding.weight.T
    losses = torch.nn.functional.cross_entropy(logits, batch["item_id"], reduction="none")
    w = batch["weight"]
    assert w.std() > 0.2
    found = _loss(ours, batch)
    torch.testing.assert_close(found, (w * losses).sum() / w.sum(), rtol=1e-6, atol=1e-6)
    assert abs(found - losses.mean()) > 1e-4

    # The file says which weight belongs to which target.
    dataset = loaders[0].dataset
    users, items = dataset.field2id_token["user_id"], dataset.field2id_token["item_id"]
    told = {}
    for line in Path("random/random.inter").read_text().splitlines()[1:]:
        user, item, _, weight = line.split("\t")
        told.setdefault((user, item), []).append(float(weight))
    for user, item, weight in zip(batch["user_id"], batch["item_id"], w, strict=True):
        assert any(abs(float(weight) - x) < 1e-6 for x in told[users[user], items[item]])


def test_joint_starts_from_recboles_own_loss() -> None:
    (_, theirs, loaders), (_, joint, _) = _built(SASRec), _built(JointSASRec)
    batch = next(iter(loaders[0]))
    wanted, found = _loss(theirs, batch), _loss(joint, batch)
    noise_loss = joint.joint_loss.metrics()["noise_loss"]
    torch.testing.assert_close(found, wanted + noise_loss, rtol=1e-6, atol=1e-6)


def test_joint_weighs_every_row_as_the_formula_says() -> None:
    (_, theirs, loaders), (_, model, _) = _built(SASRec), _built(JointSASRec)
    batch = next(iter(loaders[0]))
    joint = trusted(model.joint_loss)
    history = left_padded(batch["item_id_list"], batch["item_length"])
    sequences = torch.cat([history, batch["item_id"][:, None]], dim=1)
    w = row_weights_of(joint, sequences, batch["user_id"])
    torch.manual_seed(1)
    hidden = theirs.train().forward(batch["item_id_list"], batch["item_length"])
    logits = hidden @ theirs.item_embedding.weight.T
    losses = torch.nn.functional.cross_entropy(logits, batch["item_id"], reduction="none")
    found = _loss(model, batch) - joint.metrics()["noise_loss"]
    torch.testing.assert_close(found, (w * losses).sum() / w.sum(), rtol=1e-6, atol=1e-6)
    assert abs(found - losses.mean()) > 1e-5


def test_joint_reads_histories_and_targets_padded_on_the_left(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    _, model, loaders = _built(JointSASRec)
    batch = next(iter(loaders[0]))
    seen: list[Any] = []
    models = model.joint_loss.noise_models
    learn = models.noise_loss
    monkeypatch.setattr(models, "noise_loss", lambda b, *a: seen.append(b) or learn(b, *a))
    _loss(model, batch)
    for row, history, target in zip(
        seen[0].sequences, batch["item_id_list"], batch["item_id"], strict=True
    ):
        whole = [*history[history != 0].tolist(), int(target)]
        assert row.tolist() == [0] * (len(row) - len(whole)) + whole
    assert any(0 in row for row in batch["item_id_list"])
    assert torch.equal(seen[0].users, batch["user_id"])
    assert model.joint_loss.num_items == model.item_embedding.num_embeddings - 1


def test_left_padded() -> None:
    sequences = torch.tensor([[1, 2, 0], [3, 0, 0], [4, 5, 6]])
    turned = left_padded(sequences, torch.tensor([2, 1, 3]))
    assert turned.tolist() == [[0, 1, 2], [0, 0, 3], [4, 5, 6]]


def test_a_run_is_the_same_with_weights_of_one() -> None:
    """A whole fit of the host's trainer, same seed: the same losses and metrics."""
    losses, metrics = [], []
    for model_class in (SASRec, ReweightedSASRec):
        config, model, (train, valid, test) = _built(model_class)
        trainer = Trainer(config, model)
        trainer.fit(train, valid, verbose=False)
        losses.append(list(trainer.train_loss_dict.values()))
        metrics.append(trainer.evaluate(test))
    np.testing.assert_allclose(losses[1], losses[0], rtol=1e-6)
    assert metrics[0] == metrics[1]


def test_joint_trains_saves_and_resumes() -> None:
    config, model, (train, valid, test) = _built(JointSASRec)
    trainer = Trainer(config, model)
    trainer.fit(train, valid, verbose=False)
    assert trainer.evaluate(test)["recall@10"] >= 0.0  # loads the best epoch
    assert model.joint_loss.steps > 3
    fresh = JointLoss(model.joint_loss.num_items, model.joint_loss.num_users)
    for mine, new in zip(model.joint_loss.parameters(), fresh.parameters(), strict=True):
        assert not torch.equal(mine, new)
    _, again, _ = _built(JointSASRec)
    other = Trainer(config, again)
    other.resume_checkpoint(trainer.saved_model_file)
    assert again.joint_loss.steps > 0
    state = torch.load(trainer.saved_model_file)["state_dict"]
    for name, value in again.state_dict().items():
        assert torch.equal(value, state[name]), name


def test_classes_go_by_the_name_of_their_host() -> None:
    assert ReweightedSASRec.__name__ == "SASRec"
    assert ReweightedGRU4Rec.__name__ == "GRU4Rec"


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="loss_type must be 'CE'"):
        _built(
            ReweightedSASRec,
            loss_type="BPR",
            train_neg_sample_args={"distribution": "uniform", "sample_num": 1},
        )
    with pytest.raises(ValueError, match=r"must have a column 'weight' \(weight_field\)"):
        _built(ReweightedSASRec, load_col={"inter": ["user_id", "item_id", "timestamp"]})


def test_the_page_runs_and_both_ways_train(tmp_path: Path) -> None:
    names = run_page("recbole", tmp_path)
    ratings = pl.read_csv("weighted/weighted.inter", separator="\t")
    weights = ratings["weight:float"]
    assert weights.min() < 0.9 < weights.max() <= 1.0
    assert (weights == 1.0).sum() >= 2 * ratings["user_id:token"].n_unique()  # held out
    assert names["offline"].loss_type == "CE"
    assert names["joint"].joint_loss.steps == 1
    assert names["result"]["recall@10"] >= 0.0


def test_the_benchmark_trains_both_on_the_same_targets(capsys: pytest.CaptureFixture[str]) -> None:
    options = argparse.Namespace(
        file=Path("ones/ones.inter"), turns=2, epochs_per_turn=3, attention_dropout=0.0
    )
    turns = compare(options)
    told = capsys.readouterr().out
    assert [line.split(" | ")[2] for line in told.splitlines()[-2:]] == ["1", "2"]
    assert turns[1].their_total > turns[1].theirs > 0.0
    assert turns[1].our_total > 2 * turns[1].ours > 0.0
    assert all(0.0 <= turn.their_ndcg <= 1.0 and 0.0 <= turn.our_ndcg <= 1.0 for turn in turns)
