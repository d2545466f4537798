"""Dropout by key: a number's mask depends on its row, its position and the step, not on the batch.

``torch.nn.functional.dropout`` draws from a generator, so its mask depends on the order of the
batch, on the padding and on the number of processes. This op also keeps no mask: the backward pass
draws the same bits again.
"""

from __future__ import annotations

from numbers import Real
from typing import Any

import torch
from torch import Tensor

from ._checks import check_dtype, check_integers, check_shape, number_or_tensor, require_integer
from ._library import operator, register
from ._native import _C

_STEPS = 2**16  # the op drops with a probability of n / _STEPS
_MAX_WIDTH = 2**12

# seed and step are SymInt: a compiled training step is not compiled again for a new value.
_OPTIONS = (
    "int threshold, int layer, SymInt seed, SymInt step, Tensor? seed_tensor, Tensor? step_tensor"
)
_NAMES = [option.split()[1] for option in _OPTIONS.split(", ")]


def _output(values: Tensor) -> Tensor:
    return torch.empty_like(values, memory_format=torch.contiguous_format)


def _native(values: Tensor, row_keys: Tensor, positions: Tensor, *options: Any) -> Tensor:
    out = _output(values)
    _C.keyed_dropout(
        values.contiguous(),
        row_keys.contiguous(),
        positions.contiguous(),
        out=out,
        num_threads=torch.get_num_threads(),
        **dict(zip(_NAMES, options, strict=True)),
    )
    return out


register(
    f"_keyed_dropout(Tensor values, Tensor row_keys, Tensor positions, {_OPTIONS}) -> Tensor",
    _native,
    lambda values, *_: _output(values),
)


class _KeyedDropout(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        values: Tensor,
        row_keys: Tensor,
        positions: Tensor,
        seed_tensor: Tensor | None,
        step_tensor: Tensor | None,
        *numbers: int,
    ) -> Tensor:
        ctx.save_for_backward(row_keys, positions, seed_tensor, step_tensor)
        ctx.numbers = numbers
        dropped: Tensor = operator("_keyed_dropout")(
            values, row_keys, positions, *numbers, seed_tensor, step_tensor
        )
        return dropped

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        row_keys, positions, *on_device = ctx.saved_tensors
        if torch.is_grad_enabled() and not torch.compiler.is_compiling():  # create_graph
            dropped = _KeyedDropout.apply(  # type: ignore[no-untyped-call]
                gradient, row_keys, positions, *on_device, *ctx.numbers
            )
        else:
            dropped = operator("_keyed_dropout")(
                gradient, row_keys, positions, *ctx.numbers, *on_device
            )
        return (dropped, *[None] * 8)


def keyed_dropout(
    values: Tensor,
    p: float,
    row_keys: Tensor,
    positions: Tensor,
    *,
    layer: int,
    seed: int | Tensor,
    step: int | Tensor = 0,
) -> Tensor:
    """Drops numbers with probability ``p`` and multiplies the others by ``1 / (1 - p)``.

    16 random bits decide on each number, so the probability is ``n / 2**16``, where ``n`` is
    ``p * 2**16`` rounded to the nearest integer, ties to even, and at most ``2**16 - 1``. So 0.5
    and 0.25 are exact, 0.1 becomes 0.100006, and a ``p`` of at most ``2**-17`` drops nothing. The
    factor of the other numbers is ``2**16 / (2**16 - n)``, rounded once to the dtype of the
    arithmetic: float64 for float64 values, else float32. A product is rounded once to the dtype of
    ``values``. A dropped number becomes +0, even if it was NaN or infinite.

    The bits are those of Philox4x32-10 (Salmon et al., SC'11). Its key is itself a draw of ``seed``
    for ``layer``; its counter is made of row key, position, channel and step. They depend neither
    on the other rows, nor on the width of ``values``, the device or the number of threads; and no
    other op of the package draws with these keys.

    Differentiable any number of times in ``values``. The gradient has the same mask and factor; the
    backward pass draws the bits again, so no mask is kept.

    Args:
        values: ``[T, D]``, float32, float64, bfloat16 or float16, D at most 4096.
        p: In [0, 1).
        row_keys: ``[T]`` int64: the row of each token, e.g. a user; any values.
        positions: ``[T]`` int64 in ``[0, 2**23)``: the distance of each token from the end of its
            row. So padding on the left changes nothing.
        layer: In ``[0, 2**32)``: the place in the model; where a model encodes a row twice, also
            the pass. Two places with the same number have the same mask.
        seed: In ``[0, 2**64)``. Or a 0-d int64 tensor on the device of ``values``: the kernel reads
            it when it runs, so a replayed CUDA graph that increments it draws new bits. It must not
            change between the forward and the backward pass; torch refuses that.
        step: In ``[0, 2**32)``, e.g. the training step. Or a tensor as for ``seed``, whose low 32
            bits count.

    Returns:
        ``[T, D]`` in the dtype of ``values``; ``values`` itself if the probability is 0.

    Raises:
        ValueError: A value out of range, a wrong shape, dtype or device.
        TypeError: A number of the wrong type.
        IndexError: A position out of range, on the CPU. On CUDA a check would stall the device; the
            numbers of that token become NaN there.
        RuntimeError: A CUDA tensor in a build without CUDA kernels.

    Example:
        >>> import torch
        >>> from atjt_ext.ops import keyed_dropout
        >>> rows, positions = torch.tensor([7, 7, 8]), torch.tensor([1, 0, 0])
        >>> values = torch.ones(3, 4)
        >>> whole = keyed_dropout(values, 0.5, rows, positions, layer=0, seed=0)
        >>> part = keyed_dropout(values[2:], 0.5, rows[2:], positions[2:], layer=0, seed=0)
        >>> torch.equal(whole[2:], part)
        True
    """
    check_shape("values", values, "T", "D")
    check_dtype("values", values)
    if values.shape[1] > _MAX_WIDTH:
        raise ValueError(f"values must be [T, D], D <= {_MAX_WIDTH}, got {tuple(values.shape)}")
    for name, integers in (("row_keys", row_keys), ("positions", positions)):
        check_shape(name, integers, len(values))
        check_integers(name, integers, values.device)
    threshold = _threshold(p)
    layer = require_integer("layer", layer, 0, 2**32, "in [0, 2**32)")
    seed, seed_tensor = number_or_tensor("seed", seed, 64, values.device)
    step, step_tensor = number_or_tensor("step", step, 32, values.device)
    if threshold == 0:
        return values
    dropped: Tensor = _KeyedDropout.apply(  # type: ignore[no-untyped-call]
        values, row_keys, positions, seed_tensor, step_tensor, threshold, layer, seed, step
    )
    return dropped


def can_draw_on(device: torch.device) -> bool:
    """Whether this build has a kernel of :func:`keyed_dropout` for ``device``."""
    has_cuda = _C.build_facts()["cuda_toolkit"] is not None
    return device.type == "cpu" or (device.type == "cuda" and has_cuda)


def _threshold(p: float) -> int:
    """Of the ``_STEPS`` values of the bits, the number that drop.

    Raises:
        TypeError: ``p`` is no real number.
        ValueError: ``p`` is not in [0, 1).
    """
    if not isinstance(p, (float, int, Real)):
        raise TypeError(f"p must be a number in [0, 1), got {p!r}")
    if not 0 <= float(p) < 1:
        raise ValueError(f"p must be in [0, 1), got {p}")
    return min(round(float(p) * _STEPS), _STEPS - 1)
