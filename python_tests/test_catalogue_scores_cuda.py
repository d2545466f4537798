"""The CUDA kernels of ranks at the seam: a score alone and in a tile, ties, NaN."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from linear_kernels import Kernels, Problem, error, problem


def pair_scores(kernels: Kernels, p: Problem, rows: Tensor, classes: Tensor) -> Tensor:
    arguments = p.arguments(kernels.device)
    scores = torch.full(rows.shape, math.nan, device=kernels.device)
    kernels.module.pair_scores(
        *(arguments["hidden"], arguments["table"]),
        *(rows.to(kernels.device), classes.to(kernels.device)),
        bias=arguments["bias"],
        scores=scores,
        num_threads=1,
    )
    return scores.cpu()


def count_at_least(kernels: Kernels, p: Problem, thresholds: Tensor) -> Tensor:
    arguments = p.arguments(kernels.device)
    counts = torch.full((len(thresholds),), -1, device=kernels.device)
    kernels.module.count_at_least(
        *(arguments["hidden"], arguments["table"]),
        thresholds.to(kernels.device),
        bias=arguments["bias"],
        counts=counts,
        num_threads=1,
    )
    return counts.cpu()


@pytest.mark.parametrize("precision", ["bfloat16", "float16", "float32"])
@pytest.mark.parametrize(
    "shape", [(1, 1, 1), (9, 70, 33), (5, 130, 64), (4, 40, 200), (130, 1100, 8)]
)
def test_a_score_has_the_same_bits_alone_and_in_a_tile(
    kernels: Kernels, shape: tuple[int, int, int], precision: str
) -> None:
    p = problem(precision, *shape, bias=True)
    rows, classes, _ = shape
    everything = torch.arange(rows * classes)
    scores = pair_scores(kernels, p, everything // classes, everything % classes)
    scores = scores.view(rows, classes)
    assert error(scores, p.logits()) < 1e-6
    own = torch.randint(classes, (rows,), generator=torch.manual_seed(0))
    thresholds = scores.gather(1, own[:, None])
    counts = count_at_least(kernels, p, thresholds[:, 0])
    assert torch.equal(counts, (scores >= thresholds).sum(1))
    above = torch.nextafter(thresholds[:, 0], torch.tensor(math.inf))
    assert torch.equal(count_at_least(kernels, p, above), (scores > thresholds).sum(1))


def test_duplicates_tie_and_nan_counts(kernels: Kernels) -> None:
    p = problem("float32", 3, 90, 24)
    p.table[[7, 40, 89]] = p.table[0].clone()
    scores = pair_scores(kernels, p, torch.arange(3), torch.zeros(3, dtype=torch.int64))
    ties = count_at_least(kernels, p, scores) - count_at_least(
        kernels, p, torch.nextafter(scores, torch.tensor(math.inf))
    )
    assert ties.tolist() == [4, 4, 4]
    p.table[5] = math.nan
    assert count_at_least(kernels, p, torch.full((3,), math.inf)).tolist() == [1, 1, 1]


def test_a_pair_out_of_range_is_nan(kernels: Kernels) -> None:
    p = problem("float16", 3, 5, 4)
    rows, classes = torch.tensor([0, -1, 3, 0, 2]), torch.tensor([0, 0, 0, 5, 4])
    scores = pair_scores(kernels, p, rows, classes)
    assert scores.isnan().tolist() == [False, True, True, True, False]
