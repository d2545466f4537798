"""Cross-entropy over a whole catalogue, from hidden states and item embeddings, without logits.

The softmax is exact, but no tensor of size ``[N, V]`` exists. The forward pass is attention with
the item table as keys and values (Dao et al., "FlashAttention", arXiv:2205.14135). The gradient of
the table is the same algorithm with rows and items swapped.
"""

from __future__ import annotations

from typing import Literal, overload

import torch
from torch import Tensor

from ._checks import (
    check_dtype,
    check_integers,
    check_label_smoothing,
    check_reduction,
    check_sample_weight,
    check_shape,
    check_table,
    check_temperature,
    check_z_loss,
)
from ._dtypes import arithmetic, autocast_dtype
from ._linear_losses import LinearLosses
from ._reduced_linear_loss import ReducedLinearLoss, rows_of_chunk
from ._row_losses import Reduction, at_weight, saves_are_hooked, scales, weights_where


@overload
def linear_reweighted_cross_entropy(
    hidden: Tensor,
    item_embeddings: Tensor,
    targets: Tensor,
    sample_weight: Tensor | None = None,
    *,
    bias: Tensor | None = None,
    temperature: float = 1.0,
    label_smoothing: float = 0.0,
    z_loss: float = 0.0,
    ignore_index: int = -100,
    reduction: Reduction = "mean",
    return_lse: Literal[False] = False,
) -> Tensor: ...
@overload
def linear_reweighted_cross_entropy(
    hidden: Tensor,
    item_embeddings: Tensor,
    targets: Tensor,
    sample_weight: Tensor | None = None,
    *,
    bias: Tensor | None = None,
    temperature: float = 1.0,
    label_smoothing: float = 0.0,
    z_loss: float = 0.0,
    ignore_index: int = -100,
    reduction: Reduction = "mean",
    return_lse: Literal[True],
) -> tuple[Tensor, Tensor]: ...
def linear_reweighted_cross_entropy(
    hidden: Tensor,
    item_embeddings: Tensor,
    targets: Tensor,
    sample_weight: Tensor | None = None,
    *,
    bias: Tensor | None = None,
    temperature: float = 1.0,
    label_smoothing: float = 0.0,
    z_loss: float = 0.0,
    ignore_index: int = -100,
    reduction: Reduction = "mean",
    return_lse: bool = False,
) -> Tensor | tuple[Tensor, Tensor]:
    """:func:`~atjt_ext.ops.reweighted_cross_entropy` over a catalogue, without stored logits.

    The logits are ``s_nv = (hidden[n] @ item_embeddings[v] + bias[v]) / temperature``, and

        l_n = lse_n - s_n,target + z_loss * lse_n^2,    lse_n = log sum_v exp(s_nv)

    Weights, reductions and the results without anything to average are those of
    ``reweighted_cross_entropy``. Sums run over the rows whose target is not ``ignore_index``.

    Differentiable once, in ``hidden``, ``item_embeddings``, ``bias`` and ``sample_weight``. Only
    the wanted gradients are computed: a frozen table and bias cost no backward pass over the
    catalogue. On the CPU the forward pass may compute them already, so call it under
    ``torch.no_grad()`` where none is wanted. Results have the same bits in every run. A row of
    weight 0 adds nothing to any gradient, even if its loss is not finite. Any other row with NaN
    makes its own gradient in ``hidden`` NaN, and the whole gradient of the table, to which every
    row contributes.

    Ignored rows cost nothing: they are removed before the pass over the catalogue. The host never
    waits for the device, so a CUDA graph can capture both passes.

    Memory in addition to the inputs and their gradients:

    * from the forward to the backward pass: one ``[N, D]`` in float32; on the CPU, if the table
      learns and the loss is one number, the gradients of hidden states and, in float64, table
    * during a pass: a few ``[N, D]``; on the CPU also 16 MiB and ``[V, D]`` in float64; on CUDA
      also ``[V, D]`` in float32 for every further 131,072 rows after the first 131,072
    * a copy of the table if it is not contiguous, if it is float32 with half-precision hidden
      states, or if it has half precision and ``label_smoothing`` is not 0

    On CUDA, products of float32 numbers may be rounded to TF32 if ``torch.backends.cuda.matmul``
    allows it at the time of the pass. Half types are multiplied as they are and summed in float32;
    losses are float32. Under ``torch.autocast`` the operands are cast like those of a linear layer;
    the table's gradient stays float32.

    Args:
        hidden: ``[..., D]``, float32, float64 (CPU only), bfloat16 or float16. On CUDA, ``D`` is
            at most 256.
        item_embeddings: ``[V, D]``, of the same dtype. Or float32 with bfloat16 or float16 hidden
            states: then it is rounded once per step, and its gradient is float32.
        targets: ``[...]`` int64, in ``[0, V)`` or ``ignore_index``.
        sample_weight: ``[...]``, floating point, finite.
        bias: ``[V]``, floating point; converted to float32 (float64 for float64 hidden states).
        temperature: A number above 0; logits are divided by it.
        label_smoothing: ``e`` in ``[0, 1]``: the cross-entropy becomes ``(1 - e)`` times itself
            plus ``e`` times the mean cross-entropy over all items as targets.
        z_loss: Factor, at least 0, of ``lse^2``, which keeps logits near 0 (de Brébisson and
            Vincent, arXiv:1604.08859; Chowdhery et al., "PaLM", arXiv:2204.02311).
        ignore_index: Rows with this target have loss and gradient 0 and do not count.
        reduction: ``none``, ``sum``, ``mean`` or ``weighted_mean``.
        return_lse: Return ``(loss, lse)``; ``lse [...]`` is differentiable, and 0 in ignored rows.

    Returns:
        ``[...]`` for ``"none"``, else a scalar; float64 for float64 hidden states, else float32.

    Raises:
        ValueError: A wrong shape, dtype, device or option.
        IndexError: A target out of range, on the CPU. On CUDA a check would stall the device; the
            loss of the row and the gradients it contributes to become NaN there.
        RuntimeError: A CUDA tensor in a build without CUDA kernels.

    Example:
        >>> import torch
        >>> from atjt_ext.ops import linear_reweighted_cross_entropy
        >>> hidden, items = torch.zeros(2, 8, requires_grad=True), torch.randn(4, 8)
        >>> weight = torch.tensor([1.0, 3.0])
        >>> loss = linear_reweighted_cross_entropy(
        ...     hidden, items, torch.tensor([0, 1]), weight, reduction="sum"
        ... )
        >>> round(loss.item() / 4, 4)  # log 4
        1.3863
    """
    check_dtype("hidden", hidden)
    check_dtype("item_embeddings", item_embeddings)
    if hidden.dim() < 1 or hidden.shape[-1] < 1:
        raise ValueError(f"hidden must be [..., D] with D >= 1, got shape {tuple(hidden.shape)}")
    check_table(hidden, item_embeddings, bias)
    check_shape("targets", targets, *hidden.shape[:-1])
    check_integers("targets", targets, hidden.device)
    check_sample_weight(sample_weight, hidden.shape[:-1], hidden.device)
    check_reduction(reduction)
    check_label_smoothing(label_smoothing)
    check_temperature(temperature, hidden.dtype)
    check_z_loss(z_loss)
    hidden, item_embeddings = _autocast(hidden, item_embeddings)
    if item_embeddings.dtype not in (hidden.dtype, arithmetic(hidden.dtype)):
        raise ValueError(
            f"item_embeddings must be {hidden.dtype} like hidden, or float32 with half-"
            f"precision hidden states, got {item_embeddings.dtype}"
        )
    dtype, shape = arithmetic(hidden.dtype), targets.shape
    rows, row_targets = hidden.reshape(-1, hidden.shape[-1]), targets.reshape(-1)
    row_weight = None if sample_weight is None else sample_weight.reshape(-1)
    table_bias = None if bias is None else bias.to(dtype)
    options = (ignore_index, 1 / temperature, float(label_smoothing), float(z_loss))
    kept = row_targets != ignore_index
    weight = weights_where(kept, row_weight, dtype)
    scale = scales(weight, kept, reduction)
    if reduction != "none" and not return_lse and _writes_ahead(rows, item_embeddings, table_bias):
        reduced: Tensor = ReducedLinearLoss.apply(  # type: ignore[no-untyped-call]
            rows, item_embeddings, table_bias, row_targets, scale, *options
        )
        return reduced
    losses, lse = LinearLosses.apply(  # type: ignore[no-untyped-call]
        *(rows, item_embeddings, table_bias, row_targets, *options),
        torch.is_grad_enabled() and hidden.requires_grad,
    )
    scaled = at_weight(losses, scale) * scale
    loss: Tensor = scaled.view(shape) if reduction == "none" else scaled.sum()
    return (loss, lse.view(shape)) if return_lse else loss


def _writes_ahead(hidden: Tensor, table: Tensor, bias: Tensor | None) -> bool:
    """Whether the forward pass should write the gradients."""
    if torch.compiler.is_compiling():  # before anything that can't be traced
        return False
    return (
        torch.is_grad_enabled()
        and (table.requires_grad or (bias is not None and bias.requires_grad))
        and hidden.device.type == "cpu"
        and rows_of_chunk(table.shape[0], hidden.dtype) > 0
        and not saves_are_hooked(if_unknown=False)
    )


def _autocast(hidden: Tensor, table: Tensor) -> tuple[Tensor, Tensor]:
    """As torch casts the operands of a linear layer, but the autograd function casts a float32
    table, for a float32 gradient."""
    dtype = autocast_dtype(hidden)
    if dtype is None:
        return hidden, table
    return hidden.to(dtype), table if table.dtype == torch.float32 else table.to(dtype)
