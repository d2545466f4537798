"""Planted noise: exactly where and how much, in simulated data and in given sequences."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch

from atjt_ext.data import (
    PlantedNoise,
    Sequences,
    inject_noise,
    leave_one_out,
    simulate_interactions,
    to_sequences,
)
from atjt_ext.data.sequences import noisy_users

Plant = Callable[[PlantedNoise, int], Sequences]


def simulated(noise: PlantedNoise, seed: int) -> Sequences:
    return to_sequences(
        simulate_interactions(
            num_users=200, num_items=120, seed=seed, noise=noise, mean_length=12, max_length=30
        )
    )


def injected(noise: PlantedNoise, seed: int) -> Sequences:
    clean = replace(simulated(PlantedNoise(), 5), is_noise=None)
    before = clean.items.clone()
    noisy = inject_noise(clean, noise, seed=seed)
    assert torch.equal(clean.items, before)
    return noisy


@pytest.fixture(params=[simulated, injected], ids=lambda plant: plant.__name__)
def plant(request: pytest.FixtureRequest) -> Plant:
    return request.param


def truth(sequences: Sequences) -> torch.Tensor:
    assert sequences.is_noise is not None
    return sequences.is_noise


SOME_USERS = PlantedNoise(noisy_user_share=0.3, noisy_item_share=0.5)


KINDS = [
    PlantedNoise(diffuse_share=0.2),
    PlantedNoise(diffuse_share=0.2, popularity_power=1.0),
    SOME_USERS,
    PlantedNoise(diffuse_share=0.1, noisy_user_share=0.3),
]
SHARED = [
    PlantedNoise(noisy_user_share=0.3, noisy_item_source="another_user"),
    PlantedNoise(diffuse_share=0.1, noisy_user_share=0.3, noisy_item_source="another_user"),
]


@pytest.mark.parametrize(
    ("plant", "noise"),
    [*((simulated, one) for one in KINDS), *((injected, one) for one in KINDS + SHARED)],
)
def test_the_truth_is_exactly_what_was_replaced(plant: Plant, noise: PlantedNoise) -> None:
    clean, noisy = plant(PlantedNoise(), 3), plant(noise, 3)
    before, after = (made.decode_items(made.items) for made in (clean, noisy))
    changed = [one != other for one, other in zip(before, after, strict=True)]
    assert truth(noisy).tolist() == changed
    assert any(changed)
    assert torch.equal(noisy.offsets, clean.offsets)
    assert not truth(clean).any()


def test_targets_stay_clean_even_where_everything_else_is_noise(plant: Plant) -> None:
    noisy = plant(PlantedNoise(diffuse_share=1.0), 0)
    ours, clean = leave_one_out(noisy), leave_one_out(plant(PlantedNoise(), 0))
    assert truth(ours.train).all()
    assert int(truth(noisy).sum()) == ours.train.num_interactions
    for mine, wanted in ((ours.valid, clean.valid), (ours.test, clean.test)):
        assert noisy.decode_items(mine.targets) == clean.train.decode_items(wanted.targets)
    # Histories at test time hold the noise of training.
    assert torch.equal(ours.valid.histories.items, ours.train.items)


@pytest.mark.parametrize("power", [0.0, 1.0])
def test_a_diffuse_share_is_exact(plant: Plant, power: float) -> None:
    noise = PlantedNoise(diffuse_share=0.25, popularity_power=power)
    train = leave_one_out(plant(noise, 1)).train
    assert int(truth(train).sum()) == round(0.25 * train.num_interactions)


def test_concentrated_noise_takes_an_exact_share_of_an_exact_share_of_users(plant: Plant) -> None:
    train = leave_one_out(plant(SOME_USERS, 1)).train
    counts = torch.zeros(train.num_users).index_add(0, train.owners, truth(train).float())
    noisy = noisy_users(train)
    assert torch.equal(noisy, counts > 0)
    assert int(noisy.sum()) == round(0.3 * train.num_users)
    assert torch.equal(counts[noisy], (0.5 * train.lengths[noisy]).round())


def test_the_seed_decides_everything(plant: Plant) -> None:
    noise = PlantedNoise(diffuse_share=0.2, noisy_user_share=0.1)
    first, again, other = (plant(noise, seed) for seed in (4, 4, 5))
    assert torch.equal(first.items, again.items)
    assert torch.equal(truth(first), truth(again))
    assert first.decode_items(first.items) != other.decode_items(other.items)
