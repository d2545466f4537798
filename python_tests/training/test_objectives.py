"""The recommender's weighted loss."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from atjt_ext.data import Batch
from atjt_ext.training import objectives
from atjt_ext.training.config import JointTrainerConfig
from atjt_ext.training.objectives import recommender_loss, softmax_route
from helpers.tiny import LastItemModel, ScoreTable, tiny_batch

BATCH = tiny_batch([1, 2, 3, 4], [5, 6], [7, 8, 9])
TARGETS_PER_ROW = (3, 1, 2)
BOTH_LOSSES = pytest.mark.parametrize("loss", ["cross_entropy", "binary_cross_entropy"])
BOTH_KINDS = pytest.mark.parametrize("kind", ["sequence", "pointwise"])


def _model(kind: str) -> Any:
    if kind == "sequence":
        return LastItemModel()
    return ScoreTable(torch.randn(3, 9, generator=torch.Generator().manual_seed(0)))


def _loss(
    model: nn.Module,
    batch: Batch,
    weights: Tensor,
    loss: str = "cross_entropy",
    num_negatives: int = 1,
) -> Tensor:
    torch.manual_seed(0)  # of the negatives
    kind: Any = loss
    config = JointTrainerConfig(loss=kind, num_negatives=num_negatives)
    return recommender_loss(model, batch, weights, config)  # type: ignore[arg-type]


def _position_losses(model: LastItemModel) -> list[list[Tensor]]:
    """Softmax loss of every target of every row of BATCH, one by one."""
    rows: list[list[Tensor]] = []
    for row in BATCH.sequences.tolist():
        items = [item for item in row if item]
        rows.append([])
        for item, target in itertools.pairwise(items):
            logits = model.table[1:] @ model.states[item]
            rows[-1].append(torch.logsumexp(logits, 0) - logits[target - 1])
    return rows


def test_sequence_softmax_with_a_weight_per_row_by_hand() -> None:
    model, weights = LastItemModel(), [0.5, 2.0, 1.0]
    losses = _position_losses(model)
    pairs = [(w, value) for w, row in zip(weights, losses, strict=True) for value in row]
    wanted = sum(w * value for w, value in pairs) / sum(w for w, _ in pairs)
    torch.testing.assert_close(_loss(model, BATCH, torch.tensor(weights)), wanted)


def test_sequence_softmax_with_a_weight_per_position_by_hand() -> None:
    model = LastItemModel()
    # The target's own position counts; whatever stands at padding and first items does not.
    weights = torch.tensor([[9.0, 0.5, 1.0, 2.0], [9.0, 9.0, 9.0, 0.25], [9.0, 9.0, 3.0, 0.0]])
    losses = _position_losses(model)
    flat = [0.5, 1.0, 2.0, 0.25, 3.0, 0.0]
    values = [value for row in losses for value in row]
    wanted = sum(w * v for w, v in zip(flat, values, strict=True)) / sum(flat)
    torch.testing.assert_close(_loss(model, BATCH, weights), wanted)


@pytest.mark.parametrize("per_position", [False, True])
def test_pointwise_softmax_by_hand(per_position: bool) -> None:
    model, weights = _model("pointwise"), torch.tensor([0.5, 2.0, 1.0])
    logits = model.scores.detach()
    values = F.cross_entropy(logits, torch.tensor([4, 6, 9]) - 1, reduction="none")
    wanted = (weights * values).sum() / weights.sum()
    if per_position:  # the last target's weight counts
        weights = torch.cat([torch.full((3, 3), 7.0), weights[:, None]], dim=1)
    torch.testing.assert_close(_loss(model, BATCH, weights).detach(), wanted)


@pytest.mark.parametrize("per_position", [False, True])
def test_pointwise_binary_loss_by_hand(per_position: bool) -> None:
    model, weights = _model("pointwise"), torch.tensor([0.5, 2.0, 1.0])
    given = torch.stack([weights * 7, weights * 7, weights * 7, weights], dim=1)
    got = _loss(
        model, BATCH, given if per_position else weights, "binary_cross_entropy", num_negatives=2
    )
    (asked,) = model.asked
    assert asked.shape == (3, 3)
    assert asked[:, 0].tolist() == [4, 6, 9]
    wanted = torch.zeros(())
    for row, (positive, *negatives) in enumerate(asked.tolist()):
        score = model.scores.detach()[row]
        value = -torch.sigmoid(score[positive - 1]).log()
        for negative in negatives:
            value = value - (1 - torch.sigmoid(score[negative - 1])).log()
        wanted = wanted + weights[row] * value / 3
    torch.testing.assert_close(got.detach(), wanted / weights.sum())


@pytest.mark.parametrize("per_position", [False, True])
def test_sequence_binary_loss_by_hand(per_position: bool) -> None:
    """A catalogue of two items leaves no choice of negatives."""
    model = LastItemModel(num_items=2)
    batch = tiny_batch([1, 2, 2], [2, 1])
    weights = torch.tensor([0.5, 2.0])
    given = torch.tensor([[9.0, 0.5, 0.5], [9.0, 9.0, 2.0]]) if per_position else weights
    total = torch.zeros(())
    for item, target, weight in ((1, 2, 0.5), (2, 2, 0.5), (2, 1, 2.0)):
        scores = model.table.detach() @ model.states.detach()[item]
        value = -F.logsigmoid(scores[target]) - F.logsigmoid(-scores[3 - target])
        total = total + weight * value / 2
    got = _loss(model, batch, given, "binary_cross_entropy")
    torch.testing.assert_close(got.detach(), total / 3)


@BOTH_KINDS
def test_softmax_weight_zero_drops_the_row(kind: str) -> None:
    model = _model(kind)
    dropped = _loss(model, BATCH, torch.tensor([1.0, 0.0, 2.0]))
    kept = torch.tensor([0, 2])
    torch.testing.assert_close(dropped, _loss(model, BATCH.select(kept), torch.tensor([1.0, 2.0])))
    assert not torch.allclose(dropped, _loss(model, BATCH, torch.tensor([1.0, 1.0, 2.0])))


@BOTH_KINDS
@BOTH_LOSSES
def test_binary_and_softmax_rows_of_weight_zero_get_no_gradient(kind: str, loss: str) -> None:
    model = _model(kind)
    _loss(model, BATCH, torch.tensor([1.0, 0.0, 2.0]), loss).backward()
    gradient = model.states.grad if kind == "sequence" else model.scores.grad
    row = 5 if kind == "sequence" else 1  # the input item of the second row, or the row itself
    assert not gradient[row].any()
    assert bool(gradient[2].any())


@BOTH_KINDS
@BOTH_LOSSES
def test_only_relative_weights_matter(kind: str, loss: str) -> None:
    model, weights = _model(kind), torch.tensor([0.5, 2.0, 1.0])
    torch.testing.assert_close(
        _loss(model, BATCH, 8 * weights, loss), _loss(model, BATCH, weights, loss)
    )


@BOTH_KINDS
@BOTH_LOSSES
def test_weight_two_counts_like_two_rows(kind: str, loss: str) -> None:
    """With two items the negatives are the same in both."""
    if kind == "sequence":
        model: nn.Module = LastItemModel(num_items=2)
    else:
        model = ScoreTable(torch.randn(2, 2, generator=torch.Generator().manual_seed(0)))
    batch = tiny_batch([1, 2, 2], [2, 1])
    twice = batch.select(torch.tensor([0, 0, 1]))
    torch.testing.assert_close(
        _loss(model, batch, torch.tensor([2.0, 1.0]), loss),
        _loss(model, twice, torch.ones(3), loss),
    )


@BOTH_KINDS
@BOTH_LOSSES
@pytest.mark.parametrize("per_position", [False, True])
def test_all_weights_zero_give_zero_with_zero_gradients(
    kind: str, loss: str, per_position: bool
) -> None:
    model = _model(kind)
    weights = torch.zeros((3, 4) if per_position else 3, requires_grad=True)
    value = _loss(model, BATCH, weights, loss)
    value.backward()
    assert value.detach() == 0.0
    assert weights.grad is not None
    assert not weights.grad.any()
    for parameter in model.parameters():
        assert parameter.grad is not None
        assert not parameter.grad.any()


@BOTH_KINDS
@BOTH_LOSSES
def test_gradient_of_the_weights_is_how_much_worse_than_the_mean_a_row_is(
    kind: str, loss: str
) -> None:
    model, weights = _model(kind), torch.tensor([0.5, 2.0, 1.0], requires_grad=True)
    _loss(model, BATCH, weights, loss).backward()
    assert weights.grad is not None
    assert bool(weights.grad.any())
    # sum_i w_i dL/dw_i = 0 under weighted_mean.
    assert float((weights * weights.grad).sum().detach()) == pytest.approx(0.0, abs=1e-6)


def test_only_valid_positions_reach_the_softmax(monkeypatch: pytest.MonkeyPatch) -> None:
    shapes = []
    original = objectives.reweighted_cross_entropy

    def spy(logits: Tensor, targets: Tensor, *args: Any, **options: Any) -> Tensor:
        shapes.append((tuple(logits.shape), targets.tolist()))
        return original(logits, targets, *args, **options)

    monkeypatch.setattr(objectives, "reweighted_cross_entropy", spy)
    _loss(LastItemModel(), BATCH, torch.ones(3))
    assert shapes == [((sum(TARGETS_PER_ROW), 9), [1, 2, 3, 5, 7, 8])]


# --- softmax without logits -------------------------------------------------------------------


@pytest.mark.parametrize("shape", ["rows", "positions"])
def test_softmax_without_logits_is_the_same_loss_with_the_same_gradients(shape: str) -> None:
    found = []
    for softmax in ("logits", "linear"):
        model = LastItemModel()
        weights = torch.rand(
            BATCH.sequences.shape if shape == "positions" else (3,),
            generator=torch.Generator().manual_seed(0),
        ).requires_grad_()
        config = JointTrainerConfig(softmax=softmax)  # type: ignore[arg-type]
        loss = recommender_loss(model, BATCH, weights, config)  # type: ignore[arg-type]
        leaves = (model.states, model.table, weights)
        found.append((loss, *torch.autograd.grad(loss, leaves)))
    for linear, logits in zip(*found, strict=True):
        torch.testing.assert_close(linear, logits)
    assert not found[1][2][0].any()  # padding is no item


def test_a_large_catalogue_takes_no_logits(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    for name in ("reweighted_cross_entropy", "linear_reweighted_cross_entropy"):
        original = getattr(objectives, name)

        def spy(*args: Any, called: str = name, original: Any = original, **options: Any) -> Tensor:
            calls.append(called)
            return original(*args, **options)  # type: ignore[no-any-return]

        monkeypatch.setattr(objectives, name, spy)
    monkeypatch.setattr(objectives, "_LINEAR_FROM_LOGITS", {"cpu": 18})
    for num_items in (8, 9):
        batch = tiny_batch([1, 2, 3])  # two targets
        _loss(LastItemModel(num_items=num_items), batch, torch.ones(1))
    assert calls == ["reweighted_cross_entropy", "linear_reweighted_cross_entropy"]


def test_the_route_of_the_softmax_depends_on_model_catalogue_and_device() -> None:
    auto, logits, linear = (JointTrainerConfig(softmax=one) for one in ("auto", "logits", "linear"))
    model, many = LastItemModel(num_items=1024), 2**11
    assert softmax_route(model, auto, many) == "linear"
    assert softmax_route(model, auto, many - 1) == "logits"
    assert softmax_route(LastItemModel(num_items=1023), auto, many) == "logits"
    assert softmax_route(_model("pointwise"), auto, many) == "logits"
    assert softmax_route(model, logits, many) == "logits"
    assert softmax_route(model, linear, 1) == "linear"
    assert softmax_route(model, JointTrainerConfig(loss="binary_cross_entropy"), many) is None
    wide = LastItemModel(num_items=1024, embedding_dim=129)
    assert softmax_route(wide, auto, 2**12 - 1) == "logits"
    assert softmax_route(wide, auto, 2**12) == "linear"
    # There are no kernels elsewhere.
    assert softmax_route(model.to("meta"), auto, many) == "logits"


def test_a_pointwise_recommender_has_no_table_to_take_the_softmax_from() -> None:
    linear = JointTrainerConfig(softmax="linear")
    with pytest.raises(ValueError, match="encode and item_table, got ScoreTable with score"):
        recommender_loss(_model("pointwise"), BATCH, torch.ones(3), linear)


@BOTH_LOSSES
def test_padding_changes_nothing(loss: str) -> None:
    model = LastItemModel()
    wide = replace(BATCH, sequences=F.pad(BATCH.sequences, (5, 0)))
    torch.testing.assert_close(
        _loss(model, wide, torch.ones(3), loss), _loss(model, BATCH, torch.ones(3), loss)
    )


def test_negatives_are_every_other_item_and_never_the_target() -> None:
    model = ScoreTable(torch.zeros(3, 9))
    # Targets at both ends of the catalogue and inside.
    batch = tiny_batch([5, 1], [5, 9], [5, 4])
    _loss(model, batch, torch.ones(3), "binary_cross_entropy", num_negatives=2000)
    for target, (positive, *negatives) in zip((1, 9, 4), model.asked[0].tolist(), strict=True):
        assert positive == target
        assert set(negatives) == set(range(1, 10)) - {target}
        counts = torch.bincount(torch.tensor(negatives), minlength=10)[1:].double()
        counts = counts[torch.arange(1, 10) != target]
        # Uniform: chi-square at 7 degrees of freedom, P(more) = 0.001.
        assert float(((counts - 250) ** 2 / 250).sum()) < 24.3


def test_number_of_negatives_is_an_option() -> None:
    model = _model("pointwise")
    for count in (1, 5):
        _loss(model, BATCH, torch.ones(3), "binary_cross_entropy", num_negatives=count)
    assert [candidates.shape for candidates in model.asked] == [(3, 2), (3, 6)]


@BOTH_KINDS
def test_binary_loss_needs_a_second_item(kind: str) -> None:
    model = LastItemModel(num_items=1) if kind == "sequence" else ScoreTable(torch.zeros(1, 1))
    with pytest.raises(ValueError, match="at least two items"):
        _loss(model, tiny_batch([1, 1]), torch.ones(1), "binary_cross_entropy")
