"""How much of each user's sequence is noise, and so which interactions are.

A user of whom half is noise is a different case from one stray click in a hundred: what is
improbable for the one is expected of the other. How such users are spread over a data set is not
known beforehand, but estimated from it (empirical Bayes): each user's share of noise is one of
``SHARES``, and expectation maximisation finds how many users have which.
"""

from __future__ import annotations

import numpy as np

from .events import Codes, Doubles

__all__ = [
    "SHARES",
    "common_shares",
    "likelihood_ratios",
    "noise_probability",
    "share_posterior",
]

SHARES = np.array([0.0, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8])
"""The shares of noise that a user may have."""

_EM_STEPS = 60
# No single interaction outweighs all others of its user.
_LARGEST_RATIO = 1000.0


def likelihood_ratios(
    noise_logits: Doubles, *, artificial_rate: float, noise_rate: float
) -> Doubles:
    """``p(features | noise) / p(features | clean)`` of interactions, ``[N]``.

    The classifier compares noise with the *data*, and those are a mixture of clean interactions and
    a share of noise: ``data = (1 - rho) * clean + rho * noise``.

    Args:
        noise_logits: ``[N]``, of a classifier trained on data with artificial noise.
        artificial_rate: share of the artificial noise, in (0, 1).
        noise_rate: rho, as :func:`atjt_ext.recognition.weighting.estimate_noise_rate` bounds it.
    """
    to_data = np.exp(noise_logits.clip(-100.0, 100.0)) * (1.0 - artificial_rate) / artificial_rate
    # By the bound noise is at most 1 / rho times as dense as the data, but for the quantile.
    clean_part = np.maximum(1.0 - noise_rate * to_data, 0.02)
    ratios = np.minimum(to_data, 0.98 / max(noise_rate, 1e-6)) * (1.0 - noise_rate) / clean_part
    return np.asarray(ratios.clip(1.0 / _LARGEST_RATIO, _LARGEST_RATIO))


def common_shares(ratios: Doubles, users: Codes, num_users: int, *, evidence: float) -> Doubles:
    """How common each of ``SHARES`` is among the users: ``[len(SHARES)]``, sums to 1.

    Args:
        ratios: ``[N]`` likelihood ratios.
        users: ``[N]``, whose they are.
        num_users: how many there are.
        evidence: in (0, 1], what an interaction counts beside the others of its user. They are
            judged by each other, so that a hundred of them are not a hundred witnesses.
    """
    prior = np.full(len(SHARES), 1.0 / len(SHARES))
    log_likelihood = _log_likelihood(ratios, users, num_users, evidence)
    for _ in range(_EM_STEPS):
        prior = _posterior(log_likelihood, prior).mean(axis=0)
    return prior


def share_posterior(
    ratios: Doubles, users: Codes, num_users: int, prior: Doubles, *, evidence: float
) -> Doubles:
    """P(share of noise) of every user: ``[num_users, len(SHARES)]``.

    Who has no interactions gets the ``prior [len(SHARES)]``. For the rest see
    :func:`common_shares`.
    """
    return _posterior(_log_likelihood(ratios, users, num_users, evidence), prior)


def _log_likelihood(ratios: Doubles, users: Codes, num_users: int, evidence: float) -> Doubles:
    columns = [np.bincount(users, np.log1p(share * (ratios - 1.0)), num_users) for share in SHARES]
    total: Doubles = evidence * np.stack(columns, axis=1).astype(np.float64)
    return total


def _posterior(log_likelihood: Doubles, prior: Doubles) -> Doubles:
    log_joint = np.log(np.maximum(prior, 1e-12)) + log_likelihood
    log_joint -= log_joint.max(axis=1, keepdims=True)
    joint = np.exp(log_joint)
    posterior: Doubles = joint / joint.sum(axis=1, keepdims=True)
    return posterior


def noise_probability(
    ratios: Doubles, users: Codes, posterior: Doubles, *, largest: float = np.inf
) -> Doubles:
    """P(noise) of every interaction ``[N]``, over all shares that its user may have.

    Args:
        ratios: ``[N]`` likelihood ratios.
        users: ``[N]``, whose they are.
        posterior: ``[num_users, len(SHARES)]``, P(share of noise).
        largest: from there on ratios count by their logarithm only. That an item looks odder than
            all others speaks for a clean user's one odd item as well.
    """
    bounded = np.minimum(ratios, largest) + np.log(np.maximum(ratios / largest, 1.0))
    total = np.zeros(len(ratios))
    for column, share in enumerate(SHARES):
        total += posterior[users, column] * share * bounded / (1.0 + share * (bounded - 1.0))
    return total
