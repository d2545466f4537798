"""reweighted_cross_entropy: operators and refused arguments."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from atjt_ext.ops import reweighted_cross_entropy as cross_entropy
from helpers.operators import arithmetic
from helpers.weighted_rows import DTYPES, example


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_operators_are_registered_correctly(device: torch.device, dtype: torch.dtype) -> None:
    logits, targets, weight = example(6, 5, device)
    logits = logits.to(dtype)
    weight = weight.to(arithmetic(dtype))
    ops, options = torch.ops.atjt_ext, (-100, 0.1)
    name = ops._reweighted_cross_entropy
    torch.library.opcheck(name.default, (logits, targets, *options))
    for name in (
        ops._reweighted_cross_entropy_with_gradient,
        ops._reweighted_cross_entropy_gradient_,
    ):
        torch.library.opcheck(name.default, (logits.clone(), targets, weight, *options))
    factor = weight.new_tensor(1.5)
    torch.library.opcheck(ops._scale_gradient.default, (logits.clone(), factor))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"reduction": "avg"}, "reduction must be none, sum"),
        ({"label_smoothing": -0.1}, r"label_smoothing must be in \[0, 1\], got -0.1"),
        ({"label_smoothing": float("nan")}, r"label_smoothing must be in \[0, 1\], got nan"),
        ({"logits": torch.zeros(4)}, r"logits must be \[N, V\], got shape \(4,\)"),
        ({"logits": torch.zeros(4, 3).int()}, "logits must be one of .*, got torch.int32"),
        ({"targets": torch.zeros(3).long()}, r"targets must be \[4\], got shape \(3,\)"),
        ({"targets": torch.zeros(4).int()}, "targets must be int64, got torch.int32"),
        ({"sample_weight": torch.zeros(4, 1)}, r"sample_weight must be \[4\]"),
        ({"sample_weight": torch.zeros(4).long()}, "sample_weight must be floating point"),
        ({"targets": torch.zeros(4, device="meta").long()}, "targets must be on cpu"),
        ({"sample_weight": torch.zeros(4, device="meta")}, "sample_weight must be on cpu"),
    ],
)
def test_wrong_arguments_are_refused(change: dict[str, Any], message: str) -> None:
    right: dict[str, Any] = {"logits": torch.zeros(4, 3), "targets": torch.zeros(4).long()}
    with pytest.raises(ValueError, match=message):
        cross_entropy(**right | change)
