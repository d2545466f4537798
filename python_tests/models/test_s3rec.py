"""S3-Rec: what its pre-training asks, and what it leaves behind."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from atjt_ext import S3Rec, SASRec
from atjt_ext.data import TrainingRows, read_interactions, to_sequences, with_items
from atjt_ext.models.s3rec import PretrainingWeights, _Tasks, segment_copies
from helpers.joint import parameters
from helpers.zoo import CLOSE, NUM_ITEMS, shaken

SEQUENCES = torch.tensor([[1, 2, 3, 4, 5, 6], [0, 0, 7, 8, 9, 7], [0, 0, 0, 0, 0, 10]])
ATTRIBUTES = torch.rand(NUM_ITEMS + 1, 5, generator=torch.Generator().manual_seed(0)) < 0.4


def batches(epoch: int) -> Iterable[Tensor]:
    return [SEQUENCES, SEQUENCES.flip(0)]


def test_fine_tuned_it_is_sasrec() -> None:
    model, plain = shaken("s3rec"), shaken("sasrec", seed=1)
    assert isinstance(model, SASRec)
    plain.load_state_dict(model.state_dict())
    assert torch.equal(model.encode(SEQUENCES), plain.encode(SEQUENCES))


@pytest.mark.parametrize("attributes", [None, ATTRIBUTES])
def test_pretraining_lowers_its_loss_and_leaves_no_parameters_behind(
    attributes: Tensor | None,
) -> None:
    model = shaken("s3rec")
    names = list(model.state_dict())
    before = parameters(model).clone()
    seen: list[tuple[int, float]] = []
    model.eval()
    history = model.pretrain(
        batches,
        epochs=30,
        item_attributes=attributes,
        learning_rate=5e-3,
        on_epoch=lambda epoch, loss: seen.append((epoch, loss)),
    )
    assert sum(history[-5:]) < 0.8 * sum(history[:5])
    assert seen == list(enumerate(history, start=1))
    assert list(model.state_dict()) == names
    assert not torch.equal(parameters(model), before)
    assert not model.item_table()[0].any()
    assert not model.training


def test_the_same_seed_pretrains_the_same_and_the_callers_stream_is_left_alone() -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    made = []
    for seed in (1, 1, 2):
        model = shaken("s3rec", dropout=0.3)
        torch.manual_seed(5)
        model.pretrain(batches, epochs=2, item_attributes=ATTRIBUTES, seed=seed)
        assert torch.equal(torch.rand(3), expected)
        made.append(parameters(model))
    assert torch.equal(made[0], made[1])
    assert not torch.equal(made[0], made[2])


def test_no_epochs_change_nothing() -> None:
    model = shaken("s3rec")
    before = parameters(model).clone()
    assert model.pretrain(batches, epochs=0) == []
    assert torch.equal(parameters(model), before)


def _tasks(attributes: Tensor | None = ATTRIBUTES, **weights: float) -> _Tasks:
    torch.manual_seed(0)
    none = dict.fromkeys(
        ("associated_attributes", "masked_items", "masked_attributes", "segments"), 0.0
    )
    return _Tasks(shaken("s3rec"), attributes, 0.5, PretrainingWeights(**{**none, **weights}))


def _encoded(tasks: _Tasks, sequences: Tensor, masked: Tensor) -> Tensor:
    """The states of all positions, ``[B, L, D]``."""
    states, rows = tasks._encode(sequences, masked)
    return rows.unpacked(states)


@pytest.mark.parametrize(
    ("weight", "heads"),
    [
        ("associated_attributes", {"associated_head", "attributes"}),
        ("masked_items", {"item_head"}),
        ("masked_attributes", {"masked_head", "attributes"}),
        ("segments", {"segment_head"}),
    ],
)
def test_each_task_trains_its_own_head_and_the_model(weight: str, heads: set[str]) -> None:
    tasks = _tasks(**{weight: 1.0})
    tasks(SEQUENCES).backward()
    trained = {
        name.split(".")[0]
        for name, p in tasks.named_parameters()
        if p.grad is not None and p.grad.any()
    }
    assert trained == heads | {"model", "masked_item"}


def test_masked_items_are_not_read() -> None:
    tasks = _tasks()
    masked = torch.zeros_like(SEQUENCES, dtype=torch.bool)
    masked[0, 2] = True
    changed = SEQUENCES.clone()
    changed[0, 2] = 15
    states = _encoded(tasks, SEQUENCES, masked)
    torch.testing.assert_close(_encoded(tasks, changed, masked), states, **CLOSE)
    others = [_encoded(tasks, sequences, ~masked) for sequences in (changed, SEQUENCES)]
    assert not torch.allclose(*others)


def test_positions_see_what_comes_after_them_in_pretraining_only() -> None:
    tasks = _tasks()
    nothing = torch.zeros_like(SEQUENCES, dtype=torch.bool)
    changed = SEQUENCES.clone()
    changed[0, 5] = 15
    before, after = (_encoded(tasks, sequences, nothing) for sequences in (SEQUENCES, changed))
    assert bool(((before - after)[0, :5].abs() > 1e-4).any(dim=1).all())
    model = tasks.model
    torch.testing.assert_close(
        model.encode(changed)[0, :5], model.encode(SEQUENCES)[0, :5], **CLOSE
    )


def test_attribute_losses_by_hand() -> None:
    tasks = _tasks(associated_attributes=1.0, masked_attributes=10.0)
    torch.manual_seed(3)
    found = tasks._masked_items(SEQUENCES)
    torch.manual_seed(3)
    masked = torch.rand(SEQUENCES.shape) < 0.5
    states = _encoded(tasks, SEQUENCES, masked)[SEQUENCES != 0]
    wanted = torch.zeros(())
    for state, item, hidden in zip(
        states, SEQUENCES[SEQUENCES != 0], masked[SEQUENCES != 0], strict=True
    ):
        head = tasks.masked_head if hidden else tasks.associated_head
        probability = torch.sigmoid(tasks.attributes @ head(state))
        truth = ATTRIBUTES[item].float()
        loss = -(truth * probability.log() + (1 - truth) * (1 - probability).log()).sum()
        wanted = wanted + (10.0 if hidden else 1.0) * loss
    torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-5)


def test_negative_items_are_other_items_of_the_catalogue() -> None:
    tasks = _tasks(masked_items=1.0)
    drawn = []
    table = torch.arange(NUM_ITEMS + 1.0)[:, None].expand(-1, 8)
    tasks.model.item_table = lambda: table  # type: ignore[method-assign]
    tasks.item_head = torch.nn.Identity()  # type: ignore[assignment]
    for item in (1, 10, NUM_ITEMS):
        states = torch.zeros(400, 8)
        states[:, 0] = -1.0  # the score of true minus other is other - item
        torch.manual_seed(0)
        loss = tasks._item_loss(states, torch.full((400,), item))
        assert bool(loss.isfinite())
        torch.manual_seed(0)
        others = torch.randint(1, NUM_ITEMS, (400,))
        others = others + (others >= item)
        drawn.append(set(others.tolist()))
        margin = (others - item).float()
        torch.testing.assert_close(loss, torch.nn.functional.softplus(-margin).sum())
    assert drawn == [set(range(1, NUM_ITEMS + 1)) - {item} for item in (1, 10, NUM_ITEMS)]


def test_segments_are_stretches_of_at_most_half_a_sequence() -> None:
    flat = SEQUENCES[SEQUENCES != 0].tolist()
    stretches = {tuple(flat[i:j]) for j in range(len(flat) + 1) for i in range(j)}
    starts, lengths = set(), set()
    torch.manual_seed(0)
    for _ in range(300):
        true, false, inside = segment_copies(SEQUENCES)
        assert true.tolist() == SEQUENCES[:2].tolist()  # a single item has no surroundings
        assert torch.equal(false != 0, true != 0)
        assert torch.equal(false[~inside], true[~inside])
        for row in range(2):
            columns = inside[row].nonzero().flatten().tolist()
            assert columns == list(range(columns[0], columns[-1] + 1))
            assert bool((true[row][inside[row]] != 0).all())
            assert tuple(false[row][inside[row]].tolist()) in stretches
            if row == 0:
                starts.add(columns[0])
                lengths.add(len(columns))
    assert starts == set(range(6))
    assert lengths == {1, 2, 3}


def test_sequences_without_segments_have_no_segment_loss() -> None:
    assert float(_tasks(segments=1.0)(torch.tensor([[0, 3], [0, 4]])).detach()) == 0.0


@pytest.mark.parametrize("ratio", [0.0, 1.0])
def test_a_mask_ratio_out_of_range_is_refused(ratio: float) -> None:
    with pytest.raises(ValueError, match=rf"mask_ratio must be in \(0, 1\), got {ratio}"):
        shaken("s3rec").pretrain(batches, epochs=1, mask_ratio=ratio)


def test_attributes_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match=r"item_attributes must be .* = \[21, A\], got \[20, 5\]"):
        shaken("s3rec").pretrain(batches, epochs=1, item_attributes=ATTRIBUTES[1:])


def test_sequences_longer_than_max_length_are_refused() -> None:
    with pytest.raises(ValueError, match="length 13, at most max_length=12"):
        shaken("s3rec").pretrain(lambda _: [torch.ones(1, 13, dtype=torch.int64)], epochs=1)


def test_it_pretrains_on_beautys_attributes() -> None:
    folder = Path(os.environ.get("ATJT_DATA", Path(__file__).parents[3] / "shared" / "data"))
    for name in ("Beauty.txt", "Beauty_item2attributes.json"):
        if not (folder / name).is_file():
            pytest.skip(f"{name} is not there (ATJT_DATA names its folder)")
    interactions = read_interactions(folder / "Beauty.txt")
    interactions = with_items(interactions, folder / "Beauty_item2attributes.json")
    sequences = to_sequences(interactions).without_last(2)
    attributes = sequences.item_features["attributes"].multi_hot()[:, 1:]
    assert attributes.shape == (12_102, 637)
    rows = TrainingRows(sequences, max_length=20)

    def some(epoch: int) -> Any:
        return (rows.gather(torch.arange(n, n + 64)).sequences[:, -20:] for n in range(0, 640, 64))

    torch.manual_seed(0)
    model = S3Rec(sequences.num_items, max_length=20, embedding_dim=32, dropout=0.2)
    history = model.pretrain(some, epochs=3, item_attributes=attributes)
    assert history[-1] < 0.9 * history[0]
