"""Every question of the benchmarks."""

from __future__ import annotations

from collections.abc import Iterable

import bench_linear_reweighted_cross_entropy
import bench_random_replacement_paper_case
import bench_random_replacement_share
import bench_random_replacement_unseen
import bench_reweighted_binary_cross_entropy
import bench_reweighted_cross_entropy
import bench_sampled_losses
import bench_target_ranks
from question import Question

DEVICES = ("cpu", "cuda")

_BENCHES = (
    bench_random_replacement_share,
    bench_random_replacement_paper_case,
    bench_random_replacement_unseen,
    bench_reweighted_cross_entropy,
    bench_reweighted_binary_cross_entropy,
    bench_linear_reweighted_cross_entropy,
    bench_target_ranks,
    bench_sampled_losses,
)


def questions(device: str, *, small: bool = False) -> list[Question]:
    """All that are asked on ``device``; at a size that takes no time, those that differ."""
    found: list[Question] = [q for bench in _BENCHES for q in bench.questions(device)]
    return unique_small(found) if small else found


def unique_small(questions: Iterable[Question]) -> list[Question]:
    """Questions that differ in more than their sizes."""
    return list(dict.fromkeys(question.small() for question in questions))
