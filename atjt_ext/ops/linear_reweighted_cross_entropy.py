"""Cross-entropy over a whole catalogue, from hidden states and item embeddings, without logits.

The catalogue's softmax is exact, yet nothing of size ``[N, V]`` exists: the forward pass is
attention with the item table as keys and as values (Dao et al., "FlashAttention",
arXiv:2205.14135), and the gradient of the table is the same with the roles swapped.
"""

from __future__ import annotations

import math
from typing import Literal, overload

import torch
from torch import Tensor

from atjt_ext.ops import _row_losses as row_losses
from atjt_ext.ops._catalogue import check_integers, check_table
from atjt_ext.ops._linear_losses import LinearLosses
from atjt_ext.ops._row_losses import Reduction


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
    """:func:`~atjt_ext.ops.reweighted_cross_entropy` of logits that are never stored.

    The logits are ``s_nv = (hidden[n] @ item_embeddings[v] + bias[v]) / temperature``, and

        l_n = lse_n - s_n,target + z_loss * lse_n^2,    lse_n = log sum_v exp(s_nv)

    Weights, reductions and what happens where nothing is left to average are those of
    ``reweighted_cross_entropy``: sums run over the rows whose target is not ``ignore_index``.

    Differentiable, once, in ``hidden``, ``item_embeddings``, ``bias`` and ``sample_weight``, and
    only what wants a gradient is computed: with table and bias frozen there is no pass over the
    catalogue for them, without any gradient there is one pass in all. Results are the same to the
    bit in every run. A row of weight 0 sends nothing into any gradient, even if its loss is not
    finite; of the others, one that holds NaN spoils its own row of the hidden states' gradient and
    all of the table's, which has a part of every row everywhere.

    Ignored rows cost nothing: they are left out before the catalogue is looked at, without the
    host waiting for the device, so that all of it can be captured in a CUDA graph.

    Memory, beside the inputs and their gradients: one ``[N, D]`` in float32 from pass to pass, a
    few while one runs, and what the kernels ask for: on CUDA, beyond 131,072 rows, ``[V, D]`` of
    float32 for every further 131,072. Of the table, a copy only where it is not contiguous, is
    float32 beside half-precision hidden states, or is of half precision and labels are smoothed.

    On CUDA, products of float32 numbers may be rounded to TF32 where
    ``torch.backends.cuda.matmul`` allows it, which is read when a pass runs. Half types are
    multiplied as they are and summed in float32, and so are the losses. Under ``torch.autocast``
    the operands are cast as those of a linear layer; the table's gradient stays float32.

    Args:
        hidden: ``[..., D]``, float32, float64 (CPU only), bfloat16 or float16. On CUDA, ``D`` is
            at most 256.
        item_embeddings: ``[V, D]``, of the same dtype, or float32 beside bfloat16 or float16: it
            is then rounded once per step, and its gradient is float32.
        targets: ``[...]`` int64, in ``[0, V)`` or ``ignore_index``.
        sample_weight: ``[...]``, floating point.
        bias: ``[V]``, floating point; computed with in float32 (float64 beside float64).
        temperature: A number above 0; logits are divided by it.
        label_smoothing: ``e`` in ``[0, 1]``: the cross-entropy becomes ``(1 - e)`` times itself
            plus ``e`` times the mean of those that each item would have as the target.
        z_loss: Factor, at least 0, of ``lse^2``, which keeps logits near 0 (de Brébisson and
            Vincent, arXiv:1604.08859; Chowdhery et al., "PaLM", arXiv:2204.02311).
        ignore_index: Rows with this target count nowhere.
        reduction: ``none``, ``sum``, ``mean`` or ``weighted_mean``.
        return_lse: Return ``(loss, lse)``, with ``lse [...]``, 0 in ignored rows, differentiable.

    Returns:
        ``[...]`` for ``"none"``, else a scalar; float64 for float64 hidden states, else float32.

    Raises:
        ValueError: A wrong shape, dtype, device or option.
        IndexError: On the CPU, a target out of range. On CUDA, where looking would stall the
            device, its loss becomes NaN, and with it the gradients that it has a part in.
        RuntimeError: A CUDA tensor, and no CUDA kernels in this build.

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
    _check(hidden, item_embeddings, targets, sample_weight, bias)
    row_losses.check_choice(reduction, label_smoothing)
    row_losses.check_temperature(temperature, hidden.dtype)
    if not 0 <= z_loss < math.inf:
        raise ValueError(f"z_loss must be finite and at least 0, got {z_loss}")
    hidden, item_embeddings = _autocast(hidden, item_embeddings)
    if item_embeddings.dtype not in (hidden.dtype, row_losses.arithmetic(hidden.dtype)):
        raise ValueError(
            f"item_embeddings must be {hidden.dtype} as hidden is, or float32 beside half "
            f"precision, got {item_embeddings.dtype}"
        )
    dtype, shape = row_losses.arithmetic(hidden.dtype), targets.shape
    rows, row_targets = hidden.reshape(-1, hidden.shape[-1]), targets.reshape(-1)
    row_weight = None if sample_weight is None else sample_weight.reshape(-1)
    losses, lse = LinearLosses.apply(  # type: ignore[no-untyped-call]
        *(rows, item_embeddings, None if bias is None else bias.to(dtype), row_targets),
        *(ignore_index, 1 / temperature, float(label_smoothing), float(z_loss)),
        torch.is_grad_enabled() and hidden.requires_grad,
    )
    kept = row_targets != ignore_index
    weight = row_losses.weights_where(kept, row_weight, dtype)
    scale = row_losses.scales(weight, kept, reduction)
    scaled = row_losses.at_weight(losses, scale) * scale
    loss: Tensor = scaled.view(shape) if reduction == "none" else scaled.sum()
    return (loss, lse.view(shape)) if return_lse else loss


def _autocast(hidden: Tensor, table: Tensor) -> tuple[Tensor, Tensor]:
    """As torch casts the operands of a linear layer; a float32 table is cast where it is read."""
    dtype = row_losses.autocast_dtype(hidden)
    if dtype is None:
        return hidden, table
    return hidden.to(dtype), table if table.dtype == torch.float32 else table.to(dtype)


def _check(
    hidden: Tensor,
    item_embeddings: Tensor,
    targets: Tensor,
    sample_weight: Tensor | None,
    bias: Tensor | None,
) -> None:
    row_losses.check_dtype("hidden", hidden)
    row_losses.check_dtype("item_embeddings", item_embeddings)
    if hidden.dim() < 1 or hidden.shape[-1] < 1:
        raise ValueError(f"hidden must be [..., D] with D >= 1, got shape {tuple(hidden.shape)}")
    check_table(hidden, item_embeddings, bias)
    row_losses.check_targets(targets, hidden.shape[:-1], hidden.device)
    check_integers("targets", targets, hidden)
    row_losses.check_sample_weight(sample_weight, hidden.shape[:-1], hidden.device)
