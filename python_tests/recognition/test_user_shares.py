"""Shares of noise by user, and P(noise) of interactions, from likelihood ratios."""

from __future__ import annotations

import math

import numpy as np
import pytest

from atjt_ext.recognition.co_occurrence.user_shares import (
    SHARES,
    common_shares,
    likelihood_ratios,
    noise_probability,
    share_posterior,
)


def posterior_of(
    ratios: np.ndarray, users: np.ndarray, num_users: int, *, evidence: float = 1.0
) -> np.ndarray:
    prior = common_shares(ratios, users, num_users, evidence=evidence)
    assert prior.sum() == pytest.approx(1.0)
    return share_posterior(ratios, users, num_users, prior, evidence=evidence)


def test_ratios_take_the_noise_out_of_the_data() -> None:
    # Noise is twice as dense as the data here, of which a quarter is noise:
    # data = 3/4 clean + 1/4 noise, so clean = (data - noise / 4) / (3/4) = 2/3 of the data.
    logit = math.log(2 * 0.1 / 0.9)
    found = likelihood_ratios(np.array([logit]), artificial_rate=0.1, noise_rate=0.25)
    assert found.tolist() == pytest.approx([2 / (2 / 3)])
    # Without noise in the data there is nothing to take out.
    plain = likelihood_ratios(np.array([logit]), artificial_rate=0.1, noise_rate=0.0)
    assert plain.tolist() == pytest.approx([2.0])


def test_ratios_stay_finite_and_in_order() -> None:
    logits = np.array([-800.0, -5.0, 0.0, 2.0, 5.0, 800.0])
    found = likelihood_ratios(logits, artificial_rate=0.1, noise_rate=0.2)
    assert np.isfinite(found).all()
    assert (found > 0).all()
    assert (np.diff(found) >= 0).all()


def drawn(
    shares: list[float], length: int, *, seed: int = 0
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Ratios of N(1, 1) against N(-1, 1), whose log is 2 x; whose they are; which are noise."""
    random = np.random.default_rng(seed)
    users = np.repeat(np.arange(len(shares)), length)
    noise = random.random(len(users)) < np.repeat(shares, length)
    x = random.normal(np.where(noise, 1.0, -1.0))
    return np.exp(2 * x), users, noise


def test_noisy_users_are_told_from_clean_ones() -> None:
    shares = [0.5] * 30 + [0.0] * 70
    ratios, users, noise = drawn(shares, 60)
    posterior = posterior_of(ratios, users, 100)
    assert posterior.sum(axis=1) == pytest.approx(np.ones(100))
    expected = posterior @ SHARES
    assert expected[:30].mean() == pytest.approx(0.5, abs=0.05)
    assert expected[30:].mean() < 0.02
    # An equally odd item is noise for the one user, but not for the other.
    found = noise_probability(ratios, users, posterior)
    one_share = 0.15 * ratios / (1 + 0.15 * (ratios - 1))
    odd = (ratios > 2) & ~noise & (users >= 30)
    assert odd.sum() > 50
    assert found[odd].max() < 0.2 < one_share[odd].min()
    assert found[noise].mean() > one_share[noise].mean() + 0.05


def test_shares_and_probabilities_are_those_of_a_loop_over_users() -> None:
    ratios, users, _ = drawn([0.5] * 5 + [0.1] * 10, 8, seed=3)
    prior = common_shares(ratios, users, 15, evidence=0.3)
    posterior = share_posterior(ratios, users, 15, prior, evidence=0.3)
    probability = noise_probability(ratios, users, posterior)

    likelihoods = []
    for user in range(15):
        own = [float(ratio) for ratio in ratios[users == user]]
        likelihoods.append(
            [math.prod((1 - s + s * ratio) ** 0.3 for ratio in own) for s in SHARES.tolist()]
        )

    def of_user(user: int, common: list[float]) -> list[float]:
        joint = [p * likelihood for p, likelihood in zip(common, likelihoods[user], strict=True)]
        return [one / sum(joint) for one in joint]

    common = [1 / len(SHARES)] * len(SHARES)
    for _ in range(60):  # expectation, maximisation
        expected = [of_user(user, common) for user in range(15)]
        common = [sum(column) / 15 for column in zip(*expected, strict=True)]
    assert prior == pytest.approx(common, abs=1e-9)
    for at, (user, ratio) in enumerate(zip(users.tolist(), ratios.tolist(), strict=True)):
        shares = zip(of_user(user, common), SHARES.tolist(), strict=True)
        noise = sum(p * s * ratio / (s * ratio + 1 - s) for p, s in shares)
        assert probability[at] == pytest.approx(noise, rel=1e-6)


def test_noise_that_is_everywhere_is_found_everywhere() -> None:
    ratios, users, noise = drawn([0.2] * 300, 12)
    posterior = posterior_of(ratios, users, 300)
    assert posterior.mean(axis=0) @ SHARES == pytest.approx(0.2, abs=0.02)
    found = noise_probability(ratios, users, posterior)
    # Calibrated: of what is believed to be noise by p, p is.
    for low, high in ((0.0, 0.2), (0.2, 0.5), (0.5, 0.8), (0.8, 1.0)):
        inside = (found >= low) & (found < high)
        assert noise[inside].mean() == pytest.approx(found[inside].mean(), abs=0.06)


def test_clean_data_are_believed_to_be_clean() -> None:
    ratios, users, _ = drawn([0.0] * 200, 30)
    posterior = posterior_of(ratios, users, 200)
    assert noise_probability(ratios, users, posterior).mean() < 0.01


def test_one_share_is_bayes_rule() -> None:
    posterior = np.zeros((1, len(SHARES)))
    posterior[0, 3] = 1.0  # a tenth
    found = noise_probability(np.array([1.0, 9.0, 0.01]), np.zeros(3, np.int64), posterior)
    assert found.tolist() == pytest.approx([0.1, 0.5, 0.001 / 0.901])


def test_beyond_the_largest_ratio_only_the_order_counts() -> None:
    posterior = np.zeros((1, len(SHARES)))
    posterior[0, 3] = 1.0  # a tenth
    ratios = np.array([9.0, 20.0, 100.0, 1000.0])
    users = np.zeros(4, np.int64)
    found = noise_probability(ratios, users, posterior, largest=20.0)
    assert found[:2].tolist() == noise_probability(ratios[:2], users[:2], posterior).tolist()
    assert (np.diff(found) > 0).all()
    # 20 + log(50) in place of 1000: 0.73 in place of 0.99.
    assert found[3] == pytest.approx(0.1 * 23.91 / (0.1 * 23.91 + 0.9), abs=1e-3)


def test_less_evidence_keeps_users_together() -> None:
    ratios, users, _ = drawn([0.5] * 10 + [0.0] * 10, 20)
    spread = [
        np.ptp(posterior_of(ratios, users, 20, evidence=evidence) @ SHARES)
        for evidence in (1.0, 0.3, 0.05)
    ]
    assert spread[0] > spread[1] > spread[2]


def test_who_has_nothing_is_like_everybody() -> None:
    ratios, users, _ = drawn([0.3] * 20, 10)
    prior = common_shares(ratios, users, 20, evidence=0.3)
    posterior = share_posterior(ratios, users, 21, prior, evidence=0.3)
    assert posterior[20] == pytest.approx(prior)
