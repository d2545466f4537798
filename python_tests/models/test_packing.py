"""Attention in groups of rows against attention over one grid with a mask."""

from __future__ import annotations

import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from torch import Tensor

from atjt_ext.models._packing import PackedRows

HEADS, WIDTH = 2, 8

# Rows of a grid, oldest position first; true where it holds a token. Gaps within a row are allowed.
GRIDS = st.integers(1, 9).flatmap(
    lambda length: st.lists(
        st.lists(st.booleans(), min_size=length, max_size=length), min_size=1, max_size=9
    )
)


def dense(
    grid: Tensor, valid: Tensor, *, causal: bool = True, input_weight: Tensor | None = None
) -> Tensor:
    """``[B, L, 3 * D]`` -> ``[B, L, D]``: softmax over the permitted keys, 0 at padding."""
    query, key, value = grid.unflatten(-1, (3, HEADS, -1)).movedim(3, 1).unbind(3)
    scores = query @ key.transpose(-1, -2) / query.shape[-1] ** 0.5
    itself = torch.eye(valid.shape[1], dtype=torch.bool)
    permitted = valid[:, None, :].expand(-1, valid.shape[1], -1)
    if causal:
        permitted = permitted & torch.ones_like(itself).tril()
    if input_weight is not None:
        scores = scores + torch.where(itself, 1.0, input_weight[:, None]).log()[:, None]
    scores = scores.masked_fill(~permitted[:, None], -torch.inf)
    attended = scores.softmax(-1).nan_to_num() @ value
    return attended.transpose(1, 2).flatten(2) * valid[:, :, None]


def drawn(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(1))


@given(GRIDS, st.booleans(), st.booleans())
@example([[False, False, False], [True, True, True]], False, False)
@example([[True], [True]], True, True)
@example([[False] * (9 - n) + [True] * n for n in range(10)], True, True)
def test_groups_attend_as_one_grid_does(
    rows: list[list[bool]], causal: bool, weighted: bool
) -> None:
    valid = torch.tensor(rows)
    grid = drawn(*valid.shape, 3 * WIDTH)
    weight = drawn(*valid.shape).abs().clamp(max=1) if weighted else None
    wanted = dense(grid, valid, causal=causal, input_weight=weight)
    found = PackedRows(valid, causal=causal, input_weight=weight)
    attended = found.unpacked(found.attend(found.packed(grid), HEADS))
    torch.testing.assert_close(attended, wanted, atol=1e-5, rtol=1e-5)


def uneven(longest: int = 70) -> Tensor:
    """Rows of 0, 1, ... ``longest`` tokens at the right, out of order."""
    lengths = torch.randperm(longest + 1, generator=torch.Generator().manual_seed(2))
    return torch.arange(longest) >= longest - lengths[:, None]


@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("weighted", [True, False])
def test_gradients_are_those_of_one_grid(causal: bool, weighted: bool) -> None:
    valid = uneven()
    grids = [drawn(*valid.shape, 3 * WIDTH).requires_grad_() for _ in range(2)]
    weights = [(drawn(*valid.shape).abs() + 0.1).clamp(max=1).requires_grad_() for _ in range(2)]
    rows = PackedRows(valid, causal=causal, input_weight=weights[0] if weighted else None)
    attended = rows.unpacked(rows.attend(rows.packed(grids[0]), HEADS))
    wanted = dense(grids[1], valid, causal=causal, input_weight=weights[1] if weighted else None)
    slopes = drawn(*attended.shape)
    (attended * slopes).sum().backward()
    (wanted * slopes).sum().backward()
    torch.testing.assert_close(grids[0].grad, grids[1].grad, atol=1e-5, rtol=1e-4)
    if weighted:
        torch.testing.assert_close(weights[0].grad, weights[1].grad, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("weighted", [True, False])
def test_devices_without_groups_attend_alike(
    monkeypatch: pytest.MonkeyPatch, causal: bool, weighted: bool
) -> None:
    valid = uneven(9)
    grid, weight = drawn(*valid.shape, 3 * WIDTH), drawn(*valid.shape).abs().clamp(max=1)
    wanted = dense(grid, valid, causal=causal, input_weight=weight if weighted else None)
    # What a graph and a GPU take: sizes that no host has to know.
    monkeypatch.setattr(torch.compiler, "is_compiling", lambda: True)
    rows = PackedRows(valid, causal=causal, input_weight=weight if weighted else None)
    assert len(rows._groups) == 1
    attended = rows.unpacked(rows.attend(rows.packed(grid), HEADS))
    torch.testing.assert_close(attended, wanted, atol=1e-5, rtol=1e-5)


def test_a_groups_rows_have_about_the_same_length() -> None:
    rows = PackedRows(uneven(200))
    grid = sum(group.rows * group.width for group in rows._groups)
    assert grid < 1.5 * rows.cells.numel()
    assert [group.width for group in rows._groups] == [8, 16, 32, 64, 128, 200]


def test_full_rows_are_a_group_without_copies_if_there_are_some() -> None:
    lengths = torch.tensor([3, *range(33, 50), *([50] * 20)])
    rows = PackedRows(torch.arange(50) >= 50 - lengths[:, None])
    assert [(group.rows, group.width) for group in rows._groups] == [(1, 3), (17, 49), (20, 50)]
    assert [group.places is None for group in rows._groups] == [True, False, True]
    few = PackedRows(torch.arange(50) >= 50 - lengths[:-10, None])
    assert [(group.rows, group.width) for group in few._groups] == [(1, 3), (27, 50)]


def test_rows_of_one_length_are_not_copied() -> None:
    rows = PackedRows(torch.ones(5, 7, dtype=torch.bool))
    (group,) = rows._groups
    assert group.places is None
    assert group.mask is None


@pytest.mark.parametrize("rows_of_grid", [0, 2])
def test_a_grid_without_tokens_has_no_groups(rows_of_grid: int) -> None:
    rows = PackedRows(torch.zeros(rows_of_grid, 3, dtype=torch.bool))
    attended = rows.attend(drawn(0, 3 * WIDTH), HEADS)
    assert attended.shape == (0, WIDTH)
    assert not rows.unpacked(attended).any()


def test_second_derivatives_pass_through_packing() -> None:
    rows = PackedRows(uneven(3))
    grid = drawn(4, 3, 2).double().requires_grad_()
    assert torch.autograd.gradgradcheck(lambda x: rows.unpacked(rows.packed(x) ** 2), (grid,))
