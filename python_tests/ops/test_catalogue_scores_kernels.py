"""Scores of pairs and counts over the whole catalogue agree bit for bit."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

import emulator
from helpers.catalogue_kernels import Catalogue, catalogue, kernels
from helpers.operators import skip_without_kernel
from helpers.weighted_rows import DTYPES, relative_error


def pair_scores(c: Catalogue, rows: Tensor, classes: Tensor, *, num_threads: int = 1) -> Tensor:
    scores = torch.full(rows.shape, -777.0, dtype=c.arithmetic, device=c.hidden.device)
    kernels(c.hidden.device).pair_scores(
        c.hidden, c.table, rows, classes, bias=c.bias, scores=scores, num_threads=num_threads
    )
    return scores


def count_at_least(c: Catalogue, thresholds: Tensor, *, num_threads: int = 1) -> Tensor:
    counts = torch.full((len(c.hidden),), -777, device=c.hidden.device)
    kernels(c.hidden.device).count_at_least(
        c.hidden, c.table, thresholds, bias=c.bias, counts=counts, num_threads=num_threads
    )
    return counts


def all_scores(c: Catalogue) -> Tensor:
    """Scores ``[rows, classes]``, computed pair by pair."""
    rows, classes = len(c.hidden), len(c.table)
    pairs = torch.cartesian_prod(torch.arange(rows), torch.arange(classes)).to(c.hidden.device)
    pairs = pairs.reshape(-1, 2)
    return pair_scores(c, pairs[:, 0].contiguous(), pairs[:, 1].contiguous()).view(rows, classes)


def assert_they_agree(c: Catalogue, *, times: int = 8) -> None:
    scores = all_scores(c)
    exact = c.as_dtype(torch.float64).logits()
    assert relative_error(scores, exact) < (1e-14 if c.arithmetic == torch.float64 else 1e-6)
    # With a row's own scores as thresholds, any difference in bits changes a count.
    generator = torch.Generator().manual_seed(2)
    for _ in range(times):
        picks = torch.randint(0, len(c.table), (len(c.hidden),), generator=generator)
        thresholds = scores.gather(1, picks[:, None].to(scores.device))
        wanted = (scores >= thresholds).sum(1)
        for num_threads in (1, 2):
            assert torch.equal(count_at_least(c, thresholds[:, 0], num_threads=num_threads), wanted)
    above = torch.nextafter(thresholds, torch.full_like(thresholds, torch.inf))
    assert torch.equal(count_at_least(c, above[:, 0]), (scores > thresholds).sum(1))


SHAPES = [(1, 1, 1), (5, 47, 3), (13, 300, 31), (50, 97, 64), (17, 33, 130), (4, 40, 200)]
SHAPES += [(33, 16, 300)]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_counts_are_those_of_the_scores(
    device: torch.device, dtype: torch.dtype, shape: tuple[int, int, int]
) -> None:
    skip_without_kernel(device, dtype, shape[2])
    for bias in (False, True):
        assert_they_agree(catalogue(*shape, device, dtype=dtype, bias=bias))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16], ids=str)
def test_more_than_a_block_of_rows_and_of_classes(device: torch.device, dtype: torch.dtype) -> None:
    assert_they_agree(catalogue(130, 1100, 8, device, dtype=dtype, bias=True), times=1)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_on_every_instruction_set(isa: str, dtype: torch.dtype) -> None:
    for shape in [*SHAPES, (3, 9000, 7)]:
        assert_they_agree(catalogue(*shape, torch.device("cpu"), dtype=dtype, bias=True))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_an_item_ties_with_its_duplicates(device: torch.device, dtype: torch.dtype) -> None:
    copies = 40 if emulator.runs_cuda_kernels(device) else 700
    c = catalogue(7, copies, 33, device, dtype=dtype)
    table = c.table[5].expand_as(c.table).contiguous()
    same = Catalogue(c.hidden, table, c.targets)
    rows = torch.arange(7, device=device)
    own = pair_scores(same, rows, rows)
    assert torch.equal(count_at_least(same, own), torch.full_like(rows, copies))
    above = torch.nextafter(own, torch.full_like(own, torch.inf))
    assert not count_at_least(same, above).any()


def test_a_score_has_the_same_bits_beside_other_rows() -> None:
    c = catalogue(100, 500, 33, torch.device("cpu"))
    rows = torch.arange(100)
    own = pair_scores(c, rows, rows)
    whole = count_at_least(c, own)
    for start, end in [(0, 1), (3, 20), (47, 100)]:
        part = Catalogue(c.hidden[start:end].contiguous(), c.table, c.targets)
        assert torch.equal(count_at_least(part, own[start:end]), whole[start:end])
        assert torch.equal(
            pair_scores(c, rows[start:end], rows[start:end], num_threads=2), own[start:end]
        )


def test_what_is_no_number_counts_as_reached(device: torch.device) -> None:
    c = catalogue(6, 50, 8, device)
    hidden = c.hidden.clone()
    hidden[2] = torch.nan
    thresholds = torch.full((6,), torch.inf, device=device)
    thresholds[4] = torch.nan
    counts = count_at_least(Catalogue(hidden, c.table, c.targets), thresholds)
    assert counts.tolist() == [0, 0, 50, 0, 50, 0]
    table = c.table.clone()
    table[5] = torch.nan
    counts = count_at_least(Catalogue(c.hidden, table, c.targets), thresholds)
    assert counts.tolist() == [1, 1, 1, 1, 50, 1]


def test_pairs_out_of_range_have_no_score(device: torch.device) -> None:
    c = catalogue(6, 50, 8, device, bias=True)
    rows = torch.tensor([0, 6, -1, 3, 2, 5], device=device)
    classes = torch.tensor([0, 0, 0, 50, -1, 49], device=device)
    scores = pair_scores(c, rows, classes)
    assert scores.isnan().tolist() == [False, True, True, True, True, False]
    assert not pair_scores(c, rows[:0], classes[:0]).numel()
    empty = Catalogue(c.hidden, c.table[:0], c.targets)
    assert bool(pair_scores(empty, rows, classes).isnan().all())
    assert not count_at_least(empty, torch.zeros(6, device=device)).any()
