"""Noise planted into given sequences: exactly where, how much, and by what."""

from __future__ import annotations

import pytest
import torch

from atjt_ext.data import (
    DataError,
    PlantedNoise,
    Sequences,
    inject_noise,
    leave_one_out,
    simulate_interactions,
    to_sequences,
)
from helpers.chi_square import chi_square_z
from helpers.tiny import tiny_sequences


@pytest.fixture(scope="module")
def clean() -> Sequences:
    made = to_sequences(
        simulate_interactions(num_users=200, num_items=120, seed=5, mean_length=12, max_length=30)
    )
    return Sequences(made.offsets, made.items, made.user_ids, made.item_ids)


def test_new_items_are_nowhere_else_in_their_users_data(clean: Sequences) -> None:
    noisy = inject_noise(clean, PlantedNoise(diffuse_share=0.5), seed=2)
    assert noisy.is_noise is not None
    for user in range(clean.num_users):
        held = set(clean.items_of(user).tolist())
        start, end = clean.offsets[user : user + 2].tolist()
        new = noisy.items[start:end][noisy.is_noise[start:end]].tolist()
        assert len(set(new)) == len(new)
        assert not held & set(new)


def test_new_items_are_uniform_or_as_popular_as_the_rest() -> None:
    # Item 1 is everywhere; items 2..41 are rare. 400 users miss item 1 and get one new item each.
    users = [[2 + u % 40, 2 + (u + 1) % 40, 2 + (u + 2) % 40] for u in range(400)]
    users += [[1, 2 + u % 40, 2 + (u + 7) % 40] for u in range(1200)]
    sequences = tiny_sequences(*users, num_items=41)

    def drawn(power: float) -> torch.Tensor:
        noise = PlantedNoise(diffuse_share=1.0, popularity_power=power)
        noisy = inject_noise(sequences, noise, seed=0)
        first = noisy.items[noisy.offsets[:400]]
        return torch.bincount(first, minlength=42)[1:]

    uniform, popular = drawn(0.0), drawn(1.0)
    # 38 items are open to each user, item 1 among them: 400 / 38 draws of it, or 3/4 of the mass.
    assert 2 <= int(uniform[0]) <= 25
    assert int(popular[0]) > 250
    assert abs(chi_square_z(uniform[1:], float(uniform[1:].sum()) / 40)) < 4


def test_noise_that_was_known_stays_marked() -> None:
    sequences = tiny_sequences([1, 2, 3, 4], noise=[True, False, False, False])
    noisy = inject_noise(sequences, PlantedNoise(), seed=0)
    assert noisy.is_noise is not None
    assert noisy.is_noise.tolist() == [True, False, False, False]


def test_what_cannot_be_replaced_is_refused() -> None:
    full = tiny_sequences([1, 2, 3, 4], [1, 2, 3], num_items=4)
    with pytest.raises(DataError, match="u0' lacks only 0 of 4 items, too few to replace 2"):
        inject_noise(full, PlantedNoise(diffuse_share=1.0), seed=0)
    with pytest.raises(ValueError, match="seed must be at least 0, got -1"):
        inject_noise(full, PlantedNoise(), seed=-1)


# ---- a second person at the account -------------------------------------------------------------

SHARED = PlantedNoise(noisy_user_share=0.5, noisy_item_share=0.5, noisy_item_source="another_user")


def test_a_second_persons_items_are_a_stretch_of_another_users(clean: Sequences) -> None:
    noisy = inject_noise(clean, SHARED, seed=1)
    assert noisy.is_noise is not None
    histories = leave_one_out(clean).train
    everybodys = [histories.items_of(user).tolist() for user in range(clean.num_users)]
    masks = noisy.is_noise.split(noisy.lengths.tolist())
    shared = [user for user, mask in enumerate(masks) if bool(mask.any())]
    assert len(shared) == clean.num_users // 2
    from_one = 0
    for user in shared:
        own = clean.items_of(user).tolist()
        new = noisy.items_of(user)[masks[user]].tolist()
        assert len(new) == round(0.5 * (len(own) - 2))
        assert len(set(new)) == len(new)
        assert not set(new) & set(own)
        # In the order of whoever had them, what the account has itself left out.
        from_one += any(
            new == [item for item in theirs if item not in own][first : first + len(new)]
            for theirs in everybodys
            for first in range(len(theirs))
        )
    assert from_one > 0.5 * len(shared)  # the others needed more than one


def test_shares_of_shared_accounts_are_those_of_bots(clean: Sequences) -> None:
    bots = PlantedNoise(noisy_user_share=0.5, noisy_item_share=0.5)
    theirs, others = (inject_noise(clean, noise, seed=1).is_noise for noise in (SHARED, bots))
    assert theirs is not None
    assert others is not None
    assert torch.equal(theirs, others)


def test_further_users_add_theirs_and_too_few_are_refused() -> None:
    sequences = tiny_sequences([1, 2, 3, 4, 8, 9], [5, 8, 9], [6, 9, 8], [7, 9, 8])
    noise = PlantedNoise(
        noisy_user_share=1.0, noisy_item_share=0.75, noisy_item_source="another_user"
    )
    with pytest.raises(DataError, match="only 1 items that user 'u0' does not"):
        inject_noise(tiny_sequences([1, 2, 3, 4, 5, 6, 8, 9], [7, 8, 9], [6, 9, 8]), noise, seed=0)
    noisy = inject_noise(sequences, noise, seed=0)
    assert sorted(set(noisy.items_of(0).tolist()) - {1, 2, 3, 4, 8, 9}) == [5, 6, 7]


def test_simulated_data_have_no_second_persons() -> None:
    wanted = "noisy_item_source must be 'catalogue' here, got 'another_user'"
    with pytest.raises(ValueError, match=wanted):
        simulate_interactions(num_users=5, num_items=120, seed=0, noise=SHARED)
    with pytest.raises(ValueError, match="noisy_item_source must be 'catalogue' or 'another_user'"):
        PlantedNoise(noisy_item_source="bots")  # type: ignore[arg-type]
