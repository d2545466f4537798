"""Every operation in plain torch: slow, obvious, and what the kernels are judged against.

For tests and benchmarks; nothing in the package imports it.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

_LOW = 0xFFFFFFFF  # the low 32 bits
_ROW, _POSITION, _ITEM = 0, 1, 2  # what a draw is for


def _multiply(a: Tensor, b: int) -> tuple[Tensor, Tensor]:
    """High and low 32 bits of the product of 32-bit words, which int64 cannot hold at once."""
    upper = a * (b >> 16)
    lower = a * (b & 0xFFFF)
    middle = (upper & 0xFFFF) * 65536 + lower  # < 2**49
    return (upper >> 16) + (middle >> 32), middle & _LOW


def philox4x32_10(counter: Tensor, key: tuple[int, int]) -> Tensor:
    """Philox4x32-10 (Salmon et al., SC'11): ``[..., 4]`` counters to ``[..., 4]`` random words.

    Words are 32-bit numbers held in int64.
    """
    x, y, z, w = counter.unbind(-1)
    key_x, key_y = key
    for _ in range(10):
        high_x, low_x = _multiply(x, 0xD2511F53)
        high_z, low_z = _multiply(z, 0xCD9E8D57)
        x, y, z, w = high_z ^ y ^ key_x, low_z, high_x ^ w ^ key_y, low_x
        key_x, key_y = (key_x + 0x9E3779B9) & _LOW, (key_y + 0xBB67AE85) & _LOW
    return torch.stack([x, y, z, w], dim=-1)


def _draws(row_keys: Tensor, purpose: int, index: Tensor, seed: int, step: int) -> Tensor:
    """``[B, n, 4]`` words for ``row_keys [B]`` and ``index [n]``."""
    shape = (len(row_keys), len(index))
    counter = torch.stack(
        [
            (row_keys & _LOW)[:, None].expand(shape),
            (row_keys >> 32 & _LOW)[:, None].expand(shape),
            (index | purpose << 28).expand(shape),
            torch.full(shape, step),
        ],
        dim=-1,
    )
    return philox4x32_10(counter, (seed & _LOW, seed >> 32))


def keyed_draws(row_keys: Tensor, length: int, *, purpose: int, seed: int, step: int = 0) -> Tensor:
    """The meaning of :func:`atjt_ext.ops.keyed_draws`, to the bit."""
    first = 2**28 - length
    groups = torch.arange(first // 2, 2**27)
    words = _draws(row_keys, purpose, groups, seed, step)
    low, high = words[..., 0::2], words[..., 1::2]
    signed_high = torch.where(high < 2**31, high, high - 2**32)
    return (signed_high * 2**32 + low).flatten(1)[:, first % 2 :]


def random_replacement(
    sequences: Tensor,
    *,
    num_items: int,
    seed: int,
    step: int = 0,
    sequence_fraction: float = 1.0,
    num_replacements: int | None = None,
    replace_ratio: float | None = None,
    row_keys: Tensor | None = None,
    padding_idx: int = 0,
) -> tuple[Tensor, Tensor, Tensor]:
    """The meaning of :func:`atjt_ext.ops.random_replacement`, to the bit."""
    rows, length = sequences.shape
    if row_keys is None:
        row_keys = torch.arange(rows)
    out, replaced = sequences.clone(), torch.zeros_like(sequences, dtype=torch.bool)
    if rows == 0 or length == 0 or num_items == 1:
        return out, replaced, replaced.any(dim=1)
    positions = torch.arange(length)

    # Rows: the smallest 64-bit draws; less 2**63, they keep their order and fit int64.
    word = _draws(row_keys, _ROW, torch.tensor([0]), seed, step)[:, 0]
    draw = (word[:, 1] - 2**31) * 2**32 + word[:, 0]
    chosen_rows = torch.argsort(draw, stable=True)[: math.floor(sequence_fraction * rows + 0.5)]

    # Positions: four neighbours share one call. The last one's index is the same for any length.
    first = 2**28 - length
    groups = torch.arange(first // 4, 2**26)
    position_draws = _draws(row_keys, _POSITION, groups, seed, step).flatten(1)[:, first % 4 :]

    # Items: floor(draw * (num_items - 1) / 2**64), counted through the items but the original.
    word = _draws(row_keys, _ITEM, positions + first, seed, step)
    low, high = word[..., 0], word[..., 1]
    rank = (high * (num_items - 1) + (low * (num_items - 1) >> 32)) >> 32
    item = 1 + rank
    item += item >= sequences

    for row in chosen_rows.tolist():
        valid = positions[sequences[row] != padding_idx]
        if num_replacements is not None:
            count = min(num_replacements, len(valid))
        else:
            assert replace_ratio is not None
            count = math.floor(replace_ratio * len(valid) + 0.5)
        order = torch.argsort(position_draws[row, valid], stable=True)
        chosen = valid[order[:count]]
        out[row, chosen] = item[row, chosen].to(out.dtype)
        replaced[row, chosen] = True
    return out, replaced, replaced.any(dim=1)


def reweighted_cross_entropy(
    logits: Tensor,
    targets: Tensor,
    sample_weight: Tensor | None = None,
    *,
    ignore_index: int = -100,
    reduction: str = "mean",
) -> Tensor:
    """The meaning of :func:`atjt_ext.ops.reweighted_cross_entropy`."""
    kept = targets != ignore_index
    losses = torch.nn.functional.cross_entropy(
        logits, targets, ignore_index=ignore_index, reduction="none"
    )
    weight = torch.ones_like(losses) if sample_weight is None else sample_weight
    weighted = torch.where(kept, weight * losses, 0)
    if reduction == "none":
        return weighted
    total = weighted.sum()
    if reduction == "sum":
        return total
    if reduction == "mean":
        return total / kept.sum() if kept.any() else 0 * total
    sum_of_weights = torch.where(kept, weight, 0).sum()
    return total / sum_of_weights if sum_of_weights != 0 else 0 * total
