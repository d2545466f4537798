"""The definition of every operation in plain torch: slow, obvious, and the truth for the kernels.

For tests and benchmarks; nothing in the package imports it.
"""

from .corruption import alias_masses, alias_table, keyed_draws, philox4x32_10, random_replacement
from .losses import (
    candidate_scores,
    linear_reweighted_cross_entropy,
    reweighted_binary_cross_entropy,
    reweighted_cross_entropy,
    sampled_binary_cross_entropy,
    sampled_cross_entropy,
)
from .ranks import target_ranks, top_k

__all__ = [
    "alias_masses",
    "alias_table",
    "candidate_scores",
    "keyed_draws",
    "linear_reweighted_cross_entropy",
    "philox4x32_10",
    "random_replacement",
    "reweighted_binary_cross_entropy",
    "reweighted_cross_entropy",
    "sampled_binary_cross_entropy",
    "sampled_cross_entropy",
    "target_ranks",
    "top_k",
]
