"""JointTrainer: steps, epochs, messages, and finding planted noise."""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from atjt_ext import JointTrainer, SASRec, TargetAttentionNoiseModel
from atjt_ext.data import (
    Batch,
    LeaveOneOut,
    PlantedNoise,
    leave_one_out,
    simulate_interactions,
    to_sequences,
)
from atjt_ext.training import objectives, step_weights
from atjt_ext.training.trainer import TrainingDivergedError, WeightsCollapsedWarning
from helpers.joint import config, fit, parameters, trainer

# A barely trained noise model gives all rows one weight, which does not matter in some tests.
collapsed_is_fine = pytest.mark.filterwarnings(
    "ignore::atjt_ext.training.trainer.WeightsCollapsedWarning"
)


def test_training_improves_the_recommender(split: LeaveOneOut) -> None:
    untrained = trainer(split).evaluate(split.valid)
    trained = fit(split, epochs=8).evaluate(split.valid)
    assert trained["NDCG@10"] > 1.5 * untrained["NDCG@10"]


def test_the_same_seed_gives_the_same_parameters_and_another_seed_others(
    split: LeaveOneOut,
) -> None:
    first, second, other = (parameters(fit(split, seed=s).recommender) for s in (1, 1, 2))
    assert torch.equal(first, second)
    assert not torch.equal(first, other)


def test_untrusted_weights_train_exactly_like_equal_weights(split: LeaveOneOut) -> None:
    gated = fit(split, gate_auc=1.0)
    equal = fit(split, weighting="equal")
    assert gated.models.noise_models is not None
    assert equal.models.noise_models is None
    assert torch.equal(parameters(gated.recommender), parameters(equal.recommender))


def test_trusted_weights_change_what_is_learned(split: LeaveOneOut) -> None:
    weighed = fit(split, gate_auc=0.0, warmup_epochs=1)
    assert [record.weights_used for record in weighed.state.history] == ["none", "all", "all"]
    equal = fit(split, weighting="equal")
    assert not torch.equal(parameters(weighed.recommender), parameters(equal.recommender))


def test_the_noise_model_draws_nothing_from_the_recommenders_random_stream(
    split: LeaveOneOut,
) -> None:
    class Drawing(TargetAttentionNoiseModel):
        def forward(self, batch: Batch) -> Tensor:
            torch.rand(7)
            return super().forward(batch)

    drawing = Drawing(split.train.num_items, embedding_dim=8, hidden_dims=(16,))
    made = trainer(split, noise_model=drawing, gate_auc=1.0)
    made.fit(split.train, split.valid, progress=False)
    equal = fit(split, weighting="equal")
    assert torch.equal(parameters(made.recommender), parameters(equal.recommender))


def test_fit_leaves_the_callers_random_stream_alone(split: LeaveOneOut) -> None:
    made = trainer(split, epochs=1)
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    made.fit(split.train, split.valid, progress=False)
    assert torch.equal(torch.rand(3), expected)


# ---- one step ---------------------------------------------------------------------------------


def noise_gradient(split: LeaveOneOut, **changes: object) -> float:
    """How far one step with lambda = 0 moves the noise models."""
    fresh = TargetAttentionNoiseModel(split.train.num_items, embedding_dim=8, hidden_dims=(16,))
    options = {"weighting": "clean_probability", "noise_loss_weight": 0.0, **changes}
    made = trainer(split, noise_model=fresh, **options)
    made.fit(split.train, progress=False)
    assert made.models.noise_models is not None
    moved = parameters(made.models.noise_models.models[0]) - parameters(fresh)
    return float(moved.abs().max())


@collapsed_is_fine
def test_the_recommenders_loss_trains_the_noise_model_only_through_the_weights(
    split: LeaveOneOut,
) -> None:
    common = {"epochs": 1, "warmup_epochs": 0}
    assert noise_gradient(split, gradient_through_weights=True, **common) > 1e-4
    assert noise_gradient(split, gradient_through_weights=False, **common) == 0.0


def test_lambda_scales_the_noise_models_part_of_the_loss(split: LeaveOneOut) -> None:
    moved = [
        parameters(fit(split, noise_loss_weight=w, epochs=1, optimizer="adagrad").recommender)
        for w in (0.0, 10.0)
    ]
    # Detached weights: lambda reaches the noise models only, never the recommender.
    assert torch.equal(*moved)


def test_a_loss_that_is_not_finite_stops_with_step_rows_and_checkpoint(
    split: LeaveOneOut, tmp_path: Path
) -> None:
    made = trainer(split, epochs=2)

    def poison(history: list[object]) -> None:
        with torch.no_grad():
            made.recommender.item_embedding.weight.fill_(torch.nan)

    path = tmp_path / "c.pt"
    with pytest.raises(TrainingDivergedError) as caught:
        made.fit(split.train, progress=False, checkpoint=path, on_epoch=poison)
    message = str(caught.value)
    steps = made.state.steps
    assert steps > 0
    assert f"loss is nan at step {steps} (training rows [" in message
    assert str(path) in message


# ---- the paper's schedule ---------------------------------------------------------------------


@collapsed_is_fine
def test_sequential_cross_fitting_keeps_learning_and_weighing_apart(
    split: LeaveOneOut, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = trainer(
        split, cross_fitting="sequential", weighting="clean_probability", epochs=2, patience=None
    )
    seen: list[tuple[int, set[int], set[int]]] = []
    original = made.step

    def spy(batch: Batch, noise_batch: Batch, *, active: list[int], weigh: bool) -> object:
        (phase,) = active
        seen.append((phase, set(batch.users.tolist()), set(noise_batch.users.tolist())))
        return original(batch, noise_batch, active=active, weigh=weigh)

    monkeypatch.setattr(made, "step", spy)
    made.fit(split.train, progress=False)
    assert len(made.state.history) == 4
    users = {p: [set.union(*(s[i] for s in seen if s[0] == p)) for i in (1, 2)] for p in (0, 1)}
    (weighed_0, learned_0), (weighed_1, learned_1) = users[0], users[1]
    assert not weighed_0 & learned_0
    assert not weighed_1 & learned_1
    # The halves swap.
    assert weighed_0 == learned_1
    assert weighed_1 == learned_0
    assert len(weighed_0 | weighed_1) == int((split.train.lengths > 1).sum())


def test_the_paper_recipe_runs_through(split: LeaveOneOut) -> None:
    made = trainer(split, recipe="paper", batch_size=32, max_length=12, epochs=1)
    with pytest.warns(WeightsCollapsedWarning, match="weights have collapsed to 0"):
        history = made.fit(split.train, split.valid, progress=False)
    assert [record.weights_used for record in history] == ["all", "all"]
    assert all(record.noise_auc is not None for record in history)


# ---- what it says about the noise -------------------------------------------------------------


def test_weights_that_are_all_alike_are_warned_about(split: LeaveOneOut) -> None:
    with pytest.warns(WeightsCollapsedWarning, match="The noise model has usually learned nothing"):
        fit(split, weighting="clean_probability", noise_learning_rate=1e-12, warmup_epochs=0)


def test_the_gate_says_why_weights_stay_equal(
    split: LeaveOneOut, capsys: pytest.CaptureFixture[str]
) -> None:
    made = trainer(split, gate_auc=1.0, epochs=4)
    made.fit(split.train, split.valid)
    told = capsys.readouterr().err
    assert told.count("equal weights for all folds: the held-out AUC is below gate_auc=1.0") == 1
    assert "held-out AUC 0." in told
    assert {record.weights_used for record in made.state.history} == {"none"}


def test_planted_noise_is_found_out_of_fold() -> None:
    interactions = simulate_interactions(
        num_users=600, num_items=100, seed=3, noise=PlantedNoise(noisy_user_share=0.3)
    )
    split = leave_one_out(to_sequences(interactions))
    made = fit(split, epochs=8, gate_auc=0.0, noise_learning_rate=5e-3)
    found = made.noise_detection(split.train)
    assert found["sequence_AUC"] is not None
    assert found["sequence_AUC"] > 0.6
    weights = made.sequence_weights(split.train)
    assert weights.shape == (split.train.num_users,)
    alone = split.train.lengths < 2
    assert torch.equal(weights.isnan(), alone)


def test_equal_weights_are_ones_and_find_nothing(split: LeaveOneOut) -> None:
    made = fit(split, weighting="equal", epochs=1)
    weights = made.interaction_weights(split.train)
    assert set(weights[~weights.isnan()].tolist()) == {1.0}
    assert made.interaction_noise_logits(split.train).isnan().all()


# ---- other kinds of models --------------------------------------------------------------------


class Pointwise(nn.Module):
    """Scores a candidate by its fit with the mean of the history."""

    def __init__(self, num_items: int) -> None:
        super().__init__()
        self.num_items = num_items
        self.items = nn.Embedding(num_items + 1, 16, padding_idx=0)

    def score(self, batch: Batch, candidates: Tensor) -> Tensor:
        taste = self.items(batch.inputs).sum(1) / (batch.inputs != 0).sum(1, keepdim=True)
        return torch.einsum("bd,bcd->bc", taste, self.items(candidates))


class PositionNoise(nn.Module):
    """One logit per position."""

    def __init__(self, num_items: int) -> None:
        super().__init__()
        self.items = nn.Embedding(num_items + 1, 1)

    def forward(self, batch: Batch) -> Tensor:
        return self.items(batch.sequences).squeeze(-1)


@pytest.mark.parametrize(("loss", "gain"), [("cross_entropy", 1.3), ("binary_cross_entropy", 1.1)])
def test_a_pointwise_recommender_trains_too(split: LeaveOneOut, loss: str, gain: float) -> None:
    torch.manual_seed(0)
    items = split.train.num_items
    made = JointTrainer(
        Pointwise(items),
        TargetAttentionNoiseModel(items, embedding_dim=8),
        config=config(loss=loss, epochs=25, patience=None, gate_auc=0.0, learning_rate=5e-2),
    )
    before = made.evaluate(split.valid)["NDCG@10"]
    made.fit(split.train, split.valid, progress=False)
    assert made.evaluate(split.valid)["NDCG@10"] > gain * before


def test_a_noise_model_may_judge_positions(split: LeaveOneOut) -> None:
    items = split.train.num_items
    made = JointTrainer(
        SASRec(items, max_length=12, embedding_dim=16),
        PositionNoise(items),
        config=config(gate_auc=0.0, noise_learning_rate=0.1),
    )
    made.fit(split.train, split.valid, progress=False)
    weights = made.interaction_weights(split.train)
    first_user = weights[: int(split.train.lengths[0])]
    assert len(first_user.unique()) > 1


# ---- refusals ---------------------------------------------------------------------------------


def test_what_cannot_be_trained_is_refused(split: LeaveOneOut) -> None:
    with pytest.raises(TypeError, match=r"encode\(sequences\) .* Linear has neither"):
        JointTrainer(nn.Linear(2, 2), None, config=config(weighting="equal"))
    with pytest.raises(ValueError, match="noise_model must be given under weighting='calibrated'"):
        JointTrainer(SASRec(9), None, config=config())
    with pytest.raises(ValueError, match=r"must be None under weighting='co_occ.*'joint'"):
        JointTrainer(SASRec(9), TargetAttentionNoiseModel(9))
    with pytest.raises(ValueError, match="the recommender has 9 items, train has 60"):
        JointTrainer(SASRec(9), None, config=config(weighting="equal")).fit(split.train)
    with pytest.raises(ValueError, match="resume needs a checkpoint"):
        trainer(split).fit(split.train, resume=True)
    with pytest.raises(RuntimeError, match="nothing is trained yet: call fit or load first"):
        trainer(split).sequence_weights(split.train)
    with pytest.raises(ValueError, match="history is written together with a checkpoint"):
        trainer(split).fit(split.train, history="history.jsonl", progress=False)


# ---- options of the recommender's loss ----------------------------------------------------------

# An option -> another value than its default, and the options without which it has no effect.
LOSS_OPTIONS: dict[str, tuple[Any, dict[str, Any]]] = {
    "loss": ("binary_cross_entropy", {}),
    "softmax": ("linear", {}),
    "num_negatives": (5, {"loss": "binary_cross_entropy"}),
    "adaptive_denoising": ("reweighted", {}),
    "truncated_share": (0.5, {"adaptive_denoising": "truncated", "truncation_epochs": 0}),
    "truncation_epochs": (0, {"adaptive_denoising": "truncated"}),
    "reweighting_power": (1.0, {"adaptive_denoising": "reweighted"}),
}


def test_every_option_that_the_loss_reads_is_listed_above() -> None:
    source = inspect.getsource(objectives) + inspect.getsource(step_weights.adaptive_denoising)
    assert set(re.findall(r"\bconfig\.(\w+)", source)) == set(LOSS_OPTIONS)


@pytest.mark.parametrize("name", LOSS_OPTIONS)
def test_an_option_of_the_loss_reaches_the_loss_of_the_first_step(
    name: str, split: LeaveOneOut, monkeypatch: pytest.MonkeyPatch
) -> None:
    # All ways to compute the softmax agree, so make one of them differ.
    linear = objectives.linear_reweighted_cross_entropy
    monkeypatch.setattr(
        objectives, "linear_reweighted_cross_entropy", lambda *a, **o: 2 * linear(*a, **o)
    )
    value, beside = LOSS_OPTIONS[name]
    losses = []
    for changes in ({}, {name: value}):
        one_step = {"weighting": "equal", "epochs": 1, "batch_size": 1000}
        made = fit(split, **one_step, **beside, **changes)
        assert made.state.steps == 1
        losses.append(made.state.history[0].recommender_loss)
    assert losses[0] != losses[1]


# ---- what a model may ask of its training -------------------------------------------------------


class Penalised(SASRec):
    """A recommender with a loss of its own."""

    def auxiliary_loss(self, batch: Batch) -> Tensor:
        return 3.0 + 0.0 * self.item_embedding.weight.sum() + 0.1 * self.final_norm.bias.sum()


def test_a_models_own_loss_is_added_and_trained_on(split: LeaveOneOut) -> None:
    losses, biases = [], []
    for kind in (SASRec, Penalised):
        torch.manual_seed(0)
        items = split.train.num_items
        made = JointTrainer(
            kind(items, max_length=12, embedding_dim=16, num_blocks=1),
            config=config(weighting="equal", epochs=1, batch_size=1000),
        )
        losses.append(made.fit(split.train, progress=False)[0].recommender_loss)
        biases.append(made.recommender.final_norm.bias)
    assert losses[1] == pytest.approx(losses[0] + 3.0, abs=1e-4)
    assert not torch.equal(*biases)


def test_the_windows_of_training_are_as_far_apart_as_asked(
    split: LeaveOneOut, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    made = trainer(split, epochs=1, window_stride=1)
    step = made.step

    def counting(batch: Batch, *arguments: Any, **options: Any) -> Any:
        seen.append(batch)
        return step(batch, *arguments, **options)

    monkeypatch.setattr(made, "step", counting)
    made.fit(split.train, progress=False)
    targets = split.train.num_interactions - split.train.num_users
    assert sum(map(len, seen)) == targets
