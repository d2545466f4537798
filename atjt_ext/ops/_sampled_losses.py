"""What losses over sampled items share: scores of targets and negatives, and what counts."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from atjt_ext.ops import _row_losses as row_losses
from atjt_ext.ops._catalogue import check_catalogue, check_integers
from atjt_ext.ops.candidate_scores import candidate_scores


def check_arguments(
    hidden: Tensor,
    item_embeddings: Tensor,
    targets: Tensor,
    negatives: Tensor,
    sample_weight: Tensor | None,
    temperature: float,
    reduction: str,
) -> None:
    check_catalogue(hidden, item_embeddings)
    row_losses.check_targets(targets, hidden.shape[:1], hidden.device)
    check_integers("targets", targets, hidden)
    check_integers("negatives", negatives, hidden)
    rows = len(hidden)
    if negatives.dim() != 1 and (negatives.dim() != 2 or len(negatives) != rows):
        raise ValueError(
            f"negatives must be [{rows}, k], or [k] for all rows, got shape "
            f"{tuple(negatives.shape)}"
        )
    row_losses.check_sample_weight(sample_weight, hidden.shape[:1], hidden.device)
    row_losses.check_temperature(temperature, hidden.dtype)
    row_losses.check_choice(reduction, label_smoothing=0.0)


def scores_of_sampled(
    hidden: Tensor,
    item_embeddings: Tensor,
    targets: Tensor,
    negatives: Tensor,
    sample_weight: Tensor | None,
    *,
    temperature: float,
    mask_accidental_hits: bool,
    ignore_index: int,
    sparse_gradient: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    """Scores of the targets ``[N]`` and the negatives ``[N, k]``, and which of these count for
    nothing: accidental hits, absent ones, all of an ignored row.

    Rows of weight 0 send nothing back, whatever they hold."""
    silent = None if sample_weight is None else (sample_weight == 0)[:, None]
    absent = (negatives == ignore_index) | (targets == ignore_index)[:, None]
    if mask_accidental_hits:
        absent = absent | (negatives == targets[:, None])

    if negatives.dim() == 2:
        candidates = torch.cat([targets[:, None], negatives.masked_fill(absent, ignore_index)], 1)
        scores = candidate_scores(
            hidden,
            item_embeddings,
            candidates,
            ignore_index=ignore_index,
            sparse_gradient=sparse_gradient,
        )
        positive, negative = scores.split([1, negatives.shape[1]], dim=1)
    else:
        positive = candidate_scores(
            hidden,
            item_embeddings,
            targets[:, None],
            ignore_index=ignore_index,
            sparse_gradient=sparse_gradient,
        )
        items = negatives.masked_fill(negatives == ignore_index, 0)
        embeddings = F.embedding(items, item_embeddings, sparse=sparse_gradient)
        # A row that counts nowhere may hold anything, NaN included: it must not reach the product,
        # whose gradient in the embeddings multiplies it by 0.
        ignored = (targets == ignore_index)[:, None]
        if silent is not None:
            ignored = ignored | (silent & ~torch.isfinite(hidden).all(dim=1, keepdim=True))
        counted = torch.where(ignored, 0, hidden)
        negative = (counted @ embeddings.T).to(positive.dtype)
    if temperature != 1.0:
        positive, negative = positive / temperature, negative / temperature
    if silent is not None:
        positive = torch.where(silent, positive.detach(), positive)
        negative = torch.where(silent, negative.detach(), negative)
    return positive[:, 0], negative, absent
