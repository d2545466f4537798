"""Random numbers with a name, for choices that are composed in torch.

A number depends on the seed, the step, the row's key, its purpose and its position counted from the
end; on nothing else. So a row draws the same in any batch, behind any padding on the left, on any
device and with any number of threads, and no two purposes share a number.
"""

from __future__ import annotations

from enum import IntEnum

import torch
from torch import Tensor

from atjt_ext.ops._checks import require_integer
from atjt_ext.ops._keys import number_or_tensor
from atjt_ext.ops._library import register

from ._native import _C


class Purpose(IntEnum):
    """What a number is for: four bits. 0 to 3 are the kernels' own (csrc/keyed_draws.h)."""

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
    """These three are kept free for choices outside of the package."""


_PURPOSES = tuple(int(purpose) for purpose in Purpose)


def _output(row_keys: Tensor, length: int) -> Tensor:
    return row_keys.new_empty((row_keys.shape[0], length))


def _native(
    row_keys: Tensor,
    length: int,
    purpose: int,
    seed: int,
    step: int,
    seed_tensor: Tensor | None,
    step_tensor: Tensor | None,
) -> Tensor:
    out = _output(row_keys, length)
    _C.keyed_draws(
        row_keys.contiguous(),
        out=out,
        purpose=purpose,
        seed=seed,
        step=step,
        seed_tensor=seed_tensor,
        step_tensor=step_tensor,
        num_threads=torch.get_num_threads(),
    )
    return out


# seed and step are SymInt, so that a compiled training step is not compiled again for each of them.
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

    The bits of row ``b`` and position ``i`` are half of the Philox4x32-10 words (Salmon et al.,
    SC'11) with key ``seed`` and a counter made of ``row_keys[b]``, ``purpose``,
    ``(2**28 - length + i) // 2`` and ``step``.

    Args:
        row_keys: ``[B]`` int64.
        length: Positions per row, at most ``2**23``.
        purpose: What the numbers are for.
        seed: In ``[0, 2**64)``. Or a 0-d int64 tensor on the device of ``row_keys``, read by the
            kernel when it runs: a replayed CUDA graph goes on if it counts the tensor up.
        step: In ``[0, 2**32)``, e.g. the training step. Or a tensor as for ``seed``, of which the
            low 32 bits count.

    Returns:
        ``[B, length]`` int64, uniform over all values of its type.

    Raises:
        ValueError: A value out of range, a wrong shape or dtype.
        TypeError: No integer where one is wanted.
        RuntimeError: A CUDA tensor, and no CUDA kernels in this build.

    Example:
        >>> import torch
        >>> from atjt_ext.ops.keyed_draws import Purpose, keyed_draws
        >>> keys = torch.tensor([7, 8])
        >>> wide = keyed_draws(keys, 5, purpose=Purpose.DELETED_POSITION, seed=0)
        >>> narrow = keyed_draws(keys[1:], 2, purpose=Purpose.DELETED_POSITION, seed=0)
        >>> torch.equal(wide[1:, -2:], narrow)
        True
    """
    if row_keys.dim() != 1:
        raise ValueError(f"row_keys must be [B], got shape {tuple(row_keys.shape)}")
    if row_keys.dtype != torch.int64:
        raise ValueError(f"row_keys must be int64, got {row_keys.dtype}")
    require_integer("length", length, 0, 2**23 + 1, "in [0, 2**23]")
    if purpose not in _PURPOSES:
        raise ValueError(f"purpose must be one of Purpose, {list(_PURPOSES)}, got {purpose!r}")
    seed, seed_tensor = number_or_tensor("seed", seed, 64, row_keys.device)
    step, step_tensor = number_or_tensor("step", step, 32, row_keys.device)
    draws: Tensor = torch.ops.atjt_ext._keyed_draws(
        row_keys,
        length,
        int(purpose),
        seed,
        step,
        seed_tensor,
        step_tensor,
    )
    return draws


def uniform_integers(draws: Tensor, bound: int | Tensor) -> Tensor:
    """``floor(draw * bound / 2**64)``: draws of :func:`keyed_draws` as integers in ``[0, bound)``.

    Uniform up to a bias below ``bound / 2**64``.

    Args:
        draws: int64 of any shape.
        bound: In ``[1, 2**31)``; a tensor (int64) is broadcast, and its values are not looked at.

    Returns:
        int64, of the shape that ``draws`` and ``bound`` broadcast to.

    Raises:
        ValueError: ``draws`` not int64; a number out of range.
        TypeError: ``bound`` neither an integer nor a tensor.
    """
    if draws.dtype != torch.int64:
        raise ValueError(f"draws must be int64, got {draws.dtype}")
    if not isinstance(bound, Tensor):
        require_integer("bound", bound, 1, 2**31, "in [1, 2**31)")
    low, high = draws & 0xFFFFFFFF, draws >> 32 & 0xFFFFFFFF
    return (high * bound + (low * bound >> 32)) >> 32
