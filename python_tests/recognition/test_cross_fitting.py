"""Noise models that never judge what they were trained on."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from atjt_ext import ItemDeletion
from atjt_ext.data import Batch, TrainingRows
from atjt_ext.ops import RandomReplacementOutput
from atjt_ext.recognition import calibration as calibration_module
from atjt_ext.recognition.calibration import Calibration
from atjt_ext.recognition.cross_fitting import CrossFittedNoiseModels
from helpers.tiny import tiny_batch, tiny_sequences

FOLDS = torch.tensor([0, 1, 2, 0, 1, 2, 1, 0])
DAMAGE = 9  # the item that _damage puts in; no original sequence holds it


class _Spy(nn.Module):
    """Says ``certainty`` of sequences with the damaged item and ``-certainty`` of others.

    Per position, it says nonsense of padding.
    """

    def __init__(self, *, certainty: float = 0.0, per_position: bool = False) -> None:
        super().__init__()
        self.certainty = nn.Parameter(torch.tensor(certainty))
        self.per_position = per_position
        self.users: list[int] = []
        self.modes: list[bool] = []

    def forward(self, batch: Batch) -> Tensor:
        self.users += batch.users.tolist()
        self.modes.append(self.training)
        damaged = batch.sequences == DAMAGE
        if not self.per_position:
            return self.certainty * (2.0 * damaged.any(dim=1) - 1.0)
        logits = self.certainty * (2.0 * damaged - 1.0)
        return logits.masked_fill(batch.sequences == 0, 1000.0)


class _Damage:
    """Replaces the first item of every other row, and records how it was called."""

    def __init__(self) -> None:
        self.calls: list[dict[str, Any]] = []

    def __call__(self, sequences: Tensor, **options: Any) -> RandomReplacementOutput:
        self.calls.append(options)
        replaced = torch.zeros_like(sequences, dtype=torch.bool)
        first = (sequences != 0).int().argmax(dim=1)
        rows = torch.arange(0, len(sequences), 2)
        replaced[rows, first[rows]] = True
        return RandomReplacementOutput(
            sequences.masked_fill(replaced, DAMAGE), replaced, replaced.any(dim=1)
        )


def _models(spy: _Spy | None = None, **options: Any) -> CrossFittedNoiseModels:
    usual = {"num_folds": 3, "calibrated": True, "gate_auc": 0.55, "seed": 0}
    return CrossFittedNoiseModels(spy or _Spy(), FOLDS, **{**usual, **options})


def _batch() -> Batch:
    return tiny_batch(
        [1, 2, 3], [4, 5], [6, 7, 8], [1, 1], [2, 4, 6], [3], [5, 5, 5], [7, 2]
    ).select(torch.tensor([5, 0, 7, 1, 2, 3, 4, 6]))


def _set_certainties(models: CrossFittedNoiseModels, *values: float) -> None:
    with torch.no_grad():
        for model, value in zip(models.models, values, strict=True):
            model.certainty.fill_(value)


def test_every_fold_has_its_own_copy_of_the_noise_model() -> None:
    prototype = _Spy(certainty=0.5)
    models = _models(prototype)
    _set_certainties(models, 1.0, 2.0, 3.0)
    assert float(prototype.certainty.detach()) == 0.5
    assert [float(model.certainty.detach()) for model in models.models] == [1.0, 2.0, 3.0]


@pytest.mark.parametrize("per_position", [False, True])
def test_every_row_is_scored_by_the_model_of_its_own_fold(per_position: bool) -> None:
    models, batch = _models(_Spy(per_position=per_position)), _batch()
    _set_certainties(models, 1.0, 2.0, 3.0)
    logits = models.logits(batch)
    wanted = -(FOLDS[batch.users] + 1.0)
    if per_position:
        valid = batch.sequences != 0
        wanted, logits = wanted[:, None].expand_as(valid)[valid], logits[valid]
    assert torch.equal(logits.detach(), wanted)
    for index, model in enumerate(models.models):
        assert sorted(model.users) == (index == FOLDS).nonzero().flatten().tolist()


def test_no_model_trains_on_its_own_fold_and_each_on_all_others() -> None:
    models, batch = _models(), _batch()
    models.noise_loss(batch, _Damage()(batch.sequences), range(3))
    for index, model in enumerate(models.models):
        assert sorted(model.users) == (index != FOLDS).nonzero().flatten().tolist()


def test_only_active_models_train() -> None:
    models, batch = _models(), _batch()
    models.noise_loss(batch, _Damage()(batch.sequences), [1]).backward()
    assert [bool(model.users) for model in models.models] == [False, True, False]
    assert models.models[0].certainty.grad is None
    assert models.models[1].certainty.grad is not None


@pytest.mark.parametrize("per_position", [False, True])
def test_noise_loss_is_the_mean_over_models_by_hand(per_position: bool) -> None:
    """A model that is always right with certainty c loses log(1 + exp(-c)) everywhere."""
    models, batch = _models(_Spy(per_position=per_position)), _batch()
    _set_certainties(models, 1.0, 2.0, 3.0)
    loss = models.noise_loss(batch, _Damage()(batch.sequences), range(3))
    wanted = sum(math.log1p(math.exp(-certainty)) for certainty in (1, 2, 3)) / 3
    assert float(loss.detach()) == pytest.approx(wanted)


def test_positions_that_are_padding_teach_nothing() -> None:
    models = _models(_Spy(per_position=True))
    _set_certainties(models, 1.0, 1.0, 1.0)
    narrow = tiny_batch([1, 2, 3], [4, 5], users=[0, 1])
    wide = tiny_batch([1, 2, 3], [4, 5], users=[0, 1], padding=50)
    # Wrong about one position of five: padding would add right answers.
    labels = torch.zeros_like(narrow.sequences, dtype=torch.bool)
    labels[0, 0] = True
    wide_labels = torch.cat([torch.zeros(2, 50, dtype=torch.bool), labels], dim=1)
    losses = [
        models.noise_loss(
            batch, RandomReplacementOutput(batch.sequences, where, where.any(dim=1)), [2]
        )
        for batch, where in ((narrow, labels), (wide, wide_labels))
    ]
    wrong, right = math.log1p(math.exp(1)), math.log1p(math.exp(-1))
    assert float(losses[0].detach()) == pytest.approx((wrong + 4 * right) / 5)
    torch.testing.assert_close(losses[0], losses[1])


def test_positions_that_become_padding_teach_nothing() -> None:
    models = _models(_Spy(per_position=True))  # says 1000 of padding
    _set_certainties(models, 1.0, 1.0, 1.0)
    batch = tiny_batch([1, 2, 3], [4, 5, 6], users=[0, 1])
    noisy = ItemDeletion(num_deletions=1, sequence_fraction=1.0)(batch.sequences, seed=0)
    assert torch.equal((noisy.sequences != 0).sum(dim=1), torch.tensor([2, 2]))
    # It finds no damage, and is wrong about one of two positions in both rows.
    wrong, right = math.log1p(math.exp(1)), math.log1p(math.exp(-1))
    loss = models.noise_loss(batch, noisy, [2])
    assert float(loss.detach()) == pytest.approx((wrong + right) / 2)


def test_noise_loss_without_rows_of_other_folds_is_zero() -> None:
    models, batch = _models(), tiny_batch([1, 2], users=[0])
    loss = models.noise_loss(batch, _Damage()(batch.sequences), [0])
    assert float(loss) == 0.0
    assert models.models[0].users == []


def test_clean_probability_weighs_every_row_at_face_value() -> None:
    models, batch = _models(calibrated=False), _batch()
    _set_certainties(models, 1.0, 2.0, 3.0)
    wanted = torch.sigmoid(FOLDS[batch.users] + 1.0)
    torch.testing.assert_close(models.weights(batch).detach(), wanted)
    assert models.folds_weighed(range(3)) == "all"


def _trust(
    models: CrossFittedNoiseModels, index: int, *, trusted: bool = True, noise_rate: float = 0.5
) -> None:
    models.calibrations[index] = Calibration(
        auc=0.9 if trusted else 0.5,
        artificial_rate=0.25,
        noise_rate=noise_rate,
        trusted=trusted,
    )


@pytest.mark.parametrize("per_position", [False, True])
def test_weights_are_calibrated_where_trusted_and_one_elsewhere(per_position: bool) -> None:
    models, batch = _models(_Spy(per_position=per_position)), _batch()
    _set_certainties(models, 0.5, 1.0, -1.0)
    _trust(models, 0, noise_rate=0.1)
    _trust(models, 1, trusted=False)
    _trust(models, 2, noise_rate=0.05)
    weights = models.weights(batch)
    # Logits are minus the certainty; the odds of the artificial noise are 1/3.
    wanted = torch.tensor([1 - 0.1 * 3 * math.exp(-0.5), 1.0, 1 - 0.05 * 3 * math.exp(1.0)])
    wanted = wanted[FOLDS[batch.users]]
    if per_position:
        valid = batch.sequences != 0
        wanted, weights = wanted[:, None].expand_as(valid)[valid], weights[valid]
    torch.testing.assert_close(weights.detach(), wanted)


def test_weights_are_one_before_any_calibration() -> None:
    models = _models()
    _set_certainties(models, 1.0, 2.0, 3.0)
    assert torch.equal(models.weights(_batch()), torch.ones(8))


def test_gradients_reach_the_noise_models_through_the_weights() -> None:
    models, batch = _models(), _batch()
    _set_certainties(models, 1.0, 2.0, 3.0)
    _trust(models, 0)
    _trust(models, 1, trusted=False)
    models.weights(batch).sum().backward()
    gradients = [model.certainty.grad for model in models.models]
    assert [gradient is not None and bool(gradient) for gradient in gradients] == [
        True,
        False,
        False,
    ]


SEQUENCES = tiny_sequences(
    [1, 2, 3, 4, 5], [1, 2], [3, 4, 5], [6, 7], [8, 1], [2, 2, 2], [5, 6], [7, 8]
)


def _calibrated(
    spy: _Spy, *, active: tuple[int, ...] = (0, 1, 2), max_length: int = 2, **options: Any
) -> tuple[CrossFittedNoiseModels, _Damage]:
    models, damage = _models(spy, **options), _Damage()
    models.calibrate(TrainingRows(SEQUENCES, max_length=max_length), damage, active)
    return models, damage


def test_models_are_measured_on_their_own_fold_only() -> None:
    models, _ = _calibrated(_Spy(certainty=1.0))
    for index, model in enumerate(models.models):
        assert set(model.users) == set((index == FOLDS).nonzero().flatten().tolist())


def test_measuring_leaves_the_training_mode_as_it_was() -> None:
    models, _ = _calibrated(_Spy(certainty=1.0))
    assert not any(mode for model in models.models for mode in model.modes)
    assert all(module.training for module in models.modules())
    models.eval()
    models.calibrate(TrainingRows(SEQUENCES, max_length=2), _Damage(), [0])
    assert not models.training


def test_only_active_models_are_measured() -> None:
    models, _ = _calibrated(_Spy(certainty=1.0), active=(1,))
    assert [c is not None for c in models.calibrations] == [False, True, False]


def test_a_model_that_is_always_right_is_trusted() -> None:
    models, _ = _calibrated(_Spy(certainty=3.0))
    # Fold 1 owns users 1, 4 and 6, with one window each: two of three are damaged.
    calibration = models.calibrations[1]
    assert calibration is not None
    assert calibration.auc == 1.0
    assert calibration.artificial_rate == pytest.approx(2 / 3)
    # All originals have the odds exp(3) * 2: no bound below the cap.
    assert calibration.noise_rate == 0.5
    assert calibration.trusted
    assert models.held_out_auc == 1.0


def test_noise_rate_comes_from_the_original_sequences() -> None:
    models, _ = _calibrated(_Spy(certainty=-3.0))  # always wrong
    calibration = models.calibrations[1]
    assert calibration is not None
    assert calibration.auc == 0.0
    assert calibration.noise_rate == pytest.approx(2 * math.exp(-3))
    assert not calibration.trusted


def test_a_model_that_says_nothing_is_not_trusted() -> None:
    models, _ = _calibrated(_Spy(certainty=0.0))
    assert [c.auc for c in models.calibrations if c is not None] == [0.5] * 3
    assert models.folds_weighed(range(3)) == "none"


@pytest.mark.parametrize(("gate_auc", "trusted"), [(0.5, True), (0.51, False)])
def test_the_gate_is_an_option(gate_auc: float, trusted: bool) -> None:
    models, _ = _calibrated(_Spy(certainty=0.0), gate_auc=gate_auc)
    assert [c.trusted for c in models.calibrations if c is not None] == [trusted] * 3


def test_positions_are_measured_one_by_one() -> None:
    models, _ = _calibrated(_Spy(certainty=3.0, per_position=True), max_length=4)
    calibration = models.calibrations[0]
    # Fold 0 owns users 0, 3 and 7 with 5 + 2 + 2 items; the first of users 0 and 7 are damaged.
    assert calibration is not None
    assert calibration.artificial_rate == pytest.approx(2 / 9)
    assert calibration.auc == 1.0
    assert calibration.noise_rate == 0.5
    wrong, _ = _calibrated(_Spy(certainty=-3.0, per_position=True), max_length=4)
    assert wrong.calibrations[0] is not None
    assert wrong.calibrations[0].noise_rate == pytest.approx(2 / 7 * math.exp(-3))


@pytest.mark.parametrize("batch_size", [1024, 2])
def test_held_out_corruption_is_keyed_by_row_and_unknown_to_training(
    batch_size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(calibration_module, "_SCORING_BATCH", batch_size)
    _, damage = _calibrated(_Spy(certainty=3.0), seed=7, active=(0,), max_length=2)
    # Users 0 (two windows), 3 and 7: rows of TrainingRows, not of the batch.
    rows = TrainingRows(SEQUENCES, max_length=2)
    assert torch.cat([call["row_keys"] for call in damage.calls]).tolist() == [
        row for row in range(len(rows)) if FOLDS[rows.users[row]] == 0
    ]
    assert {call["seed"] for call in damage.calls} == {7}
    assert {call["step"] for call in damage.calls} == {2**32 - 1}


def test_without_both_kinds_there_is_no_auc_and_no_trust() -> None:
    class _Nothing(_Damage):
        def __call__(self, sequences: Tensor, **options: Any) -> RandomReplacementOutput:
            nothing = torch.zeros_like(sequences, dtype=torch.bool)
            return RandomReplacementOutput(sequences, nothing, nothing.any(dim=1))

    models = _models(_Spy(certainty=3.0))
    models.calibrate(TrainingRows(SEQUENCES, max_length=2), _Nothing(), [0])
    assert models.calibrations[0] == Calibration(None, 0.0, 0.0, trusted=False)
    assert models.held_out_auc is None


def test_a_fold_without_rows_keeps_no_calibration() -> None:
    models = _models(_Spy(certainty=3.0))
    sequences = tiny_sequences([1, 2], [3], [4], [5], [6], [7], [8], [1])
    models.calibrate(TrainingRows(sequences, max_length=2), _Damage(), range(3))
    assert [c is None for c in models.calibrations] == [False, True, True]


def test_which_folds_are_weighed() -> None:
    models = _models()
    assert models.folds_weighed(range(3)) == "none"
    _trust(models, 0)
    _trust(models, 1, trusted=False)
    assert models.folds_weighed(range(3)) == "some"
    assert models.folds_weighed([0]) == "all"
    assert models.folds_weighed([1]) == "none"


def test_the_gate_message_names_gate_and_measured_aucs() -> None:
    models = _models(gate_auc=0.6)
    _trust(models, 0)
    _trust(models, 1, trusted=False)
    models.calibrations[2] = Calibration(None, 0.0, 0.0, trusted=False)
    some, none = models.gate_message(range(3)), models.gate_message([1])
    assert "equal weights for some folds" in some
    assert "gate_auc=0.6 (measured: 0.900, 0.500, none)" in some
    assert "equal weights for all folds" in none
    assert "(measured: 0.500)" in none


def test_held_out_auc_is_the_mean_of_what_was_measured() -> None:
    models = _models()
    assert models.held_out_auc is None
    _trust(models, 0)
    _trust(models, 2, trusted=False)
    assert models.held_out_auc == pytest.approx(0.7)


def test_folds_are_no_part_of_the_saved_state() -> None:
    assert set(_models().state_dict()) == {f"models.{index}.certainty" for index in range(3)}
