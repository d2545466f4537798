"""The evaluation protocol of the paper: the target against sampled negatives."""

from __future__ import annotations

import warnings

import torch
from torch import Tensor

from ..data import EvaluationBatch, EvaluationSet
from ..models.inference import inference
from ..models.protocols import Recommender
from ..models.scoring import score_candidates
from .metrics import SAMPLED_METRICS, hit_rate, ndcg, paper_hit_rate, paper_ndcg
from .ranking import as_batch, require_usable

# Limits on the users whose negatives are drawn together: their number, and the cells of [B, V].
_MAX_USERS = 256
_MAX_CELLS = 2**23


def sampled_evaluate(
    recommender: Recommender,
    data: EvaluationSet,
    popularity: Tensor,
    *,
    num_negatives: int = 63,
    popularity_power: float = 0.75,
    max_length: int = 50,
    seed: int = 0,
    weigh_inputs: bool = False,
) -> dict[str, float | None]:
    """The paper's protocol: the target against sampled negatives. Not comparable with full ranking.

    Negatives are drawn with replacement in proportion to ``popularity ** popularity_power``, among
    the items that the user never interacted with. Users without such an item are left out, with a
    warning (:func:`has_negatives`).

    Args:
        popularity: ``[num_items]`` training interactions of each item; column v is item v + 1.
        num_negatives: negatives per user.
        max_length: the model reads at most this many items of a history.
        seed: of the draws.
        weigh_inputs: the histories' ``weights``, if any, weight the model's inputs.

    Returns:
        ``AUC`` (share of negatives below the target, ties counting half), ``HR@5`` and ``NDCG@5``
        by their standard definitions, ``paper_HR@5`` and ``paper_NDCG@5`` by those of the paper's
        code (:func:`~atjt_ext.evaluation.metrics.paper_hit_rate`,
        :func:`~atjt_ext.evaluation.metrics.paper_ndcg`). All are None if every user is left out.

    Raises:
        ValueError: no users, or different catalogues of recommender and data.
        TypeError: ``weigh_inputs`` with a recommender that takes no input weights.
    """
    require_usable(recommender, data, weigh_inputs)
    if popularity.shape != (recommender.num_items,):
        raise ValueError(
            f"popularity must be [{recommender.num_items}], got {list(popularity.shape)}"
        )
    usable = has_negatives(data, popularity, popularity_power=popularity_power)
    if not bool(usable.all()):
        warnings.warn(
            f"the sampled metrics leave out {int((~usable).sum())} of {len(data)} users, who have "
            "every item that could be drawn as a negative",
            stacklevel=2,
        )
        data = data.select(usable.to(data.users.device))
    if not len(data):
        return dict.fromkeys(SAMPLED_METRICS)
    mass = popularity.double().cpu() ** popularity_power
    generator = torch.Generator().manual_seed(seed)
    users = min(_MAX_USERS, max(1, _MAX_CELLS // recommender.num_items))
    scores = []
    with inference(recommender):
        for batch in data.batches(users, max_length):
            negatives = _negatives(batch, mass, num_negatives, generator)
            negatives = negatives.to(batch.targets.device)
            candidates = torch.cat([batch.targets[:, None], negatives], dim=1)
            inputs = as_batch(batch, weigh_inputs)
            scores.append(score_candidates(recommender, inputs, candidates).cpu())
    return _metrics(torch.cat(scores))


def has_negatives(
    data: EvaluationSet, popularity: Tensor, *, popularity_power: float = 0.75
) -> Tensor:
    """``[U]`` bool on the CPU: for whom :func:`sampled_evaluate` can draw negatives."""
    mass = popularity.double().cpu() ** popularity_power
    offsets, users = data.histories.offsets, data.users
    lengths = (offsets[users + 1] - offsets[users]).cpu()
    # Users with fewer items than can be drawn lack one: most users need no further look.
    maybe = lengths + 1 >= int((mass > 0).sum())
    found = ~maybe
    if bool(maybe.any()):
        doubtful = data.select(maybe.to(users.device))
        batches = doubtful.batches(max(1, _MAX_CELLS // len(mass)), max_length=1)
        found[maybe] = torch.cat([(_allowed(batch, mass) > 0).any(dim=1) for batch in batches])
    return found


def _allowed(batch: EvaluationBatch, mass: Tensor) -> Tensor:
    """``[B, num_items]``: ``mass [num_items]``, 0 at the items of the row's user."""
    allowed = mass.repeat(len(batch.users), 1)
    allowed[batch.seen_rows.cpu(), batch.seen_items.cpu() - 1] = 0.0
    return allowed.scatter_(1, batch.targets.cpu()[:, None] - 1, 0.0)


def _negatives(
    batch: EvaluationBatch, mass: Tensor, num_negatives: int, generator: torch.Generator
) -> Tensor:
    """``[B, num_negatives]`` items in proportion to ``mass [num_items]``, without the items of the
    row's user."""
    until = _allowed(batch, mass).cumsum(1)
    total = until[:, -1:]
    size = (len(batch.users), num_negatives)
    drawn = torch.rand(size, dtype=torch.float64, generator=generator) * total
    # A product may round up to the total, past the end: clamp to the last item with mass.
    last = (until < total).sum(dim=1, keepdim=True)
    return 1 + torch.minimum(torch.searchsorted(until, drawn, right=True), last)


def _metrics(scores: Tensor) -> dict[str, float | None]:
    """Metrics of logits ``[U, 1 + num_negatives]``; column 0 is the target."""
    target, others = scores[:, :1], scores[:, 1:]
    below, ties = others < target, others == target
    rank = 1 + (~below).sum(dim=1)
    # The paper's code ranks the first of equal scores highest, which is the target.
    lenient_rank = 1 + (others > target).sum(dim=1)
    return {
        "AUC": float((below.double() + 0.5 * ties.double()).mean()),
        "HR@5": hit_rate(rank, 5),
        "NDCG@5": ndcg(rank, 5),
        "paper_HR@5": paper_hit_rate(lenient_rank, target[:, 0], 5),
        "paper_NDCG@5": paper_ndcg(lenient_rank, 5),
    }
