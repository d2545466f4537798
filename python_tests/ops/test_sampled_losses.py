"""Losses over sampled negatives (softmax with logQ, BCE, gBCE): values and gradients."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from atjt_ext import SampledBinaryCrossEntropyLoss
from atjt_ext.ops import gbce_beta, sampled_binary_cross_entropy, sampled_cross_entropy
from helpers.operators import assert_all_close
from helpers.sampled_rows import (
    BOTH,
    DEFINITIONS,
    ITEMS,
    SHARED,
    embeddings,
    example,
    gradients,
    items_of,
)
from helpers.weighted_rows import HALVES, REDUCTIONS, relative_error

OPTIONS: dict[Any, list[dict[str, Any]]] = {
    sampled_cross_entropy: [{}, {"negative_log_probs": -1.5}, {"temperature": 0.5}],
    sampled_binary_cross_entropy: [{}, {"beta": 0.3}, {"temperature": 0.5}],
}


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("mask_accidental_hits", [True, False])
@SHARED
@pytest.mark.parametrize(
    ("ours", "options"), [(ours, options) for ours, each in OPTIONS.items() for options in each]
)
def test_float64_equals_the_reference(
    device: torch.device,
    ours: Any,
    options: dict[str, Any],
    shared: bool,
    mask_accidental_hits: bool,
    reduction: str,
) -> None:
    arguments = example(device, shared=shared)
    options = options | {"mask_accidental_hits": mask_accidental_hits, "reduction": reduction}
    wanted = gradients(DEFINITIONS[ours], arguments, **options)
    assert_all_close(gradients(ours, arguments, **options), wanted)


@pytest.mark.parametrize("per_row", [False, True])
@SHARED
def test_log_probabilities_of_each_negative(
    device: torch.device, shared: bool, per_row: bool
) -> None:
    arguments = example(device, shared=shared)
    shape = arguments[3].shape if per_row else arguments[3].shape[-1:]
    log_probs = -5 * torch.rand(shape, generator=torch.Generator().manual_seed(3)).double()
    options = {"negative_log_probs": log_probs.to(device)}
    got = gradients(sampled_cross_entropy, arguments, **options)
    wanted = gradients(DEFINITIONS[sampled_cross_entropy], arguments, **options)
    assert_all_close(got, wanted)
    without = sampled_cross_entropy(*arguments)
    assert not torch.allclose(got[0], without)


@pytest.mark.parametrize("dtype", [torch.float32, *HALVES])
@SHARED
@BOTH
def test_other_dtypes(device: torch.device, ours: Any, shared: bool, dtype: torch.dtype) -> None:
    hidden, table, *rest = example(device, shared=shared)
    hidden, table = hidden.to(dtype), table.to(dtype)
    got = gradients(ours, (hidden, table, *rest), reduction="weighted_mean")
    exact_inputs = (hidden.double(), table.double(), *rest)
    exact = gradients(DEFINITIONS[ours], exact_inputs, reduction="weighted_mean")
    assert got[0].dtype == torch.float32
    assert got[1].dtype == got[2].dtype == dtype
    eps = torch.finfo(dtype).eps
    # A product of matrices rounds shared scores to their dtype; candidates are scored in float32.
    assert relative_error(got[0], exact[0]) < (2 * eps if shared else 1e-6)
    assert relative_error(got[1], exact[1]) < 3 * eps + 1e-6
    assert relative_error(got[2], exact[2]) < 3 * eps + 1e-6
    assert relative_error(got[3], exact[3]) < (20 * eps if shared else 1e-5)


@SHARED
@BOTH
def test_gradcheck(device: torch.device, ours: Any, shared: bool) -> None:
    hidden, table, targets, negatives, weight = example(device, shared=shared, rows=6)
    for reduction in ("weighted_mean", "none"):
        assert torch.autograd.gradcheck(
            lambda x, w, s: ours(x, w, targets, negatives, s, reduction=reduction),  # noqa: B023
            [leaf.requires_grad_() for leaf in (hidden, table, weight)],
        )


@BOTH
def test_shared_negatives_are_the_same_in_every_row(device: torch.device, ours: Any) -> None:
    hidden, table, targets, negatives, weight = example(device, shared=True)
    each = negatives.expand(len(hidden), -1)
    assert_all_close(
        gradients(ours, (hidden, table, targets, negatives, weight)),
        gradients(ours, (hidden, table, targets, each, weight)),
    )


# ---- what they are ------------------------------------------------------------------------------


def every_other_item(targets: Tensor) -> Tensor:
    drawn = torch.arange(ITEMS - 1, device=targets.device).expand(len(targets), -1)
    return drawn + (drawn >= targets[:, None]).long()


@SHARED
@pytest.mark.parametrize("reduction", ["none", "mean"])
def test_with_every_item_it_is_the_softmax_over_the_catalogue(
    device: torch.device, reduction: str, shared: bool
) -> None:
    hidden, table, targets, _, weight = example(device)
    targets = targets.clamp(min=0)
    if shared:  # all items; one of them is the target, and a draw gives each with 1 / ITEMS
        negatives, log_prob = torch.arange(ITEMS, device=device), -math.log(ITEMS)
    else:
        negatives, log_prob = every_other_item(targets), -math.log(ITEMS - 1)
    got = gradients(
        sampled_cross_entropy, (hidden, table, targets, negatives, weight),
        negative_log_probs=log_prob, reduction=reduction,
    )  # fmt: skip

    def full(x: Tensor, w: Tensor, y: Tensor, _: Tensor, s: Tensor, reduction: str) -> Tensor:
        losses = s * F.cross_entropy(x @ w.T, y, reduction="none")
        return losses.mean() if reduction == "mean" else losses

    arguments = (hidden, table, targets, negatives, weight)
    assert_all_close(got, gradients(full, arguments, reduction=reduction))


def test_the_corrected_sum_is_unbiased(device: torch.device) -> None:
    """Over all pairs of draws from q, the mean of the estimates is the sum over other items."""
    hidden, table = embeddings(1, ITEMS, 6, device)
    target = torch.tensor([4], device=device)
    q = torch.softmax(torch.randn(ITEMS, generator=torch.Generator().manual_seed(0)).double(), 0)
    q = q.to(device)
    pairs = torch.cartesian_prod(*[torch.arange(ITEMS, device=device)] * 2)
    losses = sampled_cross_entropy(
        hidden.expand(len(pairs), -1), table, target.expand(len(pairs)), pairs,
        negative_log_probs=q[pairs].log(), reduction="none",
    )  # fmt: skip
    scores = (table @ hidden[0]).exp()
    estimates = (losses.exp() - 1) * scores[4]
    mean = (q[pairs].prod(dim=1) * estimates).sum()
    torch.testing.assert_close(mean, scores.sum() - scores[4])


def published_gbce(scores: Tensor, beta: float) -> Tensor:
    """gBCE from the transformed positive logit ``-log(sigmoid(s)**-beta - 1)``, in float64."""
    positive = scores[:, :1]
    probability = torch.sigmoid(positive).clamp(1e-10, 1 - 1e-10)
    logit = -torch.log(probability.pow(-beta).clamp(1 + 1e-10) - 1)
    logits = torch.cat([logit, scores[:, 1:]], dim=1)
    labels = torch.zeros_like(logits)
    labels[:, 0] = 1
    return F.binary_cross_entropy_with_logits(logits, labels, reduction="none").mean(dim=1)


@pytest.mark.parametrize("t", [0.0, 0.5, 0.75, 1.0])
def test_gbce_is_the_published_one(device: torch.device, t: float) -> None:
    hidden, table, targets, _, weight = example(device)
    targets = targets.clamp(min=0)
    negatives = items_of((len(hidden), 3), ITEMS, device, seed=9)

    def published(x: Tensor, w: Tensor, y: Tensor, n: Tensor, s: Tensor) -> Tensor:
        scores = torch.einsum("nd,ncd->nc", x, w[torch.cat([y[:, None], n], dim=1)])
        return s * published_gbce(scores, gbce_beta(t, 3, ITEMS))

    module = SampledBinaryCrossEntropyLoss(
        t=t, num_items=ITEMS, mask_accidental_hits=False, reduction="none"
    )
    arguments = (hidden, table, targets, negatives, weight)
    assert_all_close(
        gradients(module, arguments), gradients(published, arguments), rtol=1e-7, atol=1e-9
    )


def test_beta_of_gbce() -> None:
    assert gbce_beta(0.0, 5, 100) == pytest.approx(1)
    assert gbce_beta(1.0, 5, 100) == pytest.approx(5 / 99)
    assert gbce_beta(0.75, 256, 3417) == pytest.approx(0.25 + 0.75 * 256 / 3416)
    for wrong, message in (
        ((1.5, 5, 100), r"t must be in \[0, 1\], got 1.5"),
        ((0.5, 0, 100), "num_negatives must be at least 1, got 0"),
        ((0.5, 5, 5), "num_items must be above num_negatives, 5, got 5"),
    ):
        with pytest.raises(ValueError, match=message):
            gbce_beta(*wrong)


def test_large_scores_stay_exact_in_float32(device: torch.device) -> None:
    hidden = torch.tensor([[200.0], [-200.0]], device=device)
    table = torch.tensor([[1.0], [-1.0]], device=device)
    targets, negatives = (torch.tensor(t, device=device) for t in ([0, 0], [[1], [1]]))
    losses = sampled_binary_cross_entropy(
        hidden, table, targets, negatives, beta=0.25, reduction="none"
    )
    assert losses.tolist() == [0.0, (0.25 * 200 + 200) / 2]
    losses = sampled_cross_entropy(hidden, table, targets, negatives, reduction="none")
    assert losses.tolist() == [0.0, 400.0]


# ---- what counts --------------------------------------------------------------------------------


@SHARED
@BOTH
def test_accidental_hits(device: torch.device, ours: Any, shared: bool) -> None:
    hidden, table = embeddings(1, ITEMS, 6, device)
    target = torch.tensor([4], device=device)
    negatives = torch.tensor([2, 4, 4, 9], device=device)
    absent = torch.tensor([2, -100, -100, 9], device=device)
    if not shared:
        negatives, absent = negatives[None], absent[None]
    masked = ours(hidden, table, target, negatives)
    torch.testing.assert_close(masked, ours(hidden, table, target, absent))
    kept = ours(hidden, table, target, negatives, mask_accidental_hits=False)
    assert kept > masked + 0.1


@pytest.mark.parametrize("reduction", ["none", "sum", "weighted_mean"])
@pytest.mark.parametrize("spoilt_by", [math.nan, 1e200])  # whose scores overflow
@SHARED
@BOTH
def test_rows_of_weight_zero_spoil_no_gradient(
    device: torch.device, ours: Any, shared: bool, spoilt_by: float, reduction: str
) -> None:
    hidden, table, targets, negatives, weight = example(device, shared=shared)
    zero = torch.arange(len(weight), device=weight.device) % 3 == 0
    weight = torch.where(zero, 0, weight)
    clean = gradients(ours, (hidden, table, targets, negatives, weight), reduction=reduction)
    hidden = torch.where(zero[:, None], spoilt_by, hidden)
    spoilt = gradients(ours, (hidden, table, targets, negatives, weight), reduction=reduction)
    assert_all_close(spoilt[:3], clean[:3])
    assert not spoilt[1][zero].any()


@pytest.mark.filterwarnings("ignore:In CPU autocast")
@SHARED
@BOTH
def test_under_autocast_operands_are_cast_and_gradients_are_not(
    device: torch.device, ours: Any, shared: bool
) -> None:
    hidden, table, targets, negatives, weight = example(device, shared=shared)
    arguments = (hidden.bfloat16(), table.float(), targets, negatives, weight.float())
    with torch.autocast(device.type, torch.bfloat16):
        got = gradients(ours, arguments)
    assert [t.dtype for t in got[1:3]] == [torch.bfloat16, torch.float32]
    rounded = (arguments[0], arguments[1].bfloat16(), *arguments[2:])
    wanted = gradients(ours, rounded)
    for a, b in zip(got, wanted, strict=True):
        assert relative_error(a, b.double()) < 1e-2


def test_a_learned_temperature_is_refused() -> None:
    hidden, table, targets, negatives, _ = example(torch.device("cpu"))
    with pytest.raises(TypeError, match="temperature must be a number, got a tensor"):
        sampled_cross_entropy(hidden, table, targets, negatives, temperature=torch.tensor(0.5))


@SHARED
@BOTH
def test_ignored_rows_count_nowhere(device: torch.device, ours: Any, shared: bool) -> None:
    arguments = example(device, shared=shared)
    hidden, table, targets, negatives, weight = arguments
    kept = targets != -100
    fewer = negatives if shared else negatives[kept]
    for reduction in ("sum", "mean", "weighted_mean"):
        wanted = ours(hidden[kept], table, targets[kept], fewer, weight[kept], reduction=reduction)
        torch.testing.assert_close(ours(*arguments, reduction=reduction), wanted)
    clean = gradients(ours, arguments, reduction="none")
    hidden, weight = hidden.clone(), weight.clone()
    hidden[~kept] = torch.nan
    weight[~kept] = torch.nan
    spoilt = gradients(ours, (hidden, table, targets, negatives, weight), reduction="none")
    assert_all_close(spoilt, clean)
    assert not clean[0][~kept].any()
    assert not clean[1][~kept].any()
    assert not clean[3][~kept].any()


@BOTH
def test_the_padding_item_may_be_what_is_ignored(device: torch.device, ours: Any) -> None:
    hidden, table, targets, negatives, weight = example(device)
    wanted = gradients(ours, (hidden, table, targets, negatives, weight))
    padded = torch.cat([table[:1], table])  # items 1..V
    targets, negatives = ((t + 1).clamp(min=0) for t in (targets, negatives))
    got = gradients(ours, (hidden, padded, targets, negatives, weight), ignore_index=0)
    assert_all_close((*got[:2], got[2][1:], got[3]), wanted)
    assert not got[2][0].any()


@SHARED
@BOTH
def test_identities_of_the_weights(device: torch.device, ours: Any, shared: bool) -> None:
    arguments = example(device, shared=shared)
    *rest, weight = arguments
    _, _, _, grad = gradients(ours, arguments, reduction="weighted_mean")
    assert grad.abs().max() > 1e-3
    assert float((weight * grad).sum()) == pytest.approx(0, abs=1e-12)
    scaled = ours(*rest, 3 * weight, reduction="weighted_mean")
    torch.testing.assert_close(scaled, ours(*arguments, reduction="weighted_mean"))
    # Weight 2 counts like two rows, weight 0 like no row.
    whole = torch.ones_like(weight)
    whole[0], whole[2] = 2, 0
    index = torch.tensor([0, 0, *(i for i in range(1, len(weight)) if i != 2)], device=device)
    hidden, table, targets, negatives = rest
    repeated = ours(
        hidden[index], table, targets[index], negatives if shared else negatives[index],
        reduction="weighted_mean",
    )  # fmt: skip
    torch.testing.assert_close(ours(*rest, whole, reduction="weighted_mean"), repeated)


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("case", ["no_rows", "all_ignored", "no_weight"])
@SHARED
@BOTH
def test_nothing_to_average_gives_zero(
    device: torch.device, ours: Any, shared: bool, case: str, reduction: str
) -> None:
    arguments = list(example(device, shared=shared))
    if case == "no_rows":
        arguments = [t[:0] for t in arguments]
        arguments[1] = example(device)[1]
    if case == "all_ignored":
        arguments[2] = torch.full_like(arguments[2], -100)
    if case == "no_weight":
        arguments[4] = torch.zeros_like(arguments[4])
    for result in gradients(ours, tuple(arguments), reduction=reduction)[:3]:
        assert torch.equal(result, torch.zeros_like(result))


@SHARED
@BOTH
def test_no_negatives(device: torch.device, ours: Any, shared: bool) -> None:
    hidden, table, targets, negatives, weight = example(device, shared=shared)
    arguments = (hidden, table, targets, negatives[..., :0], weight)
    options = {"negative_log_probs": -1.0} if ours is sampled_cross_entropy else {}
    assert_all_close(gradients(ours, arguments, **options), gradients(DEFINITIONS[ours], arguments))
