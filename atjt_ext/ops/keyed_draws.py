"""Random numbers by key, for random choices that are written in torch.

A number depends only on the seed, the step, the row's key, the purpose and the position counted
from the end. So a row draws the same numbers in any batch, behind any left padding, on any device
and with any number of threads. No two purposes share a number.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Any

import torch
from torch import Tensor

from ._checks import check_integers, check_shape, number_or_tensor, require_integer
from ._library import register
from ._native import _C


class Purpose(IntEnum):
    """The purpose of a number, in four bits. The kernels use 0 to 3 (csrc/common/keyed_draw.h)."""

    DELETED_ROW = 4
    DELETED_POSITION = 5
    INSERTED_ROW = 6
    INSERTED_POSITION = 7
    INSERTED_ITEM = 8
    SWAPPED_ROW = 9
    SWAPPED_POSITION = 10
    MIXED_KIND = 11
    NEGATIVE_ITEM = 12
    CUSTOM_ROW = 13
    CUSTOM_POSITION = 14
    CUSTOM_ITEM = 15
    """The last three are free for code outside the package."""


_PURPOSES = tuple(int(purpose) for purpose in Purpose)


def _output(row_keys: Tensor, length: int) -> Tensor:
    return row_keys.new_empty((row_keys.shape[0], length))


def _native(row_keys: Tensor, length: int, *options: Any) -> Tensor:
    out = _output(row_keys, length)
    names = ("purpose", "seed", "step", "seed_tensor", "step_tensor")
    _C.keyed_draws(
        row_keys.contiguous(),
        out=out,
        num_threads=torch.get_num_threads(),
        **dict(zip(names, options, strict=True)),
    )
    return out


# seed and step are SymInt: a compiled training step is not compiled again for a new value.
register(
    "_keyed_draws(Tensor row_keys, SymInt length, int purpose, SymInt seed, SymInt step, "
    "Tensor? seed_tensor, Tensor? step_tensor) -> Tensor",
    _native,
    lambda row_keys, length, *_: _output(row_keys, length),
)


def keyed_draws(
    row_keys: Tensor,
    length: int,
    *,
    purpose: Purpose,
    seed: int | Tensor,
    step: int | Tensor = 0,
) -> Tensor:
    """64 random bits for every row and position.

    The bits of row ``b`` and position ``i`` are one half of the Philox4x32-10 output (Salmon et
    al., SC'11) with key ``seed`` and a counter made of ``row_keys[b]``, ``purpose``,
    ``(2**28 - length + i) // 2`` and ``step``.

    Args:
        row_keys: ``[B]`` int64.
        length: Positions per row, at most ``2**23``.
        purpose: The purpose of the numbers.
        seed: In ``[0, 2**64)``. Or a 0-d int64 tensor on the device of ``row_keys``: the kernel
            reads it when it runs, so a replayed CUDA graph that increments it draws new numbers.
        step: In ``[0, 2**32)``, e.g. the training step. Or a tensor as for ``seed``, whose low 32
            bits count.

    Returns:
        ``[B, length]`` int64, uniform over all int64 values.

    Raises:
        ValueError: A value out of range, a wrong shape or dtype.
        TypeError: A number that is no integer.
        RuntimeError: A CUDA tensor in a build without CUDA kernels.

    Example:
        >>> import torch
        >>> from atjt_ext.ops.keyed_draws import Purpose, keyed_draws
        >>> keys = torch.tensor([7, 8])
        >>> wide = keyed_draws(keys, 5, purpose=Purpose.DELETED_POSITION, seed=0)
        >>> narrow = keyed_draws(keys[1:], 2, purpose=Purpose.DELETED_POSITION, seed=0)
        >>> torch.equal(wide[1:, -2:], narrow)
        True
    """
    check_shape("row_keys", row_keys, "B")
    check_integers("row_keys", row_keys, row_keys.device)
    require_integer("length", length, 0, 2**23 + 1, "in [0, 2**23]")
    if purpose not in _PURPOSES:
        raise ValueError(f"purpose must be one of Purpose, {list(_PURPOSES)}, got {purpose!r}")
    seed, seed_tensor = number_or_tensor("seed", seed, 64, row_keys.device)
    step, step_tensor = number_or_tensor("step", step, 32, row_keys.device)
    draws: Tensor = torch.ops.atjt_ext._keyed_draws(
        row_keys, length, int(purpose), seed, step, seed_tensor, step_tensor
    )
    return draws


def uniform_integers(draws: Tensor, bound: int | Tensor) -> Tensor:
    """Draws of :func:`keyed_draws` as integers in ``[0, bound)``: ``floor(draw * bound / 2**64)``.

    Uniform up to a bias below ``bound / 2**64``.

    Args:
        draws: int64 of any shape, read as unsigned.
        bound: In ``[1, 2**31)``, or an int64 tensor, which broadcasts; its values are not checked.

    Returns:
        int64, in the shape that ``draws`` and ``bound`` broadcast to.

    Raises:
        ValueError: ``draws`` not int64; a number out of range.
        TypeError: ``bound`` neither an integer nor a tensor.
    """
    check_integers("draws", draws, draws.device)
    if not isinstance(bound, Tensor):
        require_integer("bound", bound, 1, 2**31, "in [1, 2**31)")
    low, high = draws & 0xFFFFFFFF, draws >> 32 & 0xFFFFFFFF
    return (high * bound + (low * bound >> 32)) >> 32
