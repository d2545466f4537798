"""Dropout masks of the models: by row, position and step, whatever the batch."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from atjt_ext import JointTrainer, JointTrainerConfig, SASRec
from atjt_ext.data import Batch, TrainingRows
from atjt_ext.models.dropout import Dropout, DropoutKey
from atjt_ext.models.scoring import encode
from atjt_ext.training.objectives import auxiliary_loss
from helpers.tiny import LastItemModel, tiny_batch, tiny_sequences
from helpers.zoo import CLOSE, shaken

KEYED = ["sasrec", "fearec", "gru4rec", "s3rec"]
BATCH = tiny_batch([1, 2, 3, 4, 5, 6, 7], [7, 8, 9, 7], [10, 11], [12, 1, 2, 5, 3])


def key(rows: Tensor = BATCH.rows, *, seed: int = 3, step: int | Tensor = 5) -> DropoutKey:
    return DropoutKey(rows, seed, step)


def states(model: nn.Module, batch: Batch = BATCH, **options: int) -> Tensor:
    return encode(model, batch.inputs, None, key(batch.rows, **options))  # type: ignore[arg-type]


@pytest.mark.parametrize("name", KEYED)
def test_a_row_has_its_masks_in_any_batch(name: str) -> None:
    model = shaken(name, dropout=0.4).train()
    together = states(model)
    for row in range(len(BATCH)):
        alone = states(model, BATCH.select(torch.tensor([row])))
        torch.testing.assert_close(alone[0], together[row], **CLOSE)
    turned = states(model, BATCH.select(torch.tensor([3, 1, 0, 2])))
    torch.testing.assert_close(turned[[2, 1, 3, 0]], together, **CLOSE)


@pytest.mark.parametrize("name", KEYED)
def test_padding_changes_no_mask(name: str) -> None:
    model = shaken(name, dropout=0.4).train()
    wide = tiny_batch([1, 2, 3, 4, 5, 6, 7], [7, 8, 9, 7], [10, 11], [12, 1, 2, 5, 3], padding=3)
    torch.testing.assert_close(states(model, wide)[:, 3:], states(model), **CLOSE)


@pytest.mark.parametrize("name", KEYED)
def test_masks_differ_between_seeds_steps_rows_and_passes(name: str) -> None:
    model = shaken(name, dropout=0.4).train()
    first = states(model)
    torch.testing.assert_close(states(model), first, rtol=0, atol=0)
    torch.testing.assert_close(states(model, step=torch.tensor(5)), first, rtol=0, atol=0)
    others = [
        states(model, seed=4),
        states(model, step=6),
        encode(model, BATCH.inputs, None, key(BATCH.rows + 4)),
        encode(model, BATCH.inputs, None, key().in_pass(1)),
    ]
    for other in others:
        assert bool((other - first)[BATCH.is_target].abs().amax(dim=1).gt(1e-3).all())


@pytest.mark.parametrize("name", KEYED)
def test_every_dropout_has_its_own_place(name: str) -> None:
    places = [one.place for one in shaken(name).modules() if isinstance(one, Dropout)]
    assert sorted(places) == list(range(len(places)))


def test_two_layers_of_a_model_have_different_masks() -> None:
    first, second = Dropout(0.5), Dropout(0.5)
    second.place = 1
    keys = key().of_tokens(torch.arange(4), torch.zeros(4, dtype=torch.int64))
    ones = torch.ones(4, 64)
    assert not torch.equal(first(ones, keys), second(ones, keys))


@pytest.mark.parametrize("name", KEYED)
def test_without_a_key_masks_come_from_torchs_generator(name: str) -> None:
    model = shaken(name, dropout=0.4).train()
    found = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        found.append(model.encode(BATCH.inputs))
    assert torch.equal(found[0], found[1])
    assert not torch.allclose(found[0], found[2], atol=1e-3)


@pytest.mark.parametrize("name", KEYED)
def test_in_evaluation_a_key_changes_nothing(name: str) -> None:
    model = shaken(name, dropout=0.4).eval()
    assert torch.equal(states(model), model.encode(BATCH.inputs))


def test_the_contrasted_passes_have_masks_of_their_own() -> None:
    model = shaken("fearec", dropout=0.4, contrast_weight=1.0).train()
    losses = [auxiliary_loss(model, BATCH, key(step=step)).item() for step in (5, 5, 6)]
    assert losses[0] == losses[1] != losses[2]
    one_view = shaken("fearec", dropout=0.0, contrast_weight=1.0).train()
    assert losses[0] > auxiliary_loss(one_view, BATCH, key()).item()


# ---- what the trainer passes on -----------------------------------------------------------------


class Recording(LastItemModel):
    def __init__(self) -> None:
        super().__init__()
        self.keys: list[tuple[list[int], int, int]] = []

    def encode(self, sequences: Tensor, *, dropout_key: DropoutKey | None = None) -> Tensor:
        if dropout_key is not None:
            rows = dropout_key.row_keys.tolist()
            self.keys.append((rows, dropout_key.seed, int(dropout_key.step)))
        return super().encode(sequences)


def test_the_trainer_keys_masks_by_window_seed_and_step() -> None:
    model = Recording()
    sequences = tiny_sequences([1, 2, 3], [4, 5], [6, 7, 8], [1, 3, 5, 7], [2, 4])
    options = {"batch_size": 2, "epochs": 2, "patience": None, "seed": 9}
    config = JointTrainerConfig.from_recipe("equal_weights", **options)
    JointTrainer(model, config=config).fit(sequences, progress=False)
    assert [(seed, step) for _, seed, step in model.keys] == [(9, step) for step in range(6)]
    windows = [row for rows, *_ in model.keys[:3] for row in rows]
    assert sorted(windows) == list(range(len(TrainingRows(sequences, max_length=50))))


@pytest.mark.parametrize("name", KEYED)
def test_the_number_of_threads_changes_no_mask(name: str) -> None:
    model, threads = shaken(name, dropout=0.4).train(), torch.get_num_threads()
    found = []
    try:
        for number in (1, 2):
            torch.set_num_threads(number)
            found.append(states(model))
    finally:
        torch.set_num_threads(threads)
    torch.testing.assert_close(*found, **CLOSE)


def test_a_models_own_loop_needs_no_key() -> None:
    model = SASRec(9, max_length=4, embedding_dim=8, dropout=0.5).train()
    assert model.encode(torch.tensor([[1, 2, 3]])).shape == (1, 3, 8)
