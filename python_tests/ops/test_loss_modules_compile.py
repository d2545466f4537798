"""Loss modules and damage under ``torch.compile(fullgraph=True)``, with and without gradients.

Traced only (``backend="eager"``): a graph break is found while tracing. The floor and the newest
torch run this file.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import pytest
import torch
from torch import Tensor

from atjt_ext.corruption import RandomReplacement
from atjt_ext.ops import candidate_scores, random_replacement
from atjt_ext.ops.losses import (
    LinearReweightedCrossEntropyLoss,
    ReweightedBinaryCrossEntropyLoss,
    ReweightedCrossEntropyLoss,
    SampledBinaryCrossEntropyLoss,
    SampledCrossEntropyLoss,
)
from helpers.operators import COMPILES, compiled

LOGITS = torch.arange(24.0).reshape(4, 6).sin()
HIDDEN, TABLE = torch.arange(12.0).reshape(4, 3).cos(), torch.arange(18.0).reshape(6, 3).sin()
TARGETS, WEIGHT = torch.tensor([0, 5, 2, 3]), torch.tensor([1.0, 0.5, 0.0, 2.0])
NEGATIVES = torch.tensor([[1, 2], [3, 4], [0, 1], [5, 5]])

CASES: dict[str, tuple[Callable[..., Any], tuple[Tensor, ...]]] = {
    "cross_entropy": (ReweightedCrossEntropyLoss(), (LOGITS, TARGETS, WEIGHT)),
    "cross_entropy, no weights": (ReweightedCrossEntropyLoss(), (LOGITS, TARGETS)),
    "cross_entropy, none": (ReweightedCrossEntropyLoss(reduction="none"), (LOGITS, TARGETS)),
    "cross_entropy, smoothed": (
        ReweightedCrossEntropyLoss(label_smoothing=0.1, inplace_gradient=True),
        (LOGITS, TARGETS, WEIGHT),
    ),
    "binary": (ReweightedBinaryCrossEntropyLoss(), (LOGITS, LOGITS > 0, WEIGHT)),
    "linear": (LinearReweightedCrossEntropyLoss(), (HIDDEN, TABLE, TARGETS, WEIGHT)),
    "linear, all options": (
        LinearReweightedCrossEntropyLoss(temperature=0.5, label_smoothing=0.1, z_loss=0.01),
        (HIDDEN, TABLE, TARGETS, WEIGHT, TABLE[:, 0]),
    ),
    "sampled": (SampledCrossEntropyLoss(), (HIDDEN, TABLE, TARGETS, NEGATIVES, WEIGHT)),
    "sampled, shared": (SampledCrossEntropyLoss(), (HIDDEN, TABLE, TARGETS, NEGATIVES[0])),
    "sampled binary": (SampledBinaryCrossEntropyLoss(), (HIDDEN, TABLE, TARGETS, NEGATIVES)),
    "gBCE": (
        SampledBinaryCrossEntropyLoss(t=0.75, num_items=6),
        (HIDDEN, TABLE, TARGETS, NEGATIVES, WEIGHT),
    ),
    "candidate_scores": (candidate_scores, (HIDDEN, TABLE, NEGATIVES)),
}


@COMPILES
@pytest.mark.parametrize("mode", ["no gradient", "no_grad", "gradient"])
@pytest.mark.parametrize("case", CASES)
def test_losses_compile_without_a_graph_break(case: str, mode: str) -> None:
    function, arguments = CASES[case]
    first = arguments[0].clone().requires_grad_(mode != "no gradient")

    def model(first: Tensor) -> Any:
        return function(first * 1.0, *arguments[1:])  # inplace_gradient takes no leaf

    with torch.no_grad() if mode == "no_grad" else nullcontext():
        got = compiled(model, "eager")(first)
    torch.testing.assert_close(got.detach(), function(*arguments))
    assert got.requires_grad == (mode == "gradient")


@COMPILES
@pytest.mark.parametrize(
    "amount",
    [{"num_replacements": 2}, {"replace_ratio": 0.5}, {"replace_probability": 0.5}],
    ids=lambda amount: next(iter(amount)),
)
def test_damage_compiles_without_a_graph_break(amount: dict[str, Any]) -> None:
    sequences = torch.randint(1, 9, (4, 7), generator=torch.Generator().manual_seed(0))

    def replace(sequences: Tensor) -> tuple[Tensor, Tensor]:
        damaged = random_replacement(sequences, num_items=9, seed=1, step=2, **amount)
        return damaged.sequences, damaged.replaced

    for function in (replace, RandomReplacement(num_items=9, **amount)):
        options = {} if function is replace else {"seed": 1, "step": 2}
        got = compiled(function, "eager")(sequences, **options)
        wanted = function(sequences, **options)
        assert torch.equal(got[0], wanted[0])
        assert torch.equal(got[1], wanted[1])
