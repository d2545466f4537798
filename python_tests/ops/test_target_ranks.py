"""target_ranks against brute force on exact sums, and at the edges."""

from __future__ import annotations

import sys
from typing import Any

import pytest
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

import emulator
from atjt_ext.ops import reference, target_ranks
from atjt_ext.ops.target_ranks import has_kernels
from helpers.catalogue import DTYPES, OUT_OF_RANGE, REFUSED, exact_example, pairs_of, random_pairs
from helpers.operators import COMPILES, arithmetic, compiled, skip_without_kernel

NAN, INF = float("nan"), float("inf")


def random_targets(rows: int, items: int, device: torch.device) -> Tensor:
    return torch.randint(0, items, (rows,), generator=torch.Generator().manual_seed(9)).to(device)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    ("rows", "items", "width"),
    [(7, 300, 16), (33, 70, 64), (5, 1, 3), (3, 1001, 7), (40, 9, 1), (1, 129, 130), (0, 4, 8)],
)
def test_ranks_are_those_of_brute_force(
    device: torch.device, rows: int, items: int, width: int, dtype: torch.dtype
) -> None:
    skip_without_kernel(device, dtype)
    hidden, table, bias = exact_example(rows, items, width, device, dtype)
    targets = random_targets(rows, items, device)
    pairs = random_pairs(rows, items, device, count=rows * items // 3)
    for options in ({}, {"bias": bias}, pairs, {"bias": bias, **pairs}):
        ranks = target_ranks(hidden, table, targets, **options)
        wanted = reference.target_ranks(hidden, table, targets, **options)
        assert ranks.dtype == torch.int64
        assert ranks.device == hidden.device
        assert ranks.tolist() == wanted.tolist()


@pytest.mark.parametrize("dtype", DTYPES)
def test_equal_embeddings_tie_whatever_the_sum_is_rounded_to(
    device: torch.device, dtype: torch.dtype
) -> None:
    """No dtype holds these sums exactly, but a score has the same bits in every place."""
    skip_without_kernel(device, dtype)
    generator = torch.Generator().manual_seed(0)
    hidden = torch.randn(9, 37, generator=generator).to(device, dtype)
    ones = torch.randn(11, 37, generator=generator).to(device, dtype)
    table = ones.repeat(13, 1)
    order = (hidden.double() @ ones.double().T).argsort(dim=1, descending=True)
    for place in (0, 4, 10):
        for copy in (0, 5, 12):
            ranks = target_ranks(hidden, table, order[:, place] + 11 * copy)
            assert ranks.tolist() == [13 * (place + 1)] * 9


def test_every_rank_is_taken_once_where_nothing_ties(device: torch.device) -> None:
    scores = torch.randperm(50, generator=torch.Generator().manual_seed(0)).float().to(device)
    hidden = torch.ones(50, 1, device=device)
    ranks = target_ranks(hidden, scores[:, None], torch.arange(50, device=device))
    assert ranks.tolist() == (50 - scores).long().tolist()
    # By bias alone, the same.
    still = torch.zeros(50, 1, device=device)
    by_bias = target_ranks(hidden, still, torch.arange(50, device=device), bias=scores)
    assert torch.equal(by_bias, ranks)


@pytest.mark.parametrize(
    ("pairs", "wanted"),
    [
        ([(0, 0)], [2, 3]),  # better than the target
        ([(0, 1)], [2, 3]),  # a tie
        ([(0, 3), (0, 4)], [3, 3]),  # worse
        ([(0, 2)], [3, 3]),  # the target itself: competes
        ([(0, 2), (0, 0), (0, 2)], [2, 3]),
        ([(0, 0), (0, 0), (1, 0), (0, 0)], [2, 2]),  # counts once
        ([(1, 1), (0, 0), (1, 0), (0, 1)], [1, 1]),
        ([(0, item) for item in (4, 3, 2, 1, 0)], [1, 3]),  # all there is
    ],
)
def test_excluded_items_do_not_compete(
    device: torch.device, pairs: list[tuple[int, int]], wanted: list[int]
) -> None:
    table = torch.tensor([[3.0], [2.0], [2.0], [1.0], [0.0]], device=device)
    hidden, targets = torch.ones(2, 1, device=device), torch.tensor([2, 2], device=device)
    ranks = target_ranks(hidden, table, targets, **pairs_of(device, *pairs))
    assert ranks.tolist() == wanted


def test_no_pairs_are_no_pairs(device: torch.device) -> None:
    hidden, table, _ = exact_example(3, 5, 2, device)
    targets = torch.zeros(3, dtype=torch.int64, device=device)
    none = targets[:0]
    ranks = target_ranks(hidden, table, targets, exclude_rows=none, exclude_items=none)
    assert torch.equal(ranks, target_ranks(hidden, table, targets))


@pytest.mark.parametrize(
    ("scores", "target", "excluded", "wanted"),
    [
        ([0.0, 5.0, NAN, 1.0], 1, [], 2),  # a competitor that is NaN
        ([0.0, 5.0, NAN, 1.0], 1, [2], 1),
        ([0.0, NAN, 2.0, 1.0], 1, [], 4),  # the target
        ([0.0, NAN, 2.0, 1.0], 1, [0, 2], 4),
        ([NAN, NAN, NAN, NAN], 1, [1], 4),
        ([-INF, -INF, 0.0, INF], 0, [], 4),
        ([-INF, -INF, 0.0, INF], 0, [1], 3),
        ([-INF, INF, 0.0, INF], 1, [], 2),
    ],
)
def test_scores_that_are_not_finite(
    device: torch.device, scores: list[float], target: int, excluded: list[int], wanted: int
) -> None:
    bias = torch.tensor(scores, device=device)
    hidden, table = torch.ones(1, 1, device=device), torch.zeros(4, 1, device=device)
    targets = torch.tensor([target], device=device)
    items = torch.tensor(excluded, dtype=torch.int64, device=device)
    options = {"bias": bias, "exclude_rows": torch.zeros_like(items), "exclude_items": items}
    assert target_ranks(hidden, table, targets, **options).tolist() == [wanted]
    assert reference.target_ranks(hidden, table, targets, **options).tolist() == [wanted]


def test_a_row_that_is_nan_spoils_no_other(device: torch.device) -> None:
    hidden, table, _ = exact_example(6, 40, 8, device)
    targets = random_targets(6, 40, device)
    wanted = target_ranks(hidden, table, targets)
    hidden[2, 3] = NAN
    wanted[2] = 40
    assert torch.equal(target_ranks(hidden, table, targets), wanted)


@pytest.mark.parametrize("dtype", DTYPES)
def test_views_are_read_where_they_lie(device: torch.device, dtype: torch.dtype) -> None:
    """``table[1:]`` starts at any address, and last states of sequences are far apart."""
    skip_without_kernel(device, dtype)
    hidden, table, bias = exact_example(12, 31, 5, device, dtype)
    targets = random_targets(10, 30, device)
    wanted = target_ranks(hidden[2:].clone(), table[1:].clone(), targets, bias=bias[1:].clone())
    assert torch.equal(target_ranks(hidden[2:], table[1:], targets, bias=bias[1:]), wanted)
    apart = hidden[2:].repeat_interleave(3, dim=1)[:, ::3]
    turned = table[1:].t().contiguous().t()
    assert torch.equal(target_ranks(apart, turned, targets, bias=bias[1:]), wanted)


def test_the_number_of_threads_changes_nothing(num_threads: None) -> None:
    hidden, table = torch.randn(50, 17), torch.randn(203, 17)
    targets = random_targets(50, 203, torch.device("cpu"))
    pairs = random_pairs(50, 203, torch.device("cpu"), count=900)
    torch.set_num_threads(1)
    wanted = target_ranks(hidden, table, targets, **pairs)
    torch.set_num_threads(3)
    assert torch.equal(target_ranks(hidden, table, targets, **pairs), wanted)


# ---- what it refuses ----------------------------------------------------------------------------


def right_arguments(device: torch.device | str = "cpu") -> dict[str, Any]:
    hidden, table, _ = exact_example(4, 5, 3, torch.device(device))
    return {
        "hidden": hidden,
        "item_embeddings": table,
        "targets": torch.zeros(4, dtype=torch.int64, device=device),
    }


@pytest.mark.parametrize(
    ("change", "message"),
    [
        *REFUSED,
        ({"targets": torch.zeros(3).long()}, r"targets must be \[4\], got shape \(3,\)"),
        ({"targets": torch.zeros(4, 1).long()}, r"targets must be \[4\], got shape \(4, 1\)"),
        ({"targets": torch.zeros(4).int()}, "targets must be int64, got torch.int32"),
        ({"targets": torch.zeros(4, device="meta").long()}, "targets must be on cpu"),
    ],
)
def test_wrong_arguments_are_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        target_ranks(**right_arguments() | change)


@pytest.mark.parametrize("target", [-1, 5, 2**40])
def test_a_target_out_of_range(
    device: torch.device, target: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = right_arguments(device)
    wanted = target_ranks(**arguments)
    arguments["targets"][2] = target
    if device.type == "cpu":
        with pytest.raises(IndexError, match=rf"targets must be in \[0, 5\), got {target} at 2"):
            target_ranks(**arguments)
        unlooked(monkeypatch)  # as on CUDA
    wanted[2] = 6
    assert target_ranks(**arguments, **pairs_of(device, (1, 1), (2, 3)))[2] == 6
    assert torch.equal(target_ranks(**arguments), wanted)


@pytest.mark.parametrize(("pair", "message"), OUT_OF_RANGE)
def test_a_pair_out_of_range(
    device: torch.device, pair: tuple[int, int], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = right_arguments(device)
    scores = arguments["hidden"] @ arguments["item_embeddings"].T
    arguments["targets"] = scores.argmin(dim=1)  # the worst item: every exclusion changes its rank
    pairs = pairs_of(device, (1, 1), pair)
    if device.type == "cpu":
        with pytest.raises(IndexError, match=message):
            target_ranks(**arguments, **pairs)
        unlooked(monkeypatch)
    # Nor may it count as the valid pair before or after it.
    for first in (1, 0):
        there = {name: torch.full_like(values, first) for name, values in pairs.items()}
        wanted = target_ranks(**arguments, **there)
        for order in ([0, 1], [1, 0]):
            both = {
                name: torch.where(torch.tensor(order, device=device) == 0, first, values[1])
                for name, values in pairs.items()
            }
            assert torch.equal(target_ranks(**arguments, **both), wanted)


def unlooked(monkeypatch: pytest.MonkeyPatch) -> None:
    module = sys.modules["atjt_ext.ops.target_ranks"]
    monkeypatch.setattr(module, "require_in_range", lambda *_: None)


@pytest.mark.parametrize(
    ("change", "taken"),
    [
        ({}, True),
        ({"width": 256}, True),
        ({"width": 257}, False),
        ({"dtype": torch.float64}, False),
        ({"dtype": torch.bfloat16}, True),
    ],
)
def test_what_cuda_has_kernels_for(
    device: torch.device, change: dict[str, Any], taken: bool
) -> None:
    width, dtype = change.get("width", 8), change.get("dtype", torch.float32)
    hidden, table, _ = exact_example(2, 5, width, device, dtype)
    targets = torch.zeros(2, dtype=torch.int64, device=device)
    if not emulator.runs_cuda_kernels(device):
        assert has_kernels(hidden)
        taken = True
    elif device.type == "cuda":
        assert has_kernels(hidden) is taken
    if taken:
        target_ranks(hidden, table, targets)
    else:
        with pytest.raises(ValueError, match=r"hidden must be .* got"):
            target_ranks(hidden, table, targets)


@pytest.mark.parametrize(
    ("shape", "dtype", "toolkit", "wanted"),
    [
        ((4, 256), torch.float32, "13.0", True),
        ((4, 257), torch.float32, "13.0", False),
        ((4, 8), torch.float64, "13.0", False),
        ((4, 8), torch.float16, "13.0", True),
        ((4, 8), torch.float32, None, False),
    ],
)
def test_kernels_of_cuda_are_known_without_one(
    shape: tuple[int, int],
    dtype: torch.dtype,
    toolkit: str | None,
    wanted: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Built:
        def build_facts(self) -> dict[str, Any]:
            return {"cuda_toolkit": toolkit}

    monkeypatch.setattr(sys.modules["atjt_ext.ops.target_ranks"], "_C", Built())
    with FakeTensorMode():
        assert has_kernels(torch.empty(shape, dtype=dtype, device="cuda")) is wanted
    assert has_kernels(torch.empty(4, 257, dtype=torch.float64))
    assert not has_kernels(torch.empty(4, 8, device="meta"))


# ---- for torch ----------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_operators_are_registered_correctly(device: torch.device, dtype: torch.dtype) -> None:
    skip_without_kernel(device, dtype)
    hidden, table, bias = exact_example(6, 9, 4, device, dtype)
    bias = bias.to(arithmetic(dtype))
    targets, ops = random_targets(6, 9, device), torch.ops.atjt_ext
    rows = torch.tensor([3, 1], device=device)
    for options in ((None, targets, None), (None, targets, bias), (rows, targets[:2], bias)):
        torch.library.opcheck(ops._pair_scores.default, (hidden, table, *options))
    thresholds = torch.zeros_like(bias[:6])
    for arguments in ((thresholds, None), (thresholds, bias)):
        torch.library.opcheck(ops._count_at_least.default, (hidden, table, *arguments))


@COMPILES
@pytest.mark.parametrize("backend", ["inductor", "aot_eager"])
def test_it_compiles_without_a_graph_break(device: torch.device, backend: str) -> None:
    hidden, table, bias = exact_example(6, 20, 4, device)
    targets = random_targets(6, 20, device)
    options = {"bias": bias, **random_pairs(6, 20, device, count=30)}
    traced = compiled(target_ranks, backend)
    wanted = target_ranks(hidden, table, targets, **options)
    assert torch.equal(traced(hidden, table, targets, **options), wanted)


def test_fake_tensors_get_a_shape() -> None:
    with FakeTensorMode():
        targets, pairs = torch.zeros(6).long(), torch.zeros(3).long()
        ranks = target_ranks(
            torch.randn(6, 4), torch.randn(9, 4), targets, exclude_rows=pairs, exclude_items=pairs
        )
        assert (ranks.shape, ranks.dtype) == ((6,), torch.int64)


def test_ranks_have_no_gradient(device: torch.device) -> None:
    hidden, table, bias = exact_example(3, 5, 2, device)
    for leaf in (hidden, table, bias):
        leaf.requires_grad_()
    targets = random_targets(3, 5, device)
    assert not target_ranks(hidden, table, targets, bias=bias).requires_grad
