"""reweighted_cross_entropy for torch: operators, tracing, fake tensors; and what it refuses."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from atjt_ext.ops import Reduction, reweighted_cross_entropy
from helpers.weighted_rows import DTYPES, REDUCTIONS, example, gradients


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_operators_are_registered_correctly(device: torch.device, dtype: torch.dtype) -> None:
    logits, targets, weight = example(6, 5, device)
    logits = logits.to(dtype)
    weight = weight.to(torch.float64 if dtype == torch.float64 else torch.float32)
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


# torch.compile imports parts of torch that torch itself has deprecated.
@pytest.mark.filterwarnings("ignore::DeprecationWarning:torch")
@pytest.mark.parametrize(
    ("backend", "reduction"),
    [("inductor", "weighted_mean"), *(("aot_eager", reduction) for reduction in REDUCTIONS)],
)
def test_it_compiles_without_a_graph_break(
    device: torch.device, reduction: Reduction, backend: str
) -> None:
    arguments = example(6, 50, device)
    torch._dynamo.reset()  # it gives up on a function compiled too often
    compiled = torch.compile(reweighted_cross_entropy, fullgraph=True, backend=backend)
    options: Any = {"reduction": reduction, "label_smoothing": 0.1}
    wanted = gradients(reweighted_cross_entropy, *arguments, **options)
    for inplace_gradient in (False, True):
        got = gradients(compiled, *arguments, inplace_gradient=inplace_gradient, **options)
        for a, b in zip(got, wanted, strict=True):
            torch.testing.assert_close(a, b)


@pytest.mark.parametrize("inplace_gradient", [False, True])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_fake_tensors_go_through_both_passes(
    reduction: Reduction, dtype: torch.dtype, inplace_gradient: bool
) -> None:
    with FakeTensorMode():
        leaf = torch.randn(6, 50).to(dtype).requires_grad_()
        logits, weight = leaf * 1, torch.rand(6).requires_grad_()
        loss = reweighted_cross_entropy(
            logits,
            torch.zeros(6).long(),
            weight,
            reduction=reduction,
            inplace_gradient=inplace_gradient,
        )
        assert loss.shape == ((6,) if reduction == "none" else ())
        assert loss.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
        loss.sum().backward()
        assert leaf.grad is not None
        assert (leaf.grad.shape, leaf.grad.dtype) == ((6, 50), dtype)
        assert weight.grad is not None


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
        reweighted_cross_entropy(**right | change)
