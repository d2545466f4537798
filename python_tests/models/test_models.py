"""What every base model promises, whichever it is; a model's own promises are in its own file."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from atjt_ext.data import Batch
from atjt_ext.models.protocols import (
    PointwiseRecommender,
    SequenceRecommender,
    predicts_last_position_only,
)
from atjt_ext.models.registry import MODELS
from atjt_ext.training.config import JointTrainerConfig
from atjt_ext.training.objectives import recommender_loss
from helpers.joint import parameters
from helpers.tiny import tiny_batch
from helpers.zoo import ALL_MODELS, CLOSE, POINTWISE_MODELS, SEQUENCE_MODELS, gradients, shaken

EVERY = pytest.mark.parametrize("name", ALL_MODELS)
SEQUENCE = pytest.mark.parametrize("name", SEQUENCE_MODELS)
POINTWISE = pytest.mark.parametrize("name", POINTWISE_MODELS)

SEQUENCES = torch.tensor([[1, 2, 3, 4, 5, 6], [0, 0, 7, 8, 9, 7], [0, 0, 0, 0, 0, 10]])
ROWS = ([1, 2, 3, 4, 5, 6], [7, 8, 9, 7], [10, 11])
CANDIDATES = torch.tensor([[1, 7, 20, 4], [9, 10, 3, 3], [5, 6, 7, 8]])


def _outputs(name: str, model: Any, batch: Batch) -> Tensor:
    """Scores of three candidates per row: what either kind of model is there for."""
    if name in SEQUENCE_MODELS:
        last = model.encode(batch.inputs)[:, -1]
        return torch.einsum("bd,bcd->bc", last, model.item_table()[CANDIDATES[: len(batch)]])
    scores: Tensor = model.score(batch, CANDIDATES[: len(batch)])
    return scores


@EVERY
def test_it_meets_one_protocol(name: str) -> None:
    model = ALL_MODELS[name]()
    assert isinstance(model, SequenceRecommender) is (name in SEQUENCE_MODELS)
    assert isinstance(model, PointwiseRecommender) is (name in POINTWISE_MODELS)
    assert model.num_items == 20


@EVERY
def test_shapes(name: str) -> None:
    model = shaken(name)
    assert _outputs(name, model, tiny_batch(*ROWS)).shape == (3, 4)
    if name in SEQUENCE_MODELS:
        assert model.encode(SEQUENCES).shape == (3, 6, 8)
        assert model.item_table().shape == (21, 8)


@EVERY
@pytest.mark.parametrize("padding", [1, 5])
def test_more_padding_on_the_left_changes_nothing(name: str, padding: int) -> None:
    model = shaken(name).eval()
    plain = _outputs(name, model, tiny_batch(*ROWS))
    padded = _outputs(name, model, tiny_batch(*ROWS, padding=padding))
    torch.testing.assert_close(padded, plain, **CLOSE)


@SEQUENCE
@pytest.mark.parametrize("padding", [1, 6])
def test_more_padding_changes_no_state(name: str, padding: int) -> None:
    model = shaken(name)
    padded = F.pad(SEQUENCES, (padding, 0))
    torch.testing.assert_close(model.encode(padded)[:, padding:], model.encode(SEQUENCES), **CLOSE)


@EVERY
def test_other_rows_change_nothing(name: str) -> None:
    model = shaken(name).eval()
    together = _outputs(name, model, tiny_batch(*ROWS))
    for row, items in enumerate(ROWS):
        batch = tiny_batch(items, users=[row])
        alone = (
            torch.einsum(
                "bd,bcd->bc",
                model.encode(batch.inputs)[:, -1],
                model.item_table()[CANDIDATES[row : row + 1]],
            )
            if name in SEQUENCE_MODELS
            else model.score(batch, CANDIDATES[row : row + 1])
        )
        torch.testing.assert_close(alone[0], together[row], **CLOSE)


@EVERY
def test_the_target_is_not_read(name: str) -> None:
    model = shaken(name).eval()
    batch = tiny_batch(*ROWS)
    other = tiny_batch(*([*row[:-1], 15] for row in ROWS))
    assert torch.equal(_outputs(name, model, batch), _outputs(name, model, other))


@EVERY
def test_every_item_of_the_history_counts(name: str) -> None:
    model = shaken(name).eval()
    before = _outputs(name, model, tiny_batch(ROWS[0]))
    for position in range(5):
        changed = [*ROWS[0][:position], 15, *ROWS[0][position + 1 :]]
        after = _outputs(name, model, tiny_batch(changed))
        assert bool(((after - before).abs() > 1e-4).any()), position


@SEQUENCE
@pytest.mark.parametrize("position", range(6))
def test_a_model_trained_at_every_position_sees_no_later_item(name: str, position: int) -> None:
    """Else the loss of position t would be told its target: a later input is an earlier target."""
    model = shaken(name)
    changed = SEQUENCES[:1].clone()
    changed[0, position] = 15
    before, after = model.encode(SEQUENCES[:1])[0], model.encode(changed)[0]
    moved = (after - before).abs().amax(dim=1)
    assert bool((moved > 1e-4)[position:].all())
    if predicts_last_position_only(model):
        # The flag is no excuse: it is there because the model does see later items.
        assert bool((moved > 1e-4).all())
    else:
        torch.testing.assert_close(after[:position], before[:position], **CLOSE)


@SEQUENCE
def test_no_target_that_counts_is_among_what_was_read(name: str) -> None:
    """A changed item must not move the loss of any position before it, but through its target."""
    model = shaken(name)
    batch = tiny_batch(ROWS[0])
    weights = torch.zeros(1, 6)
    for target in range(1, 6):
        weights.zero_()[0, target] = 1.0
        changed = batch.sequences.clone()
        changed[0, target + 1 :] = 15
        values = [
            recommender_loss(
                model,
                Batch(batch.rows, batch.users, sequences),
                weights,
                JointTrainerConfig(),
            )
            for sequences in (batch.sequences, changed)
        ]
        torch.testing.assert_close(*values, **CLOSE)


@SEQUENCE
def test_states_at_padding_are_zero(name: str) -> None:
    hidden = shaken(name).encode(SEQUENCES)
    assert not hidden[SEQUENCES == 0].any()
    assert bool(hidden[SEQUENCES != 0].any(dim=1).all())


@SEQUENCE
def test_a_row_of_padding_only_is_zero_and_finite(name: str) -> None:
    model = shaken(name)
    hidden = model.encode(torch.tensor([[0, 0, 0], [0, 1, 2]]))
    hidden.square().sum().backward()
    assert not hidden[0].any()
    assert bool(gradients(model).isfinite().all())
    assert not model.encode(torch.zeros(2, 3, dtype=torch.int64)).any()


@POINTWISE
def test_an_empty_history_scores_finite(name: str) -> None:
    model = shaken(name)
    batch = tiny_batch([3], [4], padding=2)
    for mode in (True, False):
        assert bool(model.train(mode).score(batch, CANDIDATES[:2]).isfinite().all())


@POINTWISE
def test_a_candidates_score_does_not_depend_on_the_others(name: str) -> None:
    model = shaken(name).eval()
    batch = tiny_batch(*ROWS)
    scores = model.score(batch, CANDIDATES)
    for column in range(4):
        alone = model.score(batch, CANDIDATES[:, column : column + 1])
        torch.testing.assert_close(alone[:, 0], scores[:, column], **CLOSE)


@POINTWISE
def test_scoring_in_tiles_changes_nothing(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model = shaken(name).eval()
    batch = tiny_batch(*ROWS)
    whole = model.score(batch, CANDIDATES)
    monkeypatch.setattr("atjt_ext.models._pointwise._MAX_CELLS", 1)
    with torch.no_grad():
        torch.testing.assert_close(model.score(batch, CANDIDATES), whole.detach(), **CLOSE)


@POINTWISE
def test_scoring_a_catalogue_makes_no_large_tensor(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not one of [B, C, L, D], nor of [B, C] times a layer's width."""
    monkeypatch.setattr("atjt_ext.models._pointwise._MAX_CELLS", 4096)
    model = shaken(name).eval()
    largest = 0

    class Watching(torch.overrides.TorchFunctionMode):
        def __torch_function__(
            self, func: Any, types: Any, args: Any = (), kwargs: Any = None
        ) -> Any:
            nonlocal largest
            result = func(*args, **(kwargs or {}))
            if isinstance(result, Tensor) and result.dim() > 1 and "weight" not in str(func):
                largest = max(largest, result.numel())
            return result

    candidates = torch.arange(1, 21).repeat(3, 50)
    with torch.no_grad(), Watching():
        model.score(tiny_batch(*ROWS), candidates)
    assert candidates.numel() <= largest <= 4096


@POINTWISE
def test_users_and_features_are_seen_where_they_are_given(name: str) -> None:
    def scores(users: list[int], **options: Any) -> Tensor:
        model = shaken(name, **options).eval()
        result: Tensor = model.score(tiny_batch(ROWS[0], users=users), CANDIDATES[:1])
        return result

    assert not torch.equal(scores([0]), scores([1]))
    assert torch.equal(scores([0], num_users=None), scores([1], num_users=None))
    features = torch.zeros(21, 1, dtype=torch.int64)
    features[1:11] = 1
    other = features.clone()
    other[7], other[11] = 0, 1  # 7 is a candidate; as many codes as before
    one, two = scores([0], item_features=features), scores([0], item_features=other)
    assert bool((one - two).abs()[0, 1] > 1e-4)
    torch.testing.assert_close(one[0, [0, 2, 3]], two[0, [0, 2, 3]], **CLOSE)


@POINTWISE
@pytest.mark.parametrize(
    ("features", "message"),
    [
        (
            torch.zeros(20, 1, dtype=torch.int64),
            r"\[num_items \+ 1, F\] = \[21, F\], got \[20, 1\]",
        ),
        (torch.zeros(21, dtype=torch.int64), r"got \[21\]"),
        (torch.zeros(21, 1), "item_features must be torch.int64, got torch.float32"),
        (torch.full((21, 1), -1), "item_features must be at least 0, got -1"),
    ],
)
def test_features_that_do_not_fit_are_refused(name: str, features: Tensor, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ALL_MODELS[name](item_features=features)


@SEQUENCE
def test_the_item_table_is_the_embedding_itself(name: str) -> None:
    model = ALL_MODELS[name]()
    assert model.item_table() is model.item_embedding.weight
    assert not model.item_table()[0].any()
    assert bool(model.item_table()[1:].any(dim=1).all())


@SEQUENCE
def test_the_padding_row_gets_no_gradient(name: str) -> None:
    model = shaken(name)
    hidden = model.encode(SEQUENCES)[:, -1]
    F.cross_entropy(hidden @ model.item_table()[1:].T, torch.tensor([3, 4, 5])).backward()
    gradient = model.item_table().grad
    assert gradient is not None
    assert not gradient[0].any()
    assert bool(gradient[1:].any(dim=1).all())


@pytest.mark.parametrize("name", [n for n in MODELS if "dropout" in MODELS.option_names(n)])
def test_dropout_acts_in_training_only(name: str) -> None:
    model, batch = shaken(name, dropout=0.5), tiny_batch(*ROWS)
    assert not torch.equal(_outputs(name, model, batch), _outputs(name, model, batch))
    model.eval()
    assert torch.equal(_outputs(name, model, batch), _outputs(name, model, batch))


@EVERY
def test_one_seed_makes_one_model(name: str) -> None:
    made = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        made.append(parameters(ALL_MODELS[name]()))
    assert torch.equal(made[0], made[1])
    assert not torch.equal(made[0], made[2])
