"""Scores of targets and negatives for the losses over sampled items, and their checks."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from ._checks import (
    check_catalogue,
    check_integers,
    check_reduction,
    check_sample_weight,
    check_shape,
    check_temperature,
)
from ._dtypes import autocast_operands
from .candidate_scores import candidate_scores


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
    reduction: str,
) -> tuple[Tensor, Tensor, Tensor]:
    """Scores of the targets ``[N]`` and of the negatives ``[N, k]``, and a mask ``[N, k]`` of the
    negatives that do not count: accidental hits, ``ignore_index``, all of an ignored row.

    Raises ValueError or TypeError for an argument that both losses have. A row of weight 0 gets no
    gradient, whatever it holds.
    """
    hidden, item_embeddings = autocast_operands(hidden, item_embeddings)
    check_catalogue(hidden, item_embeddings)
    rows = len(hidden)
    check_shape("targets", targets, rows)
    check_integers("targets", targets, hidden.device)
    check_integers("negatives", negatives, hidden.device)
    if negatives.dim() != 1 and (negatives.dim() != 2 or len(negatives) != rows):
        raise ValueError(
            f"negatives must be [{rows}, k], or [k] for all rows, got shape "
            f"{tuple(negatives.shape)}"
        )
    check_sample_weight(sample_weight, hidden.shape[:1], hidden.device)
    check_temperature(temperature, hidden.dtype)
    check_reduction(reduction)

    silent = None if sample_weight is None else (sample_weight == 0)[:, None]
    absent = (negatives == ignore_index) | (targets == ignore_index)[:, None]
    if mask_accidental_hits:
        absent = absent | (negatives == targets[:, None])

    candidates = targets[:, None]
    if negatives.dim() == 2:
        candidates = torch.cat([candidates, negatives.masked_fill(absent, ignore_index)], 1)
    scores = candidate_scores(
        *(hidden, item_embeddings, candidates),
        ignore_index=ignore_index,
        sparse_gradient=sparse_gradient,
    )
    positive, negative = scores.split([1, scores.shape[1] - 1], dim=1)
    if negatives.dim() == 1:
        items = negatives.masked_fill(negatives == ignore_index, 0)
        embeddings = F.embedding(items, item_embeddings, sparse=sparse_gradient)
        # A row that does not count may hold NaN. It must not enter the product, whose gradient in
        # the embeddings multiplies it by 0.
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
