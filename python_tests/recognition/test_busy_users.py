"""One busy user does not decide which interactions look normal, and is judged like the others."""

from __future__ import annotations

import random
import warnings

import numpy as np
import pytest
import torch

from atjt_ext.data import Sequences, simulate_interactions, to_sequences
from atjt_ext.recognition import NoiseRecogniser, RecognisedNoise, recognise_noise
from atjt_ext.recognition.co_occurrence.busy_users import UserLimit
from atjt_ext.recognition.co_occurrence.events import Events
from helpers.tiny import tiny_sequences

NUM_ITEMS = 300


def honest_users(count: int) -> list[list[int]]:
    made = to_sequences(
        simulate_interactions(num_users=count, num_items=NUM_ITEMS, seed=4, mean_length=30)
    )
    return [made.items_of(user).tolist()[:40] for user in range(count)]


def with_bots(users: list[list[int]], *bots: list[int]) -> Sequences:
    return tiny_sequences(*users, *bots, num_items=NUM_ITEMS)


def clicks(count: int, seed: int = 0) -> list[int]:
    drawn = random.Random(seed)
    return [drawn.randint(1, NUM_ITEMS) for _ in range(count)]


def judged(sequences: Sequences, busy: int) -> tuple[RecognisedNoise, torch.Tensor, torch.Tensor]:
    """The judgement, and P(noise) of the honest users and of the last ``busy`` users."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "user .* of .* interactions")
        found = recognise_noise(sequences)
    bot = sequences.owners >= sequences.num_users - busy
    noise = 1.0 - found.weights
    return found, noise[~bot], noise[bot]


@pytest.fixture(scope="module")
def users() -> list[list[int]]:
    return honest_users(200)


@pytest.fixture(scope="module")
def usual(users: list[list[int]]) -> torch.Tensor:
    found, noise, _ = judged(with_bots(users), 0)
    assert float(found.weights.min()) < 1.0  # the gate is open
    return noise


@pytest.mark.parametrize("bots", [[100], [300], [2000], [300] * 10])
def test_bots_are_found_and_the_others_keep_their_weights(
    users: list[list[int]], usual: torch.Tensor, bots: list[int]
) -> None:
    data = with_bots(users, *(clicks(count, seed) for seed, count in enumerate(bots)))
    found, others, bot = judged(data, len(bots))
    assert float(found.weights.min()) < 1.0
    assert float((others > 0.5).float().mean()) < float((usual > 0.5).float().mean()) + 0.01
    assert float(others.mean()) < float(usual.mean()) + 0.02
    assert float(bot.mean()) > 2.0 * float(others.mean())


@pytest.mark.parametrize("bot", [[7, 8] * 500, [*range(1, NUM_ITEMS + 1)] * 5])
def test_a_bot_with_few_items_or_all_of_them_harms_nobody(
    users: list[list[int]], usual: torch.Tensor, bot: list[int]
) -> None:
    _, others, _ = judged(with_bots(users, bot), 1)
    assert float((others > 0.5).float().mean()) < float((usual > 0.5).float().mean()) + 0.01
    assert float(others.mean()) < float(usual.mean()) + 0.02


def test_what_is_learned_does_not_grow_with_the_busy_user(users: list[list[int]]) -> None:
    long = clicks(1200)
    few, many = (judged(with_bots(users, bot), 1)[0] for bot in (long[-400:], long))
    assert few.artificial_auc == many.artificial_auc
    honest = sum(map(len, users))
    torch.testing.assert_close(few.weights[:honest], many.weights[:honest], rtol=0, atol=1e-3)


def test_who_is_busy() -> None:
    # Twice the length that a tenth of the users exceed: 2 * 10 here, whatever the longest holds.
    for longest in (21, 10**6):
        limit = UserLimit.of(np.array([10] * 9 + [5, longest]))
        assert limit is not None
        assert limit.longest == 10
        assert limit.busy.tolist() == [False] * 10 + [True]
    assert UserLimit.of(np.array([10] * 9 + [5, 20])) is None
    assert UserLimit.of(np.zeros(3, np.int64)) is None
    # In large data a hundredth of the interactions is allowed in any case: 1 % of 3,000 + 6.
    many = np.full(1001, 3)
    many[0] = 30
    assert UserLimit.of(many) is None
    many[0] = 31
    assert UserLimit.of(many) is not None


def test_a_busy_users_sequence_is_judged_in_stretches() -> None:
    data = tiny_sequences([1, 2, 3], [1, 2, 3, 4, 5, 6, 7], [2, 1])
    limit = UserLimit(longest=3, busy=np.array([False, True, False]))
    events = Events.of(data, torch.tensor([0, 1, 0]), 2, limit.stretches_of(data.lengths.numpy()))
    assert events.users.tolist() == [0] * 3 + [1] * 7 + [2] * 2
    assert events.stretches.tolist() == [0] * 3 + [1] * 3 + [2] * 2 + [3] * 2 + [4] * 2
    assert events.lengths.tolist() == [3, 3, 2, 2, 2]
    pairs = [(first.tolist(), second.tolist()) for _, first, second in events.neighbours(9)]
    assert pairs == [
        ([0, 1, 3, 4, 6, 8, 10], [1, 2, 4, 5, 7, 9, 11]),
        ([0, 3], [2, 5]),
    ]


def test_a_busy_user_is_named(users: list[list[int]]) -> None:
    data = with_bots(users, clicks(1000))
    share = 100 * 1000 / data.num_interactions
    with pytest.warns(
        UserWarning, match=rf"user 'u200' has 1,000 of .* \({share:.1f} %\): .* the latest 40 of"
    ):
        recogniser = NoiseRecogniser().fit(data)
    again = recogniser.judge(data)
    assert torch.equal(again.weights, recogniser.found.weights)
    assert len(recogniser.evidence().neighbours) == data.num_interactions
    with pytest.warns(UserWarning, match="and 1 other user is limited likewise"):
        recognise_noise(with_bots(users, clicks(500), clicks(600)))
