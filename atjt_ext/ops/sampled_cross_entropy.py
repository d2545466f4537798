"""Softmax cross-entropy over a sample of the catalogue, with one weight per example."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ._checks import check_floats
from ._row_losses import Reduction
from ._sampled_losses import scores_of_sampled
from .reweighted_cross_entropy import reweighted_cross_entropy

_IGNORED = -100


def sampled_cross_entropy(
    hidden: Tensor,
    item_embeddings: Tensor,
    targets: Tensor,
    negatives: Tensor,
    sample_weight: Tensor | None = None,
    *,
    negative_log_probs: Tensor | float | None = None,
    mask_accidental_hits: bool = True,
    temperature: float = 1.0,
    ignore_index: int = -100,
    reduction: Reduction = "mean",
    sparse_gradient: bool = False,
) -> Tensor:
    """Softmax cross-entropy of each target against ``k`` negatives, scaled by the row's weight.

    With scores ``s_v = hidden[i] . item_embeddings[v] / temperature`` and negatives ``v_j``:

        ``l_i = log(exp(s_target) + sum_j exp(s_j - c_j)) - s_target``

    * Without ``negative_log_probs``, ``c_j = 0``: the softmax over the items in the sample, which
      RecTools (eSASRec) calls "sampled softmax".
    * With them, ``c_j = log(k * q_j)``, where ``q_j`` is the probability that a draw gives ``v_j``
      (logQ correction; Bengio and Senecal, IEEE TNN 2008). The sum over negatives is then an
      unbiased estimate of the sum over all items except the target, so the loss estimates the
      softmax over the catalogue. The target is always in the sample and is not corrected
      (arXiv:2507.09331). If every other item is drawn once and ``q = 1 / (V - 1)``, the loss *is*
      the softmax over the catalogue.

    No tensor of size ``[N, k, D]`` exists; see :func:`atjt_ext.ops.candidate_scores`, also for
    repeatability. Shared negatives are scored by one matrix product in the dtype of ``hidden``.

    Differentiable once, in ``hidden``, ``item_embeddings`` and ``sample_weight``. Weights,
    reductions and their edge cases are those of :func:`atjt_ext.ops.reweighted_cross_entropy`.

    Args:
        hidden: ``[N, D]``, float32, float64, bfloat16 or float16.
        item_embeddings: ``[V, D]`` of the same dtype, V >= 1.
        targets: ``[N]`` int64 in ``[0, V)``, or ``ignore_index``.
        negatives: ``[N, k]`` int64 rows of ``item_embeddings``, or ``[k]`` for all rows. An entry
            ``ignore_index`` is no negative.
        sample_weight: ``[N]``, floating point, finite; None for ones.
        negative_log_probs: ``log q`` of each negative: the shape of ``negatives``, ``[k]``, or a
            number, such as ``-log(num_items - 1)`` for uniform draws without the target.
        mask_accidental_hits: Leaves out negatives that are the row's target (default, as in
            TensorFlow's ``sampled_softmax_loss``); they would lower the target's score. ``k``
            still counts them, which keeps the correction unbiased if ``q`` may draw the target.
        temperature: Scores are divided by it.
        ignore_index: Rows with this target have loss and gradient 0 and do not count.
        reduction: ``none``, ``sum``, ``mean`` or ``weighted_mean``.
        sparse_gradient: A sparse gradient of ``item_embeddings``.

    Returns:
        ``[N]`` for ``"none"``, else a scalar; float64 for float64 inputs, else float32.

    Raises:
        ValueError: A wrong shape, dtype, device or option.
        IndexError: A target or negative out of range, on the CPU. On CUDA the loss of the row
            becomes NaN; for shared negatives torch raises a device assertion.
        RuntimeError: A CUDA tensor in a build without CUDA kernels.

    Example:
        >>> import torch
        >>> from atjt_ext.ops import sampled_cross_entropy
        >>> hidden, items = torch.zeros(2, 4), torch.zeros(100, 4)
        >>> targets, negatives = torch.tensor([1, 2]), torch.tensor([[3, 4, 5], [6, 7, 2]])
        >>> sampled_cross_entropy(hidden, items, targets, negatives, reduction="none").exp()
        tensor([4., 3.])
    """
    positive, negative, absent = scores_of_sampled(
        *(hidden, item_embeddings, targets, negatives, sample_weight),
        temperature=temperature,
        mask_accidental_hits=mask_accidental_hits,
        ignore_index=ignore_index,
        sparse_gradient=sparse_gradient,
        reduction=reduction,
    )
    if isinstance(negative_log_probs, Tensor):
        if negative_log_probs.shape not in (negatives.shape, negatives.shape[-1:]):
            raise ValueError(
                f"negative_log_probs must be {list(negatives.shape)} like negatives, or "
                f"[{negatives.shape[-1]}], got shape {tuple(negative_log_probs.shape)}"
            )
        check_floats("negative_log_probs", negative_log_probs, negatives.device)
    if negative_log_probs is not None and negatives.shape[-1] > 0:
        negative = negative - (negative_log_probs + math.log(negatives.shape[-1]))
    negative = negative.to(positive.dtype).masked_fill(absent, -math.inf)
    logits = torch.cat([positive[:, None], negative], dim=1)
    columns = torch.where(targets == ignore_index, _IGNORED, 0)
    return reweighted_cross_entropy(
        logits, columns, sample_weight, ignore_index=_IGNORED, reduction=reduction
    )
