"""The noise model that judges every item of a sequence."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from atjt_ext import BidirectionalNoiseModel, JointTrainer, RandomReplacement, SASRec
from atjt_ext.data import (
    Batch,
    LeaveOneOut,
    PlantedNoise,
    TrainingRows,
    inject_noise,
    leave_one_out,
)
from atjt_ext.evaluation.auc import auc
from atjt_ext.recognition.cross_fitting import CrossFittedNoiseModels, noise_recognition_loss
from atjt_ext.runs.config import RunConfig
from atjt_ext.training.config import JointTrainerConfig
from helpers.tiny import tiny_batch, tiny_sequences

ROWS = [[1, 2, 3, 4, 5], [6, 7], [9, 9, 8]]


def _model(num_items: int = 9, max_length: int = 12) -> BidirectionalNoiseModel:
    torch.manual_seed(0)
    model = BidirectionalNoiseModel(num_items, max_length=max_length, embedding_dim=8)
    with torch.no_grad():  # its first answers are all but alike
        for parameter in model.parameters():
            parameter.mul_(10.0)
    return model


def test_one_logit_per_item_and_none_for_padding() -> None:
    batch = tiny_batch(*ROWS, padding=1)
    logits = _model()(batch)
    assert logits.shape == batch.sequences.shape
    assert not logits[batch.sequences == 0].any()
    assert len(set(logits[batch.sequences != 0].tolist())) == sum(map(len, ROWS))


@pytest.mark.parametrize("padding", [1, 7])
def test_padding_changes_nothing(padding: int) -> None:
    model = _model()
    with torch.no_grad():
        model.item_embedding.weight[0] = 5.0  # zero would hide padding that is read
    plain = model(tiny_batch(*ROWS))
    padded = model(tiny_batch(*ROWS, padding=padding))
    torch.testing.assert_close(padded[:, padding:], plain, rtol=1e-5, atol=1e-5)


def test_other_rows_change_nothing() -> None:
    model = _model()
    together = model(tiny_batch(*ROWS))
    for row, logits in zip(ROWS, together, strict=True):
        alone = model(tiny_batch(row))[0]
        torch.testing.assert_close(logits[-len(row) :], alone, rtol=1e-5, atol=1e-5)


def test_an_item_is_judged_by_all_others_and_by_itself() -> None:
    """Changing one item moves the logits of those before it, of itself, and of those after it."""
    model = _model()
    before = model(tiny_batch([1, 2, 3, 4]))
    for place in range(4):
        row = [1, 2, 3, 4]
        row[place] = 9
        assert bool((model(tiny_batch(row)) != before).all()), place


def test_order_counts() -> None:
    first, second = _model()(tiny_batch([1, 2, 3], [2, 1, 3]))
    assert not torch.allclose(first[[1, 0, 2]], second)


def test_every_parameter_learns_but_padding_does_not() -> None:
    model = _model(max_length=4)
    model(tiny_batch(*ROWS)).square().sum().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert bool(parameter.grad.any()), name
    assert model.item_embedding.weight.grad is not None
    assert not model.item_embedding.weight.grad[0].any()


def test_forward_draws_no_random_numbers() -> None:
    model = _model().train()
    before = torch.get_rng_state()
    first = model(tiny_batch(*ROWS))
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(model.eval()(tiny_batch(*ROWS)), first)


@pytest.mark.parametrize("name", ["num_items", "max_length", "num_blocks"])
def test_sizes_below_one_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match=f"{name} must be at least 1, got 0"):
        BidirectionalNoiseModel(**{"num_items": 3, name: 0})


def test_heads_that_do_not_divide_the_width_are_refused() -> None:
    with pytest.raises(ValueError, match="num_heads must divide embedding_dim, got num_heads=3"):
        BidirectionalNoiseModel(9, num_heads=3)
    wanted = r"noise_num_heads must be a divisor of 32 \(noise_embedding_dim\), got 3"
    with pytest.raises(ValueError, match=wanted):
        RunConfig.from_recipe("joint_positions", noise_num_heads=3)


def test_sequences_longer_than_it_takes_are_refused() -> None:
    with pytest.raises(ValueError, match="sequences have length 4, at most max_length=3"):
        _model(max_length=3)(tiny_batch(*ROWS))
    assert _model(max_length=4)(tiny_batch(*ROWS)).shape == (3, 5)


# ---- what it learns ---------------------------------------------------------------------------


def _tribes(num_users: int) -> Tensor:
    """``[num_users, 12]``: every user stays in one quarter of twenty items."""
    generator = torch.Generator().manual_seed(0)
    own = torch.randint(0, 4, (num_users, 1), generator=generator)
    return 5 * own + torch.randint(1, 6, (num_users, 12), generator=generator)


def test_it_learns_to_tell_replaced_items(num_threads: None) -> None:
    """Three replaced items in four stand out: they come from another quarter."""
    torch.set_num_threads(1)
    items = _tribes(3000)
    data = Batch(rows=torch.arange(3000), users=torch.arange(3000), sequences=items)
    held_out = data.select(torch.arange(2000, 3000))
    torch.manual_seed(0)
    model = BidirectionalNoiseModel(20, max_length=12, embedding_dim=16)
    damage = RandomReplacement(num_items=20, sequence_fraction=0.95, replace_probability=0.2)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    generator = torch.Generator().manual_seed(1)
    untrained = _auc_of_strangers(model, held_out, damage)
    for step in range(220):
        batch = data.select(torch.randint(0, 2000, (128,), generator=generator))
        noisy = damage(batch.sequences, seed=0, step=step, row_keys=batch.rows)
        logits = model(Batch(batch.rows, batch.users, noisy.sequences))
        optimizer.zero_grad()
        noise_recognition_loss(logits.flatten(), noisy.replaced.flatten()).backward()
        optimizer.step()
    assert untrained < 0.7
    assert _auc_of_strangers(model, held_out, damage) > 0.95


def _auc_of_strangers(
    model: BidirectionalNoiseModel, data: Batch, damage: RandomReplacement
) -> float:
    """AUC of telling replaced items of another quarter from original items."""
    noisy = damage(data.sequences, seed=1, row_keys=data.rows)
    strange = noisy.replaced & (_quarter(noisy.sequences) != _quarter(data.sequences))
    judged = strange | ~noisy.replaced
    with torch.no_grad():
        logits = model(Batch(data.rows, data.users, noisy.sequences))
    area = auc(logits[judged], strange[judged])
    assert area is not None
    return area


def _quarter(items: Tensor) -> Tensor:
    return (items - 1) // 5


@pytest.fixture(scope="module")
def noisy_tribes() -> LeaveOneOut:
    sequences = tiny_sequences(*_tribes(900).tolist(), num_items=20)
    return leave_one_out(inject_noise(sequences, PlantedNoise(diffuse_share=0.2), seed=0))


def _trained(split: LeaveOneOut, recipe: str, **changes: object) -> JointTrainer:
    torch.manual_seed(0)
    config = RunConfig.from_recipe(
        recipe,
        patience=None,
        **{
            "max_length": 12,
            "epochs": 20,
            "batch_size": 32,
            "noise_embedding_dim": 16,
            "noise_learning_rate": 0.01,
            **changes,
        },
    )
    assert config.noise_model is not None
    noise_model = config.noise_model.build(split.train.num_items, max_length=12)
    recommender = SASRec(split.train.num_items, max_length=12, embedding_dim=8, num_blocks=1)
    trainer = JointTrainer(recommender, noise_model, config=config.trainer)
    trainer.fit(split.train, progress=False)
    return trainer


def test_trained_along_it_weighs_every_interaction_out_of_fold(
    noisy_tribes: LeaveOneOut, num_threads: None
) -> None:
    torch.set_num_threads(1)
    train = noisy_tribes.train
    # At the higher rate of the other tests the outcome hangs on the processor's rounding.
    slower = {"epochs": 30, "noise_learning_rate": 0.005}
    trainer = _trained(noisy_tribes, "joint_positions", **slower)
    assert trainer.state.history[-1].weights_used == "all"
    weights = trainer.interaction_weights(train)
    assert train.is_noise is not None
    assert len({round(w, 4) for w in weights[:6].tolist()}) > 1  # of the items of one user
    quarters = _quarter(train.items)
    own = torch.stack(
        [
            quarters[train.offsets[u] : train.offsets[u + 1]].mode().values
            for u in range(train.num_users)
        ]
    )
    strange = train.is_noise & (quarters != own[torch.repeat_interleave(train.lengths)])
    assert float(weights[~train.is_noise].mean()) > 0.8
    assert float(weights[strange].mean()) < 0.5
    found = trainer.noise_detection(train)["interaction_AUC"]
    assert found is not None
    assert found > 0.8  # one replaced item in four fits as well as the one that was there


class _LastIsOdd(nn.Module):
    """Says -2 of the last item of every row and 2 of all before it."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))

    def forward(self, batch: Batch) -> Tensor:
        logits = torch.full(batch.sequences.shape, 2.0)
        logits[:, -1] = -2.0
        return self.scale * logits


@pytest.mark.filterwarnings("ignore::atjt_ext.training.trainer.WeightsCollapsedWarning")
@pytest.mark.parametrize("name", ["fearec", "din"])
def test_weights_that_are_told_are_those_of_last_items_where_only_these_weigh(name: str) -> None:
    sequences = tiny_sequences(*_tribes(8).tolist(), num_items=20)
    config = RunConfig.from_recipe(
        "joint_positions",
        model=name,
        weighting="clean_probability",
        max_length=6,
        epochs=3,
        embedding_dim=8,
        noise_loss_weight=0.0,
        patience=None,
    )
    torch.manual_seed(0)
    recommender = config.model.build(20, max_length=6, num_users=8)
    trainer = JointTrainer(recommender, _LastIsOdd(), config=config.trainer)
    trainer.fit(sequences, progress=False)
    used = trainer.state.history[-1].weights
    assert used.std == pytest.approx(0.0, abs=1e-6)
    targets = torch.arange(12).repeat(8) > 0  # a user's first item is no target
    told = trainer.interaction_weights(sequences)[targets]
    torch.testing.assert_close(told, torch.full_like(told, used.mean))
    assert used.mean == pytest.approx(float(torch.sigmoid(torch.tensor(2.0))), abs=1e-6)


class _Length(nn.Module):
    """Knows nothing but how long a row is, and how a fifth of so many is rounded."""

    def forward(self, batch: Batch) -> Tensor:
        lengths = (batch.sequences != 0).sum(dim=1, keepdim=True)
        return ((0.2 * lengths + 0.5).floor() / lengths).expand_as(batch.sequences)


def test_the_length_of_a_row_tells_nothing_of_the_recipes_damage() -> None:
    """Exact shares of short rows are rounded: a fifth of three items is one of three."""
    generator = torch.Generator().manual_seed(0)
    lengths = torch.randint(2, 9, (3000,), generator=generator).tolist()
    rows = TrainingRows(
        tiny_sequences(*[[1 + i % 9 for i in range(n)] for n in lengths]), max_length=9
    )
    areas = {}
    for changes in ({}, {"replace_ratio": 0.2}):
        config = JointTrainerConfig.from_recipe("joint_positions", **changes)
        trainer = JointTrainer(SASRec(9, embedding_dim=8), _Length(), config=config)
        folds = torch.arange(3000) % 2
        models = CrossFittedNoiseModels(
            _Length(), folds, num_folds=2, calibrated=True, gate_auc=config.gate, seed=config.seed
        )
        models.calibrate(rows, trainer.corruption, range(2))
        areas[config.replace_ratio] = models.held_out_auc
        assert models.folds_weighed(range(2)) == ("none" if not changes else "all")
    assert areas[None] == pytest.approx(0.5, abs=0.02)
    assert areas[0.2] > config.gate


# ---- from a config ----------------------------------------------------------------------------


def test_a_config_names_its_noise_model() -> None:
    config = RunConfig.from_recipe(
        "joint_positions", max_length=7, noise_embedding_dim=12, noise_num_blocks=3
    )
    assert config.noise_model is not None
    model = config.noise_model.build(9, max_length=7)
    assert isinstance(model, BidirectionalNoiseModel)
    assert (model.num_items, model.max_length, len(model.blocks)) == (9, 7, 3)
    assert model.item_embedding.embedding_dim == 12
    assert RunConfig.from_recipe("default").noise_model is None
    joint = RunConfig.from_recipe("joint").noise_model
    assert joint is not None
    assert joint.name == "target_attention"
