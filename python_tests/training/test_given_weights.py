"""Weights that come with the sequences, on targets, on inputs, or on both."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from atjt_ext import JointTrainer, JointTrainerConfig, SASRec
from atjt_ext.data import EvaluationSet, LeaveOneOut, Sequences, TrainingRows, leave_one_out
from atjt_ext.evaluation.ranking import full_ranks, top_items
from atjt_ext.models._packing import PackedRows
from atjt_ext.models.scoring import require_input_weight
from atjt_ext.training.objectives import recommender_loss
from helpers.joint import config, fit, parameters, trainer
from helpers.tiny import LastItemModel, ScoreTable, tiny_batch, tiny_evaluation_set, tiny_sequences


def weighed(sequences: Sequences, weights: torch.Tensor) -> Sequences:
    return replace(sequences, weights=weights.float())


def small(num_items: int = 9) -> SASRec:
    torch.manual_seed(0)
    model = SASRec(num_items, max_length=6, embedding_dim=16, dropout=0.0)
    with torch.no_grad():
        for parameter in model.parameters():  # larger than at the start: differences show
            parameter.add_(0.3 * torch.randn_like(parameter))
        model.item_embedding.weight[0] = 0.0
    return model


# ---- they travel with the sequences -----------------------------------------------------------


def test_weights_stay_with_their_interactions() -> None:
    whole = weighed(tiny_sequences([1, 2, 3, 4, 5], [6, 7, 8]), torch.arange(8) / 8)
    split = leave_one_out(whole)
    assert split.train.weights is not None
    assert (8 * split.train.weights).tolist() == [0, 1, 2, 5]
    batch = TrainingRows(split.train, max_length=4).gather(torch.tensor([0]))
    assert batch.weights is not None
    assert (8 * batch.weights).tolist() == [[0, 1, 2]]
    assert batch.input_weights is not None
    assert (8 * batch.input_weights).tolist() == [[0, 1]]
    (read,) = split.test.batches(2, 6)
    assert read.weights is not None
    assert (8 * read.weights).tolist() == [[0, 1, 2, 3], [0, 0, 5, 6]]
    kept = whole.where(torch.tensor([1, 0, 1, 0, 0, 0, 0, 1], dtype=torch.bool))
    assert kept.weights is not None
    assert kept.items.tolist() == [1, 3, 8]
    assert kept.offsets.tolist() == [0, 2, 3]
    assert (8 * kept.weights).tolist() == [0, 2, 7]


def test_wrong_weights_are_refused() -> None:
    sequences = tiny_sequences([1, 2, 3])
    with pytest.raises(ValueError, match=r"weights must be \[3\], got \[2\]"):
        weighed(sequences, torch.ones(2))
    with pytest.raises(ValueError, match=r"weights must be in \[0, 1\]"):
        weighed(sequences, torch.tensor([0.0, 1.0, 1.5]))
    with pytest.raises(ValueError, match=r"weights must be in \[0, 1\]"):
        weighed(sequences, torch.tensor([0.0, 1.0, torch.nan]))
    with pytest.raises(ValueError, match=r"keep must be \[3\] torch.bool, got \[3\] torch.int64"):
        sequences.where(torch.ones(3, dtype=torch.int64))


# ---- what weighted inputs mean ----------------------------------------------------------------


def test_inputs_of_weight_one_are_read_as_ever() -> None:
    model, sequences = small(), torch.tensor([[0, 1, 2, 3], [4, 5, 6, 7]])
    plain, ones = model.encode(sequences), model.encode(sequences, torch.ones(2, 4))
    torch.testing.assert_close(ones, plain)


def test_an_input_of_weight_zero_is_read_by_nothing() -> None:
    model, weights = small(), torch.tensor([[1.0, 0.0, 1.0, 1.0]])
    first = model.encode(torch.tensor([[1, 2, 3, 4]]), weights)
    other = model.encode(torch.tensor([[1, 9, 3, 4]]), weights)
    torch.testing.assert_close(first, other)
    half = model.encode(torch.tensor([[1, 2, 3, 4]]), weights.clamp(min=0.5))
    assert float((half - first).detach()[0, 2:].abs().max()) > 1e-2


def test_a_position_of_weight_zero_is_not_even_looked_at() -> None:
    model, weights = small(), torch.tensor([[1.0, 0.0, 1.0, 1.0]])
    sequences = torch.tensor([[1, 2, 3, 4]])
    before = model.encode(sequences, weights).detach()
    with torch.no_grad():
        model.position_embedding.weight[2] += torch.randn(16)  # counted from the end
    after = model.encode(sequences, weights).detach()
    torch.testing.assert_close(after[0, [0, 2, 3]], before[0, [0, 2, 3]])
    assert float((after - before)[0, 1].abs().max()) > 1e-2


def test_a_key_of_weight_w_counts_w_times() -> None:
    # Equal scores: a query attends by weight; its own weight counts as 1.
    weights = torch.tensor([[0.25, 0.5, 0.1]])
    rows = PackedRows(torch.ones(1, 3, dtype=torch.bool), input_weight=weights)
    nothing, values = torch.zeros(3, 3), torch.eye(3)
    attention = rows.attend(torch.cat([nothing, nothing, values], dim=1), 1)[2]
    assert attention.tolist() == pytest.approx([0.25 / 1.75, 0.5 / 1.75, 1 / 1.75])


def test_weights_pass_finite_gradients_to_whoever_makes_them() -> None:
    model = small()
    weights = torch.tensor([[0.0, 0.5, 1.0]], requires_grad=True)
    model.encode(torch.tensor([[1, 2, 3]]), weights).square().sum().backward()
    assert weights.grad is not None
    assert bool(torch.isfinite(weights.grad).all())
    assert float(weights.grad[0, 1].abs()) > 0


# ---- where weights act ------------------------------------------------------------------------


def test_weights_on_targets_weigh_each_targets_loss() -> None:
    model, batch = LastItemModel(), tiny_batch([1, 2, 3], [4, 5])

    def loss(weights: torch.Tensor) -> float:
        found = recommender_loss(model, batch, weights, JointTrainerConfig())
        return found.item()

    only = [loss(torch.eye(6)[i].view(2, 3)) for i in (1, 2, 5)]
    mixed = loss(torch.tensor([[0.9, 0.5, 0.25], [0.0, 0.3, 0.25]]))
    assert mixed == pytest.approx((0.5 * only[0] + 0.25 * only[1] + 0.25 * only[2]) / 1.0)


def learned(split: LeaveOneOut, weights: torch.Tensor, **changes: object) -> torch.Tensor:
    made = trainer(split, weighting="given", **changes)
    made.fit(weighed(split.train, weights), split.valid, progress=False)
    return parameters(made.recommender)


def test_given_ones_are_equal_weights(split: LeaveOneOut) -> None:
    equal = parameters(fit(split, weighting="equal").recommender)
    ones = torch.ones(split.train.num_interactions)
    torch.testing.assert_close(learned(split, ones), equal, rtol=1e-3, atol=1e-4)
    for acts_on in ("inputs", "both"):
        found = learned(split, ones, weights_act_on=acts_on)
        torch.testing.assert_close(found, equal, rtol=5e-3, atol=5e-3)


def test_weights_act_where_they_are_told_to(split: LeaveOneOut) -> None:
    torch.manual_seed(1)
    weights = (torch.rand(split.train.num_interactions) > 0.4).float()
    found = {on: learned(split, weights, weights_act_on=on) for on in ("targets", "inputs", "both")}
    for first, second in (("targets", "inputs"), ("targets", "both"), ("inputs", "both")):
        assert float((found[first] - found[second]).abs().max()) > 1e-2


def test_evaluation_reads_histories_under_their_weights() -> None:
    model = small()
    users = [[1 + (u + k) % 9 for k in range(4)] for u in range(9)]
    data = tiny_evaluation_set(users, [1 + (u + 6) % 9 for u in range(9)])
    # Everybody's last item is hidden.
    weights = torch.tensor([1.0, 1.0, 1.0, 0.0]).repeat(9)
    hidden = replace(data, histories=weighed(data.histories, weights))

    def outcome(of: EvaluationSet, weigh: bool) -> list[list[float]]:
        ranks = full_ranks(model, of, max_length=6, weigh_inputs=weigh, exclude_seen=False)
        _, scores = top_items(model, of, k=3, max_length=6, weigh_inputs=weigh)
        return [ranks.tolist(), scores.flatten().tolist()]

    plain = outcome(data, False)
    assert outcome(data, True) == outcome(hidden, False) == plain
    ranks, scores = outcome(hidden, True)
    assert ranks != plain[0]
    assert scores != plain[1]


def test_what_is_read_may_be_less_than_what_was_seen() -> None:
    data = tiny_evaluation_set([[1, 2, 3]], [7])
    less = replace(data, read=tiny_sequences([1, 3]))
    (batch,) = less.batches(1, 6)
    assert batch.inputs.tolist() == [[1, 3]]
    assert sorted(batch.seen_items.tolist()) == [1, 2, 3]
    two = tiny_evaluation_set([[1, 2, 3], [4]], [7, 8])
    (batch, _) = replace(two, read=tiny_sequences([], [4])).batches(1, 6)
    assert batch.inputs.tolist() == [[0]]


# ---- refusals ---------------------------------------------------------------------------------


def test_what_cannot_be_weighed_is_refused(split: LeaveOneOut) -> None:
    with pytest.raises(ValueError, match="needs training sequences that carry weights"):
        fit(split, weighting="given")
    with pytest.raises(TypeError, match="takes input_weight, that of LastItemModel does not"):
        JointTrainer(LastItemModel(), config=config(weighting="given", weights_act_on="both"))
    with pytest.raises(TypeError, match="ScoreTable has no encode"):
        require_input_weight(ScoreTable(torch.zeros(1, 9)))
    with pytest.raises(ValueError, match="needs a weight for each position"):
        fit(split, weights_act_on="inputs", gate_auc=0.0, warmup_epochs=1)
