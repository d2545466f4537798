"""The joint loss in training loops of other libraries."""

from __future__ import annotations

import copy
import logging
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from atjt_ext import JointLoss, JointTrainerConfig
from atjt_ext.data import Batch, user_folds
from atjt_ext.recognition.calibration import Calibration
from atjt_ext.recognition.noise_models import TargetAttentionNoiseModel
from atjt_ext.training.host_batches import RecentRows

NUM_ITEMS, NUM_USERS = 40, 12


def _joint(**options: Any) -> JointLoss:
    names = ("warmup_steps", "calibrate_every", "calibration_rows", "noise_model")
    own = {name: options.pop(name) for name in names if name in options}
    recipe = {"noise_loss_weight": 0.5, **options}
    config = JointTrainerConfig.from_recipe("joint", **recipe)
    return JointLoss(NUM_ITEMS, NUM_USERS, config=config, **own)


def _rows(count: int = 24, width: int = 7, *, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Clean rows walk up the catalogue, which makes replaced items recognisable; lengths differ."""
    generator = torch.Generator().manual_seed(seed)
    start = torch.randint(NUM_ITEMS, (count, 1), generator=generator)
    sequences = (start + torch.arange(width)) % NUM_ITEMS + 1
    lengths = torch.randint(2, width + 1, (count, 1), generator=generator)
    sequences[torch.arange(width) < width - lengths] = 0
    return sequences, torch.arange(count) % NUM_USERS


def _trusted(joint: JointLoss, *, noise_rate: float = 0.3) -> None:
    joint.noise_models.calibrations = [Calibration(0.9, 0.5, noise_rate, True)] * 2
    joint.steps = joint.warmup_steps
    for model in joint.noise_models.models:
        if isinstance(model, TargetAttentionNoiseModel):  # its first logits are all alike
            model.classifier[-1].weight.data *= 30


class _Positions(nn.Module):
    """A noise model that judges positions: the larger the item, the noisier."""

    def forward(self, batch: Batch) -> Tensor:
        return batch.sequences / 10.0 - 2.0


def test_weights_of_one_give_the_plain_mean_and_the_noise_loss() -> None:
    joint = _joint()
    sequences, users = _rows()
    losses = torch.rand(24, 6)
    total = joint(sequences, users, losses)
    plain = losses[sequences[:, 1:] != 0].mean()
    noise_loss = joint.metrics()["noise_loss"]
    assert noise_loss > 0.1
    torch.testing.assert_close(total.detach(), plain + 0.5 * noise_loss)
    assert joint.metrics()["weight_std"] == 0.0
    assert "held_out_auc" not in joint.metrics()


@pytest.mark.parametrize("per_position", [False, True], ids=["rows", "positions"])
@pytest.mark.parametrize("per_row", [True, False], ids=["last", "all"])
def test_weights_weigh_the_losses_as_the_formula_says(per_position: bool, per_row: bool) -> None:
    joint = _joint(noise_loss_weight=0.0, noise_model=_Positions() if per_position else None)
    _trusted(joint)
    sequences, users = _rows()
    losses = torch.rand(24) if per_row else torch.rand(24, 6)
    counted = torch.ones(24, dtype=torch.bool) if per_row else sequences[:, 1:] != 0
    batch = Batch(torch.arange(24), users, sequences)
    weights = joint.noise_models.weights(batch).detach()
    if per_position:
        weights = weights[:, -1] if per_row else weights[:, 1:]
    elif not per_row:
        weights = weights[:, None].expand(24, 6)
    weights = weights * counted
    assert weights[counted].std() > 0.01
    wanted = (weights * losses).sum() / weights.sum()
    assert abs(wanted - losses[counted].mean()) > 1e-4
    torch.testing.assert_close(joint(sequences, users, losses).detach(), wanted)


def test_a_mask_says_which_losses_count() -> None:
    joint = _joint(noise_loss_weight=0.0)
    sequences, users = _rows()
    losses, mask = torch.rand(24, 6), torch.rand(24, 6) < 0.3
    losses[~mask] = torch.inf
    torch.testing.assert_close(joint(sequences, users, losses, mask=mask), losses[mask].mean())


@pytest.mark.parametrize("per_row", [True, False], ids=["last", "all"])
def test_cross_entropy_needs_no_logits_and_is_the_same(per_row: bool) -> None:
    joint = _joint()
    _trusted(joint)
    other = copy.deepcopy(joint)
    sequences, users = _rows()
    targets = sequences[:, -1] if per_row else sequences[:, 1:]
    hidden = torch.randn(*targets.shape, 8, requires_grad=True)
    table, bias = torch.randn(NUM_ITEMS + 1, 8, requires_grad=True), torch.randn(NUM_ITEMS + 1)
    ours = joint.cross_entropy(sequences, users, hidden, table, targets, bias=bias)
    logits = (hidden @ table.T + bias).flatten(0, -2)
    losses = F.cross_entropy(logits, targets.flatten(), reduction="none").view(targets.shape)
    theirs = other(sequences, users, losses)
    torch.testing.assert_close(ours, theirs)
    for mine, wanted in zip(
        torch.autograd.grad(ours, [hidden, table]),
        torch.autograd.grad(theirs, [hidden, table]),
        strict=True,
    ):
        torch.testing.assert_close(mine, wanted, rtol=1e-4, atol=1e-6)


def test_evaluation_is_the_plain_mean_and_leaves_no_trace() -> None:
    joint = _joint()
    _trusted(joint)
    before = copy.deepcopy(joint.state_dict())
    joint.eval()
    sequences, users = _rows()
    losses = torch.rand(24)
    torch.testing.assert_close(joint(sequences, users, losses), losses.mean())
    assert all(torch.equal(before[name], value) for name, value in joint.state_dict().items())
    assert joint.metrics() == {"held_out_auc": 0.9}


def test_gradients_reach_the_weights_only_if_asked() -> None:
    for through in (False, True):
        joint = _joint(noise_loss_weight=0.0, gradient_through_weights=through)
        _trusted(joint)
        sequences, users = _rows()
        joint(sequences, users, torch.rand(24)).backward()
        touched = [float(p.grad.abs().sum()) for p in joint.parameters() if p.grad is not None]
        assert (sum(touched) > 0) == through


def test_each_noise_model_learns_from_the_other_fold_only() -> None:
    joint = _joint()
    sequences, users = _rows()
    own = user_folds(NUM_USERS, 2, seed=0)[users] == 0
    joint(sequences[own], users[own], torch.rand(int(own.sum()))).backward()
    first, second = (
        sum(float(p.grad.abs().sum()) for p in model.parameters() if p.grad is not None)
        for model in joint.noise_models.models
    )
    assert first == 0.0 < second


def test_it_learns_passes_the_gate_and_weighs(caplog: pytest.LogCaptureFixture) -> None:
    """Planted noise gets lower weights; a closed gate is logged."""
    joint = _joint(warmup_steps=5, calibrate_every=60, calibration_rows=200)
    optimizer = torch.optim.Adam(joint.parameters(), lr=3e-3)
    with caplog.at_level(logging.INFO, logger="atjt_ext"):
        for step in range(245):
            sequences, users = _rows(64, seed=step)
            optimizer.zero_grad()
            joint(sequences, users, torch.rand(64)).backward()
            optimizer.step()
    said = [record.getMessage() for record in caplog.records]
    assert said[0].startswith("step 5: equal weights for all folds")
    assert joint.metrics()["held_out_auc"] > 0.7
    assert joint.noise_models.folds_weighed(range(2)) == "all"
    assert said[-1].endswith("sequences are weighed")
    sequences, users = _rows(200, seed=999)
    full = sequences[:, 0] != 0
    noisy = torch.randint_like(sequences, 1, NUM_ITEMS + 1)
    clean_w, noisy_w = (
        joint.noise_models.weights(Batch(users, users, rows)).detach()[full]
        for rows in (sequences, noisy)
    )
    assert clean_w.mean() > noisy_w.mean() + 0.1


def test_nothing_is_weighed_before_the_first_calibration() -> None:
    joint = _joint(weighting="clean_probability", warmup_steps=2)
    sequences, users = _rows()
    spreads = []
    for _ in range(3):
        joint(sequences, users, torch.rand(24))
        spreads.append(joint.metrics()["weight_std"])
    assert spreads[:2] == [0.0, 0.0]
    assert spreads[2] > 0.0


def test_calibration_comes_after_warm_up_and_then_in_its_turn(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    joint = _joint(warmup_steps=2, calibrate_every=3)
    at: list[int] = []
    monkeypatch.setattr(joint.noise_models, "calibrate", lambda *_: at.append(joint.steps))
    sequences, users = _rows()
    for _ in range(9):
        joint(sequences, users, torch.rand(24))
    assert at == [2, 5, 8]


def test_the_latest_rows_are_kept_at_any_width() -> None:
    recent = RecentRows(6)
    for first in range(4):
        sequences = torch.full((3, 2 + first % 2), first + 1)
        recent.append(Batch(torch.arange(3), torch.full((3,), first), sequences))
    assert recent.users.tolist() == [2, 2, 2, 3, 3, 3]
    found = recent.gather(torch.tensor([0, 5]))
    assert found.sequences.tolist() == [[0, 3, 3], [4, 4, 4]]
    assert found.users.tolist() == [2, 3]


def test_a_checkpoint_goes_on_where_it_was() -> None:
    joint = _joint(warmup_steps=2)
    sequences, users = _rows(200)
    for _ in range(3):
        joint(sequences, users, torch.rand(200))
    state = joint.state_dict()
    assert all(isinstance(value, Tensor) for value in state.values())
    other = _joint(warmup_steps=2)
    other.load_state_dict(state)
    assert other.steps == 3
    assert other.noise_models.calibrations == joint.noise_models.calibrations
    assert other.noise_models.calibrations[0] is not None
    fresh = _joint()
    fresh.load_state_dict(_joint().state_dict())
    assert fresh.noise_models.calibrations == [None, None]
    with pytest.raises(ValueError, match=r"calibrations must be \[2, 4\], a row per fold"):
        joint.set_extra_state(torch.zeros(4, 4))


def test_building_and_running_it_draws_none_of_torchs_random_numbers() -> None:
    torch.manual_seed(7)
    before = torch.get_rng_state()
    joint = _joint(warmup_steps=1)
    sequences, users = _rows()
    losses = torch.ones(24)
    joint(sequences, users, losses)
    joint(sequences, users, losses)
    assert torch.equal(torch.get_rng_state(), before)


def test_two_of_one_seed_are_alike_and_copies_of_a_given_model_too() -> None:
    first, second = _joint(), _joint()
    for name, value in first.state_dict().items():
        assert torch.equal(value, second.state_dict()[name])
    model = TargetAttentionNoiseModel(NUM_ITEMS, embedding_dim=4)
    joint = _joint(noise_model=model)
    assert torch.equal(
        joint.noise_models.models[1].item_embedding.weight, model.item_embedding.weight
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s, u, x: (s.flip(1), u, x), "must be left-padded and end with the target"),
        (lambda s, u, x: (s.int(), u, x), r"sequences must be \[B, W\] torch.int64"),
        (lambda s, u, x: (s[:, :1], u, x), "with W >= 2"),
        (lambda s, u, x: (s + 40, u, x), r"sequences must be in 0\.\.40 \(num_items\)"),
        (lambda s, u, x: (s, u + 1, x), r"users must be in 0\.\.11 \(num_users - 1\), got 1\.\.12"),
        (lambda s, u, x: (s, u[:3], x), r"users must be \[B\] torch.int64 with"),
        (lambda s, u, x: (s, u, x[:, :-1]), r"losses must be \[24\] .* or \[24, 6\]"),
    ],
)
def test_batches_that_do_not_fit_are_refused(change: Any, message: str) -> None:
    sequences, users = _rows()
    with pytest.raises(ValueError, match=message):
        _joint()(*change(sequences, users, torch.rand(24, 6)))
    with pytest.raises(ValueError, match=r"mask must be \[24\] torch.bool like losses"):
        _joint()(sequences, users, torch.rand(24), mask=torch.ones(24))


@pytest.mark.parametrize(
    ("recipe", "wanted"),
    [
        ("default", "weighting 'calibrated' or 'clean_probability', got 'co_occurrence'"),
        ("equal_weights", "weighting 'calibrated' or 'clean_probability', got 'equal'"),
        ("paper", "cross_fitting 'simultaneous', got 'sequential'"),
    ],
)
def test_configs_without_noise_models_alongside_are_refused(recipe: str, wanted: str) -> None:
    with pytest.raises(ValueError, match=f"config must have {wanted}"):
        JointLoss(NUM_ITEMS, NUM_USERS, config=JointTrainerConfig.from_recipe(recipe))


@pytest.mark.parametrize(
    ("options", "refused"),
    [
        ({"loss": "binary_cross_entropy"}, "loss"),
        ({"adaptive_denoising": "reweighted", "batch_size": 9}, "adaptive_denoising, batch_size"),
        ({"weights_act_on": "inputs"}, "weights_act_on"),
        ({"warmup_epochs": 3}, "warmup_epochs"),
        ({"noise_learning_rate": 0.1}, "noise_learning_rate"),
    ],
)
def test_options_without_an_effect_are_refused_by_name(
    options: dict[str, object], refused: str
) -> None:
    with pytest.raises(ValueError, match=f"options of JointLoss, which ignores {refused}: leave"):
        _joint(**options)


def test_options_with_an_effect_and_the_options_of_a_trainer_are_taken() -> None:
    damage = {"sequence_fraction": 0.9, "replace_probability": 0.2, "corrupt_target": False}
    noise_models = {"num_folds": 3, "gate_auc": 0.6, "seed": 5, "gradient_through_weights": True}
    taken = _joint(weighting="calibrated", **damage, **noise_models).config
    of_trainer = taken.decided(takes_input_weight=False)
    assert of_trainer.weights_act_on == "targets"
    JointLoss(NUM_ITEMS, NUM_USERS, config=of_trainer)


@pytest.mark.parametrize("name", ["warmup_steps", "calibrate_every", "calibration_rows"])
def test_numbers_out_of_range_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match=f"{name} must be at least 1, got 0"):
        _joint(**{name: 0})
