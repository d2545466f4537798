"""How long does it take to replace a fifth of the items of a batch?"""

from __future__ import annotations

from typing import Any

import pytest

from contenders import Sampler


@pytest.mark.parametrize("peer", ["atjt_ext", "torch topk", "python loop"])
@pytest.mark.parametrize("rows", [256, 4096])
def bench_random_replacement(
    benchmark: Any, record: Any, threads: int, rows: int, peer: str
) -> None:
    question = Sampler(rows=rows)
    benchmark.group = f"random_replacement cpu [{rows}, {question.length}], {threads} threads"
    slow = peer == "python loop"
    result = benchmark.pedantic(
        question.contenders()[peer], rounds=5 if slow else 30, warmup_rounds=1 if slow else 5
    )
    record(question.bytes_moved)
    question.check(result)
