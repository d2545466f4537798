"""The `paper` recipe, walked step by step through one epoch of each of its two phases.

Plain torch repeats what the paper's public code (docs/paper.md) does in every step: which rows it
damages, judges and recommends from, and its loss.
"""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest
import torch
from torch.nn import functional as F
from torch.nn.utils import parameters_to_vector, vector_to_parameters

from atjt_ext import JointTrainer, TargetAttentionNoiseModel
from atjt_ext.data import Batch, LeaveOneOut
from atjt_ext.models import DIN
from atjt_ext.runs.config import RunConfig
from helpers.joint import parameters
from helpers.walk import Walk, walk_through

pytestmark = pytest.mark.filterwarnings("ignore::atjt_ext.training.trainer.WeightsCollapsedWarning")


@pytest.fixture(scope="module")
def walk(split: LeaveOneOut) -> Walk:
    """One epoch of either phase."""
    run = RunConfig.from_recipe("paper", model="din", epochs=1, batch_size=16, max_length=8)
    torch.manual_seed(0)
    items = split.train.num_items
    recommender = DIN(items, num_users=split.train.num_users, embedding_dim=8)
    noise_model = TargetAttentionNoiseModel(items, embedding_dim=8)
    return walk_through(JointTrainer(recommender, noise_model, config=run.trainer), split.train)


def users(batches: list[Batch]) -> list[int]:
    return [user for batch in batches for user in batch.users.tolist()]


def test_every_step_damages_one_half_and_recommends_from_the_other(walk: Walk) -> None:
    assert {step.phase for step in walk.steps} == {0, 1}
    assert [step.phase for step in walk.steps] == sorted(step.phase for step in walk.steps)
    for phase in (0, 1):
        weighed = users([step.recommended for step in walk.of(phase)])
        learned = users([step.to_damage for step in walk.of(phase)])
        assert not set(weighed) & set(learned)


def test_the_halves_swap_and_an_epoch_recommends_from_each_row_once(
    walk: Walk, split: LeaveOneOut
) -> None:
    halves = [set(users([step.recommended for step in walk.of(phase)])) for phase in (0, 1)]
    assert not halves[0] & halves[1]
    assert halves[0] | halves[1] == set((split.train.lengths > 1).nonzero().flatten().tolist())
    for phase in (0, 1):
        # Too few steps to damage every row of the other half only if it is the larger one.
        assert set(users([step.to_damage for step in walk.of(phase)])) <= halves[1 - phase]
        rows = [row for step in walk.of(phase) for row in step.recommended.rows.tolist()]
        assert len(rows) == len(set(rows))


def test_half_of_the_damaged_rows_have_one_history_item_replaced(walk: Walk) -> None:
    for step in walk.steps:
        batch, damage = step.to_damage, step.damage
        # Of an odd number, one row more or less.
        assert abs(int(damage.noise_labels.sum()) - len(batch) / 2) <= 0.5
        changed = damage.sequences != batch.sequences
        assert torch.equal(changed, damage.replaced)
        assert torch.equal(changed.sum(1), damage.noise_labels.long())
        assert not changed[:, -1].any(), "the target stays"
        assert not changed[batch.sequences == 0].any(), "padding stays"


def test_the_noise_model_sees_the_damaged_half_and_the_untouched_other_half(walk: Walk) -> None:
    for step in walk.steps:
        assert [judged.model for judged in step.judged] == [step.phase, step.phase]
        batch, damage = step.to_damage, step.damage
        assert torch.equal(step.judged[0].batch.sequences, damage.sequences)
        assert torch.equal(step.judged[0].batch.users, batch.users)
        assert torch.equal(step.judged[1].batch.sequences, step.recommended.sequences)
        assert torch.equal(step.judged[1].batch.users, step.recommended.users)


def test_the_recommender_sees_untouched_rows_and_one_negative_each(walk: Walk) -> None:
    for step in walk.steps:
        ((batch, candidates, scores),) = step.scored
        assert torch.equal(batch.sequences, step.recommended.sequences)
        assert torch.equal(candidates[:, 0], step.recommended.sequences[:, -1])
        assert candidates.shape == scores.shape == (len(batch), 2)
        assert not (candidates[:, 1] == candidates[:, 0]).any()


def test_the_loss_is_that_of_the_public_code(walk: Walk) -> None:
    for step in walk.steps:
        # One weight for a row's positive and negative, normalised by the sum over both.
        weight = torch.sigmoid(-step.judged[1].logits).repeat(2)
        ((_, _, scores),) = step.scored
        predicted = torch.sigmoid(scores.T.flatten())
        label = torch.cat([torch.ones(len(scores)), torch.zeros(len(scores))])
        recommended = (weight * F.binary_cross_entropy(predicted, label, reduction="none")).sum()
        untouched = (~step.damage.noise_labels).float()
        clean = torch.sigmoid(-step.judged[0].logits)
        expected = recommended / weight.sum() + 100 * F.binary_cross_entropy(clean, untouched)
        torch.testing.assert_close(step.loss, expected)


def test_the_recommender_goes_on_and_the_second_noise_model_starts_afresh(walk: Walk) -> None:
    first, second = walk.of(0), walk.of(1)
    prototype = walk.trainer.models.noise_model
    assert prototype is not None
    # Every fold's model starts from the same parameters.
    assert torch.equal(first[0].noise_models_before[0], parameters(prototype))
    assert torch.equal(second[0].noise_models_before[1], parameters(prototype))
    # Each learns in its own phase only.
    assert not torch.equal(second[0].noise_models_before[0], parameters(prototype))
    assert torch.equal(walk.noise_models_after[0], second[0].noise_models_before[0])
    assert not torch.equal(walk.noise_models_after[1], parameters(prototype))
    # Never set back: what phase 2 begins with is what the last step of phase 1 left.
    moved = second[0].recommender_before - first[-1].recommender_before
    assert 0 < float(moved.abs().max()) < 0.1
    assert not torch.equal(second[0].recommender_before, first[0].recommender_before)


def test_one_backward_pass_reaches_the_noise_model_through_both_losses(walk: Walk) -> None:
    prototype = walk.trainer.models.noise_model
    assert prototype is not None
    for step in walk.steps:
        model = copy.deepcopy(prototype)
        vector_to_parameters(step.noise_models_before[step.phase], model.parameters())
        batch, damage = step.to_damage, step.damage
        weight = torch.sigmoid(-model(step.recommended))
        ((_, _, scores),) = step.scored
        losses = F.softplus(-scores[:, 0]) + F.softplus(scores[:, 1])
        through_weights = (weight * losses.detach()).sum() / (2 * weight.sum())
        labels = damage.noise_labels.float()
        own = F.binary_cross_entropy_with_logits(
            model(replace(batch, sequences=damage.sequences)), labels
        )
        both, only_own = (
            parameters_to_vector(
                torch.autograd.grad(loss, list(model.parameters()), retain_graph=True)
            )
            for loss in (through_weights + 100 * own, 100 * own)
        )
        torch.testing.assert_close(step.noise_gradient, both, rtol=1e-4, atol=1e-5)
        if len(step.recommended) == 1:
            continue  # normalised by itself, its weight does nothing
        # The gradient through the weights is small beside 100 times the other, and is there.
        assert float((both - only_own).abs().max()) > 1e-5
        assert not torch.equal(step.noise_gradient, only_own)
