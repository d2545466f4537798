"""How long do loss and gradients of a batch take over the whole catalogue?"""

from __future__ import annotations

from typing import Any

import pytest

from contenders import WeightedLoss

# torch.compile imports parts of torch that torch itself has deprecated.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:torch")


@pytest.mark.parametrize("peer", ["atjt_ext", "torch eager", "torch.compile"])
@pytest.mark.parametrize(("rows", "classes"), [(256, 3_417), (2048, 20_000)])  # MovieLens-1M; large
def bench_reweighted_cross_entropy(
    benchmark: Any, record: Any, threads: int, rows: int, classes: int, peer: str
) -> None:
    question = WeightedLoss(rows=rows, classes=classes)
    benchmark.group = f"reweighted_cross_entropy cpu [{rows}, {classes}], {threads} threads"
    result = benchmark.pedantic(question.contenders()[peer], rounds=15, warmup_rounds=3)
    record(question.bytes_moved)
    question.check(result)
