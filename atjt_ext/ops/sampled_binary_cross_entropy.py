"""Binary cross-entropy over a target and sampled negatives, with one weight per example; gBCE."""

from __future__ import annotations

import torch
from torch import Tensor

from . import _row_losses as row_losses
from ._checks import check_beta
from ._row_losses import Reduction
from ._sampled_losses import scores_of_sampled

_NAME = "reweighted_binary_cross_entropy"  # the operator for the losses of the scores


def sampled_binary_cross_entropy(
    hidden: Tensor,
    item_embeddings: Tensor,
    targets: Tensor,
    negatives: Tensor,
    sample_weight: Tensor | None = None,
    *,
    beta: float = 1.0,
    mask_accidental_hits: bool = True,
    temperature: float = 1.0,
    ignore_index: int = -100,
    reduction: Reduction = "mean",
    sparse_gradient: bool = False,
) -> Tensor:
    """Sigmoid cross-entropy of each target against ``k`` negatives, scaled by the row's weight.

    With scores ``s_v = hidden[i] . item_embeddings[v] / temperature`` and negatives ``v_j``:

        ``l_i = (beta * softplus(-s_target) + sum_j softplus(s_j)) / (1 + k)``

    ``beta = 1`` is binary cross-entropy (SASRec with ``k`` negatives). A smaller ``beta`` is gBCE
    (Petrov and Macdonald, RecSys 2023, arXiv:2308.07192), which corrects the overconfidence from
    sampling negatives; :func:`gbce_beta` computes it. The authors' code turns the positive
    probability ``sigmoid(s)**beta`` back into a logit, in float64. The loss needs no such step:
    ``-log(sigmoid(s)**beta) = beta * softplus(-s)``.

    The other arguments, gradients, result and errors are those of
    :func:`atjt_ext.ops.sampled_cross_entropy`.

    Args:
        beta: Above 0.
        mask_accidental_hits: Leaves out negatives that are the row's target (default); ``k`` still
            counts them. gSASRec and RecTools keep them.

    Example:
        >>> import torch
        >>> from atjt_ext.ops import sampled_binary_cross_entropy
        >>> hidden, items = torch.zeros(2, 4), torch.zeros(100, 4)
        >>> targets, negatives = torch.tensor([1, 2]), torch.tensor([[3, 4, 5], [6, 7, 8]])
        >>> loss = sampled_binary_cross_entropy(hidden, items, targets, negatives)
        >>> round(loss.item(), 4)  # log 2
        0.6931
    """
    check_beta(beta)
    positive, negative, absent = scores_of_sampled(
        *(hidden, item_embeddings, targets, negatives, sample_weight),
        temperature=temperature,
        mask_accidental_hits=mask_accidental_hits,
        ignore_index=ignore_index,
        sparse_gradient=sparse_gradient,
        reduction=reduction,
    )
    positive = positive[:, None]
    negative = negative.masked_fill(absent, -torch.inf)  # whose loss as a negative is 0

    kept = targets != ignore_index
    weight = row_losses.weights_where(kept, sample_weight, positive.dtype)
    row_scale = row_losses.scales(weight, kept, reduction) / (1 + negatives.shape[-1])

    loss_of = row_losses.weighted_losses if reduction == "none" else row_losses.reduced_loss
    are_positive = torch.ones_like(positive, dtype=torch.bool)
    are_negative = torch.zeros_like(negative, dtype=torch.bool)
    return loss_of(_NAME, positive, are_positive, row_scale * beta, 0.0) + loss_of(
        _NAME, negative, are_negative, row_scale, 0.0
    )


def gbce_beta(t: float, num_negatives: int, num_items: int) -> float:
    """``beta`` of gBCE: ``a * (t * (1 - 1 / a) + 1 / a)``, ``a = num_negatives / (num_items - 1)``.

    From arXiv:2308.07192. ``t = 0`` is binary cross-entropy (``beta = 1``); ``t = 1`` calibrates
    scores fully (``beta = a``). The paper recommends 0.75 with 256 negatives.

    Args:
        t: In ``[0, 1]``.
        num_negatives: Negatives per target, at least 1.
        num_items: Size of the catalogue without padding; above ``num_negatives``.

    Raises:
        ValueError: A value out of range.

    Example:
        >>> from atjt_ext.ops import gbce_beta
        >>> round(gbce_beta(0.75, 256, 3417), 4)
        0.3062
    """
    if not 0 <= t <= 1:
        raise ValueError(f"t must be in [0, 1], got {t}")
    if num_negatives < 1:
        raise ValueError(f"num_negatives must be at least 1, got {num_negatives}")
    if num_items <= num_negatives:
        raise ValueError(f"num_items must be above num_negatives, {num_negatives}, got {num_items}")
    rate = num_negatives / (num_items - 1)
    return rate * (t * (1 - 1 / rate) + 1 / rate)
