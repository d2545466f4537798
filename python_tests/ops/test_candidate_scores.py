"""candidate_scores: scores, and the gradients of hidden states and table."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

import emulator
from atjt_ext.ops import candidate_scores, reference
from helpers.operators import (
    COMPILES,
    Operators,
    arithmetic,
    assert_all_close,
    assert_all_equal,
    compiled,
)
from helpers.sampled_rows import embeddings, items_of
from helpers.weighted_rows import DTYPES, HALVES, relative_error, rounded_once


def scores_and_gradients(
    function: Any, hidden: Tensor, table: Tensor, candidates: Tensor, grad: Tensor, **options: Any
) -> tuple[Tensor, ...]:
    leaves = [tensor.detach().requires_grad_() for tensor in (hidden, table)]
    scores = function(*leaves, candidates, **options)
    return (scores.detach(), *torch.autograd.grad(scores, leaves, grad.to(scores.dtype)))


ours = partial(scores_and_gradients, candidate_scores)
by_definition = partial(scores_and_gradients, reference.candidate_scores)


def grad_of(candidates: Tensor, *, seed: int = 1) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(candidates.shape, generator=generator).double().to(candidates.device)


def example(
    rows: int, items: int, width: int, per_row: int, device: torch.device, **options: Any
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Hidden states, item table, candidates and an upstream gradient."""
    candidates = items_of((rows, per_row), items, device)
    return (*embeddings(rows, items, width, device, **options), candidates, grad_of(candidates))


# Widths: below, at and beyond vectors, their tiles and blocks. Candidates: below, at and beyond
# a group of candidates. Items: few, so that an item spans several chunks of pairs.
SHAPES = [(5, 7, 1, 3), (4, 9, 8, 1), (3, 6, 33, 4), (7, 5, 64, 5), (2, 3, 100, 2)]
SHAPES += [(2, 4, 1100, 6), (150, 1, 4, 3), (130, 2, 3, 5), (90, 3, 12, 7), (40, 300, 6, 11)]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_float64_equals_the_reference(
    device: torch.device, shape: tuple[int, int, int, int]
) -> None:
    rows, items, width, per_row = shape
    arguments = example(rows, items, width, per_row, device)
    assert_all_close(ours(*arguments), by_definition(*arguments), rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("width", [7, 64])
@pytest.mark.parametrize("dtype", DTYPES)
def test_every_dtype_is_computed_in_its_arithmetic(
    device: torch.device, dtype: torch.dtype, width: int
) -> None:
    hidden, table, candidates, grad = example(30, 6, width, 9, device, dtype=dtype)
    grad = grad.float().double()
    wanted = by_definition(hidden, table, candidates, grad)
    got = ours(hidden.to(dtype), table.to(dtype), candidates, grad)
    assert got[0].dtype == arithmetic(dtype)
    assert got[1].dtype == got[2].dtype == dtype
    tolerance = 1e-14 if dtype == torch.float64 else 5e-7
    assert relative_error(got[0], wanted[0]) < tolerance
    for a, b in zip(got[1:], wanted[1:], strict=True):
        if dtype in HALVES:
            assert rounded_once(a, b, slack=1e-5)
        else:
            assert relative_error(a, b) < tolerance


@pytest.mark.parametrize("dtype", DTYPES)
def test_rows_may_begin_anywhere_in_memory(device: torch.device, dtype: torch.dtype) -> None:
    hidden, table = (t.to(dtype) for t in embeddings(5, 4, 16, device, dtype=dtype))
    candidates = items_of((5, 6), 4, device)
    grad = grad_of(candidates)
    wanted = ours(hidden, table, candidates, grad)
    for moved in (hidden, table):
        shifted = torch.empty(moved.numel() + 1, dtype=dtype, device=device)[1:].view(moved.shape)
        shifted.copy_(moved)
        one = (shifted, table) if moved is hidden else (hidden, shifted)
        assert_all_close(ours(*one, candidates, grad), wanted)


def test_gradcheck(device: torch.device) -> None:
    hidden, table = (t.requires_grad_() for t in embeddings(4, 5, 3, device))
    candidates = items_of((4, 6), 5, device)
    candidates[1, 2:4] = -100
    assert torch.autograd.gradcheck(
        lambda x, w: candidate_scores(x, w, candidates), (hidden, table), fast_mode=False
    )


@pytest.mark.parametrize("dtype", DTYPES)
def test_every_instruction_set_computes_the_same(isa: str, dtype: torch.dtype) -> None:
    hidden, table, candidates, grad = example(20, 7, 70, 13, torch.device("cpu"), dtype=dtype)
    grad = grad.float().double()
    wanted = by_definition(hidden, table, candidates, grad)
    rounded = (hidden.to(dtype), table.to(dtype), candidates, grad)
    got = ours(*rounded)
    assert relative_error(got[0], wanted[0]) < 5e-7
    for a, b in zip(got[1:], wanted[1:], strict=True):
        assert relative_error(a, b) < (4e-3 if dtype in HALVES else 5e-7)


# ---- pairs that do not count --------------------------------------------------------------------


@pytest.mark.parametrize("ignore_index", [-100, 0, 10**12])
def test_ignored_candidates_score_zero_and_have_no_gradient(
    device: torch.device, ignore_index: int
) -> None:
    hidden, table, candidates, _ = example(40, 5, 8, 7, device)
    candidates[3] = ignore_index
    candidates[::4, 1:5] = ignore_index
    arguments = (hidden, table, candidates, grad_of(candidates))
    got = ours(*arguments, ignore_index=ignore_index)
    assert_all_close(got, by_definition(*arguments, ignore_index=ignore_index))
    assert not got[0][candidates == ignore_index].any()
    assert not got[1][3].any()


def test_what_does_not_count_may_be_nan(device: torch.device) -> None:
    hidden, table = embeddings(6, 5, 8, device)
    candidates = items_of((6, 4), 4, device)
    grad = grad_of(candidates)
    candidates[2] = -100  # an ignored row,
    candidates[4] = 4  # and an item without gradient
    grad[4] = 0
    wanted = ours(hidden, table, candidates, grad)
    hidden[2] = table[4] = torch.nan
    got = ours(hidden, table, candidates, grad)
    assert_all_close(got[1:], wanted[1:])
    assert got[0].isnan().nonzero()[:, 0].unique().tolist() == [4]


@pytest.mark.parametrize("wrong", [-1, 5, 2**32, -(2**63)])
def test_a_candidate_out_of_range(device: torch.device, wrong: int) -> None:
    hidden, table, candidates, grad = example(4, 5, 8, 3, device)
    without = candidates.clone()
    without[2, 1] = -100
    candidates[2, 1] = wrong
    if not emulator.runs_cuda_kernels(device):
        message = rf"candidates must be in \[0, 5\) .*, got {wrong} in row 2"
        with pytest.raises(IndexError, match=message):
            candidate_scores(hidden, table, candidates)
        return
    scores, *gradients = ours(hidden, table, candidates, grad)
    assert scores.isnan().nonzero().tolist() == [[2, 1]]
    wanted = ours(hidden, table, without, grad)
    assert_all_equal(gradients, wanted[1:])


@pytest.mark.parametrize("sparse_gradient", [False, True])
@pytest.mark.parametrize(("rows", "per_row"), [(0, 3), (3, 0), (0, 0)])
def test_no_pairs(device: torch.device, rows: int, per_row: int, sparse_gradient: bool) -> None:
    hidden, table, candidates, _ = example(rows, 5, 8, per_row, device)
    scores, grad_hidden, grad_table = ours(hidden, table, candidates, grad_of(candidates),
        sparse_gradient=sparse_gradient,
    )  # fmt: skip
    assert scores.shape == (rows, per_row)
    assert torch.equal(grad_hidden, torch.zeros_like(hidden))
    assert torch.equal(grad_table.to_dense(), torch.zeros_like(table))


# ---- repeatability, memory ----------------------------------------------------------------------


@pytest.mark.usefixtures("num_threads")
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_same_bits_every_time(device: torch.device, dtype: torch.dtype) -> None:
    hidden, table = (t.to(dtype) for t in embeddings(300, 3, 24, device))
    candidates = items_of((300, 9), 3, device)
    grad = grad_of(candidates)
    wanted = ours(hidden, table, candidates, grad)
    for threads in (1, 2, 3):
        torch.set_num_threads(threads)
        assert_all_equal(ours(hidden, table, candidates, grad), wanted)


def test_nothing_of_the_size_of_the_embeddings_is_made(device: torch.device) -> None:
    rows, items, width, per_row = 50, 60, 64, 40
    hidden, table = (t.float() for t in embeddings(rows, items, width, device))
    candidates = items_of((rows, per_row), items, device)
    grad = grad_of(candidates)
    sizes = []
    for function in (candidate_scores, reference.candidate_scores):
        with Operators() as operators:
            scores_and_gradients(function, hidden, table, candidates, grad)
        sizes.append(operators.elements)
    assert sizes == [max(rows, items, per_row) * width, rows * per_row * width]


# ---- the sparse gradient ------------------------------------------------------------------------


def test_the_sparse_gradient_is_the_dense_one(device: torch.device) -> None:
    hidden, table = (t.float() for t in embeddings(60, 500, 8, device))
    candidates = items_of((60, 9), 40, device) * 7
    candidates[::5, 2] = -100
    grad = grad_of(candidates)
    dense = ours(hidden, table, candidates, grad)
    sparse = ours(hidden, table, candidates, grad, sparse_gradient=True)
    assert torch.equal(sparse[1], dense[1])
    assert sparse[2].is_sparse
    assert sparse[2].is_coalesced()
    kept = candidates[candidates >= 0].unique()
    assert torch.equal(sparse[2].indices()[0], kept)
    assert torch.equal(sparse[2].to_dense(), dense[2])


def test_sparse_adam_takes_it(device: torch.device) -> None:
    hidden, table = embeddings(4, 9, 3, device)
    weight = torch.nn.Parameter(table.clone())
    optimizer = torch.optim.SparseAdam([weight], lr=0.1)
    candidates = torch.tensor([[1, 2], [2, 5], [1, 1], [5, 2]], device=device)
    candidate_scores(hidden, weight, candidates, sparse_gradient=True).sum().backward()
    optimizer.step()
    changed = (weight.detach() != table).any(dim=1).nonzero()[:, 0].tolist()
    assert changed == [1, 2, 5]


# ---- autograd, torch.compile --------------------------------------------------------------------


def test_only_the_gradients_that_are_wanted(device: torch.device) -> None:
    hidden, table, candidates, grad = example(3, 4, 5, 2, device)
    _, *both = ours(hidden, table, candidates, grad)
    for index in range(2):
        leaves = [hidden.clone(), table.clone()]
        leaves[index].requires_grad_()
        candidate_scores(*leaves, candidates).backward(grad)
        assert torch.equal(leaves[index].grad, both[index])
        assert leaves[1 - index].grad is None


def test_items_may_be_the_hidden_states_too(device: torch.device) -> None:
    _, table = embeddings(1, 6, 9, device)
    candidates = items_of((6, 5), 6, device)
    candidates[:, 0] = torch.arange(6)  # the very same rows
    table.requires_grad_()
    scores = candidate_scores(table, table, candidates)
    wanted = reference.candidate_scores(table, table, candidates)
    torch.testing.assert_close(scores, wanted)
    grad = grad_of(candidates)
    torch.testing.assert_close(
        *(torch.autograd.grad(s, table, grad, retain_graph=True)[0] for s in (scores, wanted))
    )


def test_inputs_need_not_be_contiguous(device: torch.device) -> None:
    hidden, table, candidates, grad = example(6, 8, 10, 4, device)
    wanted = ours(hidden, table, candidates, grad)
    turned = [t.t().contiguous().t() for t in (hidden, table, candidates)]
    assert_all_equal(ours(*turned, grad.t().contiguous().t()), wanted)
    leaf = hidden.clone().requires_grad_()
    candidate_scores(leaf, table, candidates).sum().backward()  # an expanded gradient
    torch.testing.assert_close(leaf.grad, table[candidates].sum(dim=1))


def test_a_second_derivative_is_refused(device: torch.device) -> None:
    hidden, table = (t.requires_grad_() for t in embeddings(3, 4, 5, device))
    scores = candidate_scores(hidden, table, items_of((3, 2), 4, device))
    with pytest.raises(RuntimeError, match=r"candidate_scores has no second derivative"):
        torch.autograd.grad(scores.square().sum(), hidden, create_graph=True)


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_operators_are_registered_correctly(device: torch.device, dtype: torch.dtype) -> None:
    hidden, table = (t.to(dtype) for t in embeddings(4, 6, 5, device))
    candidates = items_of((4, 3), 6, device)
    grad = grad_of(candidates).to(arithmetic(dtype))
    slots, order = torch.sort(candidates.flatten(), stable=True)
    ops = torch.ops.atjt_ext
    torch.library.opcheck(ops._candidate_scores.default, (hidden, table, candidates, -100))
    torch.library.opcheck(ops._candidate_hidden_gradient.default, (table, candidates, grad, -100))
    torch.library.opcheck(ops._candidate_table_gradient.default, (hidden, grad, order, slots, 6))


@COMPILES
@pytest.mark.parametrize("backend", ["aot_eager", "inductor"])
def test_it_compiles_without_a_graph_break(device: torch.device, backend: str) -> None:
    hidden, table = (t.float() for t in embeddings(6, 8, 10, device))
    candidates = items_of((6, 4), 8, device)
    traced = compiled(candidate_scores, backend)
    arguments = (hidden, table, candidates, grad_of(candidates))
    assert_all_close(scores_and_gradients(traced, *arguments), ours(*arguments))


@COMPILES
def test_compiled_once_it_takes_any_sizes(device: torch.device) -> None:
    compiles = 0

    def backend(graph: Any, inputs: Any) -> Any:
        nonlocal compiles
        compiles += 1
        return graph

    traced = compiled(candidate_scores, backend, dynamic=True)
    for rows, items, per_row in ((6, 8, 4), (9, 5, 7), (3, 20, 2)):
        arguments = example(rows, items, 10, per_row, device)
        assert_all_close(scores_and_gradients(traced, *arguments), ours(*arguments))
    assert compiles == 1


def test_fake_tensors_go_through_both_passes() -> None:
    with FakeTensorMode():
        hidden, table = (
            torch.randn(size, 5, dtype=torch.bfloat16, requires_grad=True) for size in (3, 7)
        )
        scores = candidate_scores(hidden, table, torch.zeros(3, 4).long())
        assert (scores.shape, scores.dtype) == ((3, 4), torch.float32)
        scores.sum().backward()
        for leaf in (hidden, table):
            assert leaf.grad is not None
            assert (leaf.grad.shape, leaf.grad.dtype) == (leaf.shape, leaf.dtype)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"hidden": torch.zeros(4)}, r"hidden must be \[N, D\], got shape \(4,\)"),
        ({"hidden": torch.zeros(4, 3).int()}, "hidden must be one of .*, got torch.int32"),
        ({"item_embeddings": torch.zeros(5)}, r"item_embeddings must be \[V, 3\], .*got shape"),
        ({"item_embeddings": torch.zeros(0, 3)}, r"V >= 1, got shape \(0, 3\)"),
        ({"item_embeddings": torch.zeros(5, 2)}, r"item_embeddings must be \[V, 3\], as wide as"),
        ({"item_embeddings": torch.zeros(5, 3).half()}, "item_embeddings must be torch.float32"),
        ({"item_embeddings": torch.zeros(5, 3, device="meta")}, "item_embeddings must be on cpu"),
        ({"candidates": torch.zeros(4).long()}, r"candidates must be \[4, C\], got shape \(4,\)"),
        ({"candidates": torch.zeros(3, 2).long()}, r"candidates must be \[4, C\], got shape"),
        ({"candidates": torch.zeros(4, 2).int()}, "candidates must be int64, got torch.int32"),
        ({"candidates": torch.zeros(4, 2, device="meta").long()}, "candidates must be on cpu"),
    ],
)
def test_wrong_arguments_are_refused(change: dict[str, Any], message: str) -> None:
    right: dict[str, Any] = {
        "hidden": torch.zeros(4, 3),
        "item_embeddings": torch.zeros(5, 3),
        "candidates": torch.zeros(4, 2).long(),
    }
    with pytest.raises(ValueError, match=message):
        candidate_scores(**right | change)
