"""How much of each user's sequence is noise, and the resulting P(noise) of every interaction.

The same odd item is likely noise if half of the user's items are noise, and likely clean if the
user has one stray click in a hundred. The distribution of users over shares of noise is unknown, so
it is estimated from the data (empirical Bayes): each user's share is one of ``SHARES``, and
expectation maximisation (EM) estimates how many users have which.
"""

from __future__ import annotations

import numpy as np

from .events import Codes, Doubles

__all__ = ["SHARES", "common_shares", "likelihood_ratios", "noise_probability", "share_posterior"]

SHARES = np.array([0.0, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8])
"""The shares of noise that a user can have."""

_EM_STEPS = 60
# Keeps a single interaction from outweighing all others of its user.
_LARGEST_RATIO = 1000.0


def likelihood_ratios(
    noise_logits: Doubles, *, artificial_rate: float, noise_rate: float
) -> Doubles:
    """``p(features | noise) / p(features | clean)`` of each interaction, ``[N]``.

    The classifier compares noise with the *data*, which are a mixture:
    ``data = (1 - rho) * clean + rho * noise``. This solves for ``noise / clean``.

    Args:
        noise_logits: ``[N]``, from a classifier trained on data with artificial noise.
        artificial_rate: share of artificial noise in its training data, in (0, 1).
        noise_rate: rho, see :func:`atjt_ext.recognition.weighting.estimate_noise_rate`.
    """
    to_data = np.exp(noise_logits.clip(-100.0, 100.0)) * (1.0 - artificial_rate) / artificial_rate
    # rho is a quantile's bound: a few interactions exceed the largest possible density, 1 / rho.
    clean_part = np.maximum(1.0 - noise_rate * to_data, 0.02)
    ratios = np.minimum(to_data, 0.98 / max(noise_rate, 1e-6)) * (1.0 - noise_rate) / clean_part
    return np.asarray(ratios.clip(1.0 / _LARGEST_RATIO, _LARGEST_RATIO))


def common_shares(ratios: Doubles, users: Codes, num_users: int, *, evidence: float) -> Doubles:
    """The share of users that have each of ``SHARES``, by EM: ``[len(SHARES)]``, sums to 1.

    Args:
        ratios: ``[N]`` likelihood ratios.
        users: ``[N]``, the user of each interaction.
        num_users: number of users.
        evidence: in (0, 1], the exponent of an interaction's likelihood. A user's interactions are
            judged by each other, so their likelihoods are not independent.
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

    ``prior`` is ``[len(SHARES)]``; a user without interactions gets it unchanged. The other
    arguments are those of :func:`common_shares`.
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
    """P(noise) of every interaction ``[N]``, averaged over the shares that its user can have.

    Args:
        ratios: ``[N]`` likelihood ratios.
        users: ``[N]``, the user of each interaction.
        posterior: ``[num_users, len(SHARES)]``, P(share of noise).
        largest: above it, a ratio grows with its logarithm only, because clean users have single
            very odd items, too.
    """
    bounded = np.minimum(ratios, largest) + np.log(np.maximum(ratios / largest, 1.0))
    total = np.zeros(len(ratios))
    for column, share in enumerate(SHARES):
        total += posterior[users, column] * share * bounded / (1.0 + share * (bounded - 1.0))
    return total
