"""Rows of different lengths without their padding, and attention within the rows.

Most layers treat every position alike: they run on the valid positions, packed into one ``[T, D]``
matrix. Attention compares the positions of a row, so it needs a grid; on a CPU each grid holds rows
of about the same length. On common data sets nine tenths of a grid of all rows would be padding.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from .dropout import DropoutKey

# The longest rows of the groups are this, and twice as much from group to group. Finer steps cost
# as much in operators as they save in padding: measured on Beauty (mean length 7).
_NARROWEST_GROUP = 8
_FEWEST_FULL_ROWS = 16


class _Put(torch.autograd.Function):
    """``source [T, D]`` at ``places [T]`` of ``[count, D]``, zeros elsewhere."""

    @staticmethod
    def forward(ctx: Any, source: Tensor, places: Tensor, count: int) -> Tensor:
        ctx.save_for_backward(places)
        return source.new_zeros(count, *source.shape[1:]).index_copy_(0, places, source)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        (places,) = ctx.saved_tensors
        return take(gradients[0], places), None, None


class _Take(torch.autograd.Function):
    """``source[places]`` for places that all differ: the gradient is a copy, not a sum."""

    @staticmethod
    def forward(ctx: Any, source: Tensor, places: Tensor) -> Tensor:
        ctx.save_for_backward(places)
        ctx.count = source.shape[0]
        return source.index_select(0, places)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (places,) = ctx.saved_tensors
        return put(gradients[0], places, ctx.count), None


def put(source: Tensor, places: Tensor, count: int) -> Tensor:
    """``source [T, ...]`` at ``places [T]``, which all differ, of ``[count, ...]``; else zeros."""
    if torch.compiler.is_compiling():  # sizes that depend on the data are no arguments of a graph
        return source.new_zeros(count, *source.shape[1:]).index_copy(0, places, source)
    result: Tensor = _Put.apply(source, places, count)  # type: ignore[no-untyped-call]
    return result


def take(source: Tensor, places: Tensor) -> Tensor:
    """``source[places]`` for ``places [T]`` that all differ; faster than by an index."""
    if torch.compiler.is_compiling():
        return source.index_select(0, places)
    result: Tensor = _Take.apply(source, places)  # type: ignore[no-untyped-call]
    return result


def unpacked(packed: Tensor, valid: Tensor) -> Tensor:
    """``packed [T, D]`` at the T true positions of ``valid [B, L]``: ``[B, L, D]``, 0 elsewhere."""
    grid = packed.new_zeros(*valid.shape, packed.shape[-1])
    grid[valid] = packed
    return grid


@dataclass(frozen=True, eq=False, slots=True)
class _Group:
    """Successive rows of the packed order, moved to the left of a grid ``[rows, width]``.

    Attributes:
        tokens: how many tokens the rows hold.
        places: ``[tokens]`` int64, the place of each token in the flat grid; None if the rows fill
            the grid.
        mask: ``[rows, 1, 1 or width, width]``, bool or summands of the scores; None: causal.
    """

    tokens: int
    rows: int
    width: int
    places: Tensor | None
    mask: Tensor | None

    def attend(self, query_key_value: Tensor, num_heads: int) -> Tensor:
        """``[tokens, 3 * D]`` -> ``[tokens, D]``."""
        cells = query_key_value
        if self.places is not None:
            cells = put(cells, self.places, self.rows * self.width)
        grid = cells.view(self.rows, self.width, 3, num_heads, -1).transpose(1, 3)
        query, key, value = grid.unbind(2)
        attended = F.scaled_dot_product_attention(
            query, key, value, attn_mask=self.mask, is_causal=self.mask is None
        )
        flat = attended.transpose(1, 2).reshape(self.rows * self.width, -1)
        return flat if self.places is None else take(flat, self.places)


class PackedRows:
    """The T valid positions (tokens) of a grid ``[B, L]``, row by row, shorter rows first.

    Args:
        valid: ``[B, L]`` bool.
        causal: whether a token attends to itself and earlier tokens only, not to all of its row.
        input_weight: ``[B, L]`` in [0, 1]: log w is added to the scores of a key, as if it stood
            there w times, but not where a query is its own key.
        dropout_key: decides the masks of the layers' dropout.

    Attributes:
        valid: as given.
        cells: ``[T]`` int64, the place of each token in the flat grid.
        positions: ``[T]`` int64, the distance of each token from the end of the grid's row, which
            does not depend on the padding on the left.
        dropout_keys: of the tokens; None without ``dropout_key``.
    """

    def __init__(
        self,
        valid: Tensor,
        *,
        causal: bool = True,
        input_weight: Tensor | None = None,
        dropout_key: DropoutKey | None = None,
    ) -> None:
        self.valid = valid
        self._causal = causal
        self._input_weight = input_weight
        length = valid.shape[1]
        self._lengths = valid.sum(dim=1)
        # Sizes that the host knows: a GPU would wait for them, and a graph can't have them.
        self._grouped = valid.device.type == "cpu" and not torch.compiler.is_compiling()
        if self._grouped:
            self._lengths, order = self._lengths.sort(stable=True)
            rows, columns = valid[order].nonzero().unbind(1)
            rows = order[rows]
        else:
            rows, columns = valid.nonzero().unbind(1)
        self.cells = rows * length + columns
        self.positions = length - 1 - columns
        self.dropout_keys = (
            None if dropout_key is None else dropout_key.of_tokens(rows, self.positions)
        )

    def packed(self, grid: Tensor) -> Tensor:
        """``[B, L, ...]`` -> ``[T, ...]``."""
        return take(grid.flatten(0, 1), self.cells)

    def unpacked(self, tokens: Tensor) -> Tensor:
        """``[T, D]`` -> ``[B, L, D]``, 0 at padding."""
        grid = put(tokens, self.cells, self.valid.numel())
        return grid.view(*self.valid.shape, tokens.shape[-1])

    def last_tokens(self) -> tuple[Tensor, Tensor]:
        """The tokens ``[K]`` in the last column of the grid, and the rows ``[K]`` that they end."""
        tokens = (self.positions == 0).nonzero()[:, 0]
        return tokens, self.cells[tokens] // self.valid.shape[1]

    def attend(self, query_key_value: Tensor, num_heads: int) -> Tensor:
        """Self-attention within each row: ``[T, 3 * D]`` -> ``[T, D]``."""
        groups = self._groups
        if not groups:
            return query_key_value.new_zeros(0, query_key_value.shape[1] // 3)
        if len(groups) == 1:  # of a graph, which need not know the number of tokens
            return groups[0].attend(query_key_value, num_heads)
        parts = query_key_value.split([group.tokens for group in groups])
        return torch.cat(
            [group.attend(part, num_heads) for group, part in zip(groups, parts, strict=True)]
        )

    @cached_property
    def _groups(self) -> list[_Group]:
        if not self._grouped:
            return [self._group(slice(None), slice(None), self.valid.shape[1])]
        groups = []
        lengths = self._lengths.tolist()
        row = bisect_right(lengths, 0)
        # The rows of the greatest length, often all full windows, need no copies of their own.
        longest = bisect_left(lengths, lengths[-1]) if lengths else 0
        longest = longest if len(lengths) - longest >= _FEWEST_FULL_ROWS else 0
        token = 0
        while row < len(lengths):
            limit = max(_NARROWEST_GROUP, 1 << (lengths[row] - 1).bit_length())
            end = bisect_right(lengths, limit)
            if end == len(lengths) and row < longest:
                end = longest
            tokens = sum(lengths[row:end])
            groups.append(
                self._group(slice(row, end), slice(token, token + tokens), lengths[end - 1])
            )
            row, token = end, token + tokens
        return groups

    def _group(self, rows: slice, tokens: slice, width: int) -> _Group:
        lengths = self._lengths[rows]
        held = torch.arange(width, device=lengths.device) < lengths[:, None]
        full = self._grouped and int(lengths[0]) == width
        places = None if full else self._places(held)
        mask = None
        if self._input_weight is not None:
            weights = self.packed(self._input_weight)[tokens]
            if places is not None:
                weights = put(weights, places, held.numel())
            mask = self._weighted_scores(weights.view(held.shape), held)
        elif not self._causal:
            # A row without tokens attends to its padding: without any key it would be NaN.
            mask = (held | (lengths == 0)[:, None])[:, None, None]
        count = self.cells[tokens].shape[0]
        return _Group(count, held.shape[0], width, places, mask)

    def _places(self, held: Tensor) -> Tensor:
        if self._grouped:
            return held.flatten().nonzero().flatten()
        # Not by another nonzero: a GPU would wait for it, and a graph can't see that both agree.
        before = self.valid.cumsum(1).flatten()[self.cells] - 1
        return self.cells // self.valid.shape[1] * self.valid.shape[1] + before

    def _weighted_scores(self, weights: Tensor, held: Tensor) -> Tensor:
        """Summands ``[rows, 1, width, width]`` of the scores: the log of the key's weight, 0 for
        the query's own key, -inf for keys that the query does not read.

        The query's own embedding is scaled already, and every query needs a key to attend to.
        """
        # The gradient of log(0) would be 0 * inf.
        positive = (weights > 0) & held
        scores = torch.where(positive, torch.where(positive, weights, 1.0).log(), -torch.inf)
        itself = torch.eye(held.shape[1], dtype=torch.bool, device=held.device)
        scores = torch.where(itself, 0.0, scores[:, None, :])
        if self._causal:
            scores = scores.masked_fill(torch.ones_like(itself).triu(1), -torch.inf)
        return scores.unsqueeze(1)
