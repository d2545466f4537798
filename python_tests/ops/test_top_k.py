"""top_k against a stable sort, with ties, in tiles of any size."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

from atjt_ext.ops import reference, top_k
from atjt_ext.ops.top_k import largest
from helpers.catalogue import DTYPES, OUT_OF_RANGE, REFUSED, exact_example, pairs_of, random_pairs
from helpers.operators import COMPILES, Operators, arithmetic, compiled

MODULE = sys.modules["atjt_ext.ops.top_k"]
NAN, INF = float("nan"), float("inf")


@pytest.fixture(params=[None, 1, 7, 30], ids=lambda size: f"tile{size}")
def tile(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int | None:
    """Items per tile, with at most five rows at a time."""
    if request.param is not None:
        monkeypatch.setattr(MODULE, "_MAX_ROWS", 5)
        sizes = dict.fromkeys(("cpu", "cuda"), 5 * request.param)
        monkeypatch.setattr(MODULE, "_MAX_SCORES", sizes)
    return request.param


def same(got: tuple[Tensor, Tensor], wanted: tuple[Tensor, Tensor]) -> None:
    torch.testing.assert_close(got[0], wanted[0], rtol=0, atol=0, equal_nan=True, check_dtype=False)
    assert got[1].tolist() == wanted[1].tolist()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    ("rows", "items", "width", "k"),
    [(7, 300, 16, 10), (13, 70, 64, 70), (5, 1, 3, 1), (3, 61, 7, 60), (12, 9, 1, 4), (0, 4, 8, 2)],
)
def test_the_best_are_those_of_a_stable_sort(
    device: torch.device,
    tile: int | None,
    rows: int,
    items: int,
    width: int,
    k: int,
    dtype: torch.dtype,
) -> None:
    hidden, table, bias = exact_example(rows, items, width, device, dtype)
    pairs = random_pairs(rows, items, device, count=rows * items // 3)
    for options in ({}, {"bias": bias}, pairs, {"bias": bias, **pairs}):
        scores, best = top_k(hidden, table, k, **options)
        assert scores.dtype == arithmetic(dtype)
        assert best.dtype == torch.int64
        assert scores.device == best.device == hidden.device
        same((scores, best), reference.top_k(hidden, table, k, **options))


@pytest.mark.parametrize("dtype", DTYPES)
def test_scores_are_not_rounded_to_the_half_type(device: torch.device, dtype: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(0)
    hidden = torch.randn(9, 33, generator=generator).to(device, dtype)
    table = torch.randn(500, 33, generator=generator).to(device, dtype)
    scores, best = top_k(hidden, table, 20)
    wanted = reference.top_k(hidden, table, 20)
    torch.testing.assert_close(scores.double(), wanted[0], rtol=1e-5, atol=1e-5)
    assert best.tolist() == wanted[1].tolist()


def test_where_all_tie_the_first_items_are_taken(device: torch.device, tile: int | None) -> None:
    hidden, table = torch.zeros(6, 2, device=device), torch.ones(200, 2, device=device)
    _, best = top_k(hidden, table, 9)
    assert best.tolist() == [list(range(9))] * 6
    _, best = top_k(hidden, table, 4, **pairs_of(device, (2, 3), (2, 0), (2, 0)))
    assert best.tolist() == [[0, 1, 2, 3]] * 2 + [[1, 2, 4, 5]] + [[0, 1, 2, 3]] * 3


def test_excluded_items_only_fill_up(device: torch.device, tile: int | None) -> None:
    table = torch.arange(6.0, device=device)[:, None]
    pairs = pairs_of(device, *((0, item) for item in (5, 1, 4, 2, 5)))
    scores, best = top_k(torch.ones(1, 1, device=device), table, 5, **pairs)
    assert best.tolist() == [[3, 0, 1, 2, 4]]
    assert scores.tolist() == [[3, 0, -INF, -INF, -INF]]


def test_a_score_that_is_nan_comes_first(device: torch.device, tile: int | None) -> None:
    bias = torch.tensor([0.0, NAN, 2.0, INF, NAN, -INF, 1.0, 2.0], device=device)
    bias[4] = -bias[4]  # with the other sign
    hidden, table = torch.ones(3, 1, device=device), torch.zeros(8, 1, device=device)
    for k in range(1, 9):
        scores, best = top_k(hidden, table, k, bias=bias)
        assert best.tolist() == [[1, 4, 3, 2, 7, 6, 0, 5][:k]] * 3
        assert scores[:, :2].isnan().all()
    _, best = top_k(hidden, table, 2, bias=bias, **pairs_of(device, (1, 1)))
    assert best.tolist() == [[1, 4], [4, 3], [1, 4]]


def test_zeros_of_either_sign_tie(device: torch.device, tile: int | None) -> None:
    bias = torch.tensor([-1.0, -0.0, 0.0, -0.0, 0.0], device=device)
    hidden, table = torch.zeros(2, 1, device=device), torch.ones(5, 1, device=device)
    assert top_k(-hidden, table, 3, bias=bias)[1].tolist() == [[1, 2, 3]] * 2
    assert largest(bias[None], 3)[1].tolist() == [[1, 2, 3]]  # no sum that could lose the sign


@pytest.mark.parametrize("k", [1, 4, 17, 60, 100])
def test_the_largest_of_given_scores(device: torch.device, k: int) -> None:
    generator = torch.Generator().manual_seed(0)
    scores = torch.randint(0, 9, (20, 60), generator=generator).float().to(device)
    scores[3] = torch.randn(60, generator=generator).to(device)  # one without ties
    scores[5, ::3] = NAN
    kept = scores.clone()
    values, columns = scores.sort(dim=1, descending=True, stable=True)
    same(largest(scores, k), (values[:, :k], columns[:, :k]))
    assert torch.equal(scores.nan_to_num(99), kept.nan_to_num(99))


@pytest.mark.parametrize("tied", [True, False])
def test_never_more_scores_than_allowed(monkeypatch: pytest.MonkeyPatch, tied: bool) -> None:
    monkeypatch.setattr(MODULE, "_MAX_SCORES", {"cpu": 1000})
    monkeypatch.setattr(MODULE, "_MAX_ROWS", 20)
    generator = torch.Generator().manual_seed(0)
    hidden = torch.randint(1, 9, (50, 1), generator=generator).float()
    table = torch.randperm(900, generator=generator).float()[:, None]
    if tied:
        table.fill_(1.0)
    with Operators() as operators:
        native = MODULE._top_k(hidden, table, 3, None, None, None)
    assert operators.elements == 1000
    same(native, reference.top_k(hidden, table, 3))


def test_autocast_around_it_changes_nothing(device: torch.device) -> None:
    generator = torch.Generator().manual_seed(0)
    hidden = torch.randn(9, 33, generator=generator).to(device)
    table = torch.randn(500, 33, generator=generator).to(device)
    wanted = top_k(hidden, table, 20)
    with torch.autocast(device.type, dtype=torch.bfloat16):
        same(top_k(hidden, table, 20), wanted)


def test_views_are_read_where_they_lie(device: torch.device) -> None:
    hidden, table, bias = exact_example(12, 31, 5, device)
    pairs = random_pairs(10, 30, device, count=60)
    wanted = top_k(hidden[2:].clone(), table[1:].clone(), 9, bias=bias[1:].clone(), **pairs)
    turned = table[1:].t().contiguous().t()
    same(top_k(hidden[2:], turned, 9, bias=bias[1:], **pairs), wanted)


# ---- what it refuses ----------------------------------------------------------------------------


def right_arguments(device: torch.device | str = "cpu") -> dict[str, Any]:
    hidden, table, _ = exact_example(4, 5, 3, torch.device(device))
    return {"hidden": hidden, "item_embeddings": table, "k": 2}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        *REFUSED,
        ({"k": 0}, r"k must be in \[1, 5\], the items, got 0"),
        ({"k": 6}, r"k must be in \[1, 5\], the items, got 6"),
    ],
)
def test_wrong_arguments_are_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        top_k(**right_arguments() | change)


@pytest.mark.parametrize("k", [2.0, "2", None])
def test_what_is_no_number_of_items_is_refused(k: Any) -> None:
    with pytest.raises(TypeError, match="k must be an integer"):
        top_k(**right_arguments() | {"k": k})


@pytest.mark.parametrize(("pair", "message"), OUT_OF_RANGE)
def test_a_pair_out_of_range_is_refused(
    device: torch.device, pair: tuple[int, int], message: str
) -> None:
    with pytest.raises(IndexError, match=message):
        top_k(**right_arguments(device), **pairs_of(device, (1, 1), pair))


# ---- for torch ----------------------------------------------------------------------------------


def examples(device: torch.device, dtype: torch.dtype) -> Iterator[tuple[Any, ...]]:
    hidden, table, bias = exact_example(6, 9, 4, device, dtype)
    bias = bias.to(arithmetic(dtype))
    pairs = random_pairs(6, 9, device, count=8)
    yield hidden, table, 3, None, None, None
    yield hidden, table, 9, bias, *pairs.values()


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_operator_is_registered_correctly(device: torch.device, dtype: torch.dtype) -> None:
    for arguments in examples(device, dtype):
        torch.library.opcheck(torch.ops.atjt_ext._top_k.default, arguments)


@COMPILES
@pytest.mark.parametrize("backend", ["inductor", "aot_eager"])
def test_it_compiles_without_a_graph_break(device: torch.device, backend: str) -> None:
    hidden, table, bias = exact_example(6, 20, 4, device)
    options = {"bias": bias, **random_pairs(6, 20, device, count=30)}
    traced = compiled(top_k, backend)
    same(traced(hidden, table, 5, **options), top_k(hidden, table, 5, **options))


def test_fake_tensors_get_shapes() -> None:
    with FakeTensorMode():
        for dtype in DTYPES:
            hidden, table = torch.randn(6, 4).to(dtype), torch.randn(9, 4).to(dtype)
            scores, items = top_k(hidden, table, 3)
            assert scores.shape == items.shape == (6, 3)
            wanted = arithmetic(dtype)
            assert (scores.dtype, items.dtype) == (wanted, torch.int64)


def test_scores_have_no_gradient(device: torch.device) -> None:
    hidden, table, bias = exact_example(3, 5, 2, device)
    for leaf in (hidden, table, bias):
        leaf.requires_grad_()
    assert not top_k(hidden, table, 2, bias=bias)[0].requires_grad
