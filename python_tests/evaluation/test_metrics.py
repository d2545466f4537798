"""Ranking metrics and the AUC."""

from __future__ import annotations

import math
import subprocess
import sys

import pytest
import torch

from atjt_ext.evaluation.auc import auc, roc_curve
from atjt_ext.evaluation.metrics import (
    RANKING_KS,
    RANKING_METRICS,
    SHOWN_METRICS,
    hit_rate,
    mrr,
    ndcg,
    paper_hit_rate,
    paper_ndcg,
    ranking_metrics,
    user_gains,
)


def test_the_names_of_the_metrics_load_without_torch() -> None:
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "from atjt_ext.evaluation.metrics import RANKING_METRICS\n"
        "from atjt_ext.evaluation import RANKING_KS\n"
        "print(RANKING_KS, RANKING_METRICS)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout == f"{RANKING_KS} {RANKING_METRICS}\n"


def test_metrics_and_their_names_agree_and_are_means_of_the_users_gains() -> None:
    ranks = torch.tensor([1, 2, 5, 6, 40])
    metrics = ranking_metrics(ranks)
    assert tuple(metrics) == RANKING_METRICS
    assert set(SHOWN_METRICS) < set(RANKING_METRICS)
    for name, value in metrics.items():
        assert user_gains(ranks.numpy(), name).mean() == pytest.approx(value, abs=1e-15)


def test_five_users_by_hand() -> None:
    metrics = ranking_metrics(torch.tensor([1, 2, 5, 6, 40]), ks=(1, 5))
    by_hand = {name: metrics[name] for name in metrics if name[:-2] in ("HR", "NDCG", "MRR")}
    assert by_hand == pytest.approx(
        {
            "HR@1": 1 / 5,
            "NDCG@1": 1 / 5,
            "MRR@1": 1 / 5,
            "HR@5": 3 / 5,
            "NDCG@5": (1 + 1 / math.log2(3) + 1 / math.log2(6)) / 5,
            "MRR@5": (1 + 1 / 2 + 1 / 5) / 5,
        },
        abs=1e-12,
    )


def test_the_papers_metrics_by_hand() -> None:
    ranks, logits = torch.tensor([1, 5, 6]), torch.tensor([-0.1, 0.1, 9.0])
    assert paper_hit_rate(ranks, logits, 5) == pytest.approx(1 / 3)
    ideal = sum(1 / math.log2(n) for n in (3, 4, 5, 6, 7))
    assert paper_ndcg(ranks, 5) == pytest.approx((1 / math.log2(3) + 1 / math.log2(7)) / ideal / 3)
    assert paper_ndcg(torch.tensor([1]), 5) == pytest.approx(0.2738, abs=5e-5)


@pytest.mark.parametrize("k", [1, 5, 10])
def test_metrics_agree_with_ir_measures(k: int) -> None:
    ir_measures = pytest.importorskip("ir_measures")
    num_users, num_items = 100, 30
    generator = torch.Generator().manual_seed(k)
    targets = torch.randint(0, num_items, (num_users,), generator=generator)
    qrels, run, ranks = [], [], []
    for user, target in enumerate(targets.tolist()):
        order = torch.randperm(num_items, generator=generator).tolist()
        ranks.append(1 + order.index(target))
        qrels.append(ir_measures.Qrel(str(user), str(target), 1))
        run += [
            ir_measures.ScoredDoc(str(user), str(item), float(num_items - place))
            for place, item in enumerate(order)
        ]
    wanted = ir_measures.calc_aggregate(
        [ir_measures.Success @ k, ir_measures.nDCG @ k, ir_measures.RR @ k], qrels, run
    )
    for metric, theirs in (
        (hit_rate, ir_measures.Success),
        (ndcg, ir_measures.nDCG),
        (mrr, ir_measures.RR),
    ):
        assert metric(torch.tensor(ranks), k) == pytest.approx(wanted[theirs @ k], abs=1e-9)


def test_many_ranks_do_not_lose_precision() -> None:
    ranks = torch.ones(2**25 // 16 + 1, dtype=torch.int64)
    ranks[0] = 100
    assert hit_rate(ranks, 1) == 1 - 1 / len(ranks)


@pytest.mark.parametrize(
    ("ranks", "message"),
    [
        (torch.empty(0, dtype=torch.int64), "ranks must not be empty"),
        (torch.tensor([3, 0]), "ranks start at 1, got 0"),
    ],
)
def test_impossible_ranks_are_refused(ranks: torch.Tensor, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ranking_metrics(ranks)


@pytest.mark.parametrize("seed", range(10))
def test_auc_is_the_share_of_ordered_pairs(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    # Few distinct scores, so that most pairs across the classes tie.
    scores = torch.randint(0, 2 + 3 * seed, (40,), generator=generator).float()
    labels = torch.rand(40, generator=generator) < 0.3
    pairs = [(a, b) for a in scores[labels].tolist() for b in scores[~labels].tolist()]
    wanted = sum((a > b) + 0.5 * (a == b) for a, b in pairs) / len(pairs)
    assert auc(scores, labels) == pytest.approx(wanted, abs=1e-12)


def test_auc_of_perfect_reversed_and_constant_scores() -> None:
    labels = torch.tensor([False, True, True, False])
    assert auc(labels.float(), labels) == 1.0
    assert auc(-labels.float(), labels) == 0.0
    assert auc(torch.zeros(4), labels) == 0.5


def test_auc_sees_infinite_scores_as_the_largest() -> None:
    scores = torch.tensor([0.0, torch.inf, -torch.inf])
    assert auc(scores, torch.tensor([False, True, False])) == 1.0


@pytest.mark.parametrize("labels", [[False, False], [True, True], []], ids=str)
def test_auc_without_one_of_the_classes_is_none(labels: list[bool]) -> None:
    assert auc(torch.arange(len(labels)).float(), torch.tensor(labels, dtype=torch.bool)) is None


@pytest.mark.parametrize("shape", [(3,), (2, 1)])
def test_auc_refuses_other_shapes(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"scores and labels must both be \[N\]"):
        auc(torch.zeros(shape), torch.zeros(2, dtype=torch.bool))
    with pytest.raises(ValueError, match=r"scores and labels must both be \[N\]"):
        auc(torch.zeros(2, 1), torch.zeros(2, 1, dtype=torch.bool))


def test_the_area_under_the_roc_curve_is_the_auc() -> None:
    generator = torch.Generator().manual_seed(0)
    scores = torch.randint(0, 30, (500,), generator=generator).double()  # many tie
    labels = torch.rand(500, generator=generator) < 0.3
    false_rate, true_rate = roc_curve(scores, labels)
    assert (false_rate[0], true_rate[0]) == (0.0, 0.0)
    assert (false_rate[-1], true_rate[-1]) == (1.0, 1.0)
    area = torch.trapezoid(torch.tensor(true_rate), torch.tensor(false_rate))
    assert float(area) == pytest.approx(auc(scores, labels), abs=1e-6)


def test_without_one_of_the_classes_its_rate_stays_zero() -> None:
    scores, nothing = torch.tensor([1.0, 2.0]), torch.zeros(2, dtype=torch.bool)
    assert roc_curve(scores, nothing) == ([0.0, 0.5, 1.0], [0.0, 0.0, 0.0])
