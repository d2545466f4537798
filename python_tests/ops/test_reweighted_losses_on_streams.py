"""The losses with CUDA streams: the host does not wait, and CUDA graphs replay."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from atjt_ext.ops import Reduction
from atjt_ext.ops import reweighted_binary_cross_entropy as binary_loss
from atjt_ext.ops import reweighted_cross_entropy as cross_entropy
from helpers.operators import assert_all_equal, no_waiting
from helpers.weighted_rows import REDUCTIONS, example

pytestmark = [pytest.mark.cuda, pytest.mark.usefixtures("cuda_kernels")]


def arguments(loss: Any, dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor]:
    logits, targets, weight = example(40, 3001, torch.device("cuda"), dtype=dtype)
    if loss is binary_loss:
        targets = logits > 1
    return logits.to(dtype), targets, weight.float()


def step(
    loss: Any, leaf: Tensor, targets: Tensor, weight: Tensor, **options: Any
) -> tuple[Tensor, Tensor, Tensor]:
    """Forward and backward pass."""
    value = loss(leaf * 1, targets, weight, label_smoothing=0.1, **options)
    return value.detach(), *torch.autograd.grad(value.sum(), (leaf, weight))


@pytest.mark.parametrize("inplace_gradient", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("loss", [cross_entropy, binary_loss])
def test_the_host_waits_for_nothing(
    loss: Any, reduction: Reduction, dtype: torch.dtype, inplace_gradient: bool
) -> None:
    logits, targets, weight = arguments(loss, dtype)
    leaf, weight = logits.requires_grad_(), weight.requires_grad_()
    options: Any = {"reduction": reduction, "inplace_gradient": inplace_gradient}
    step(loss, leaf, targets, weight, **options)  # the first call may set things up
    with no_waiting():
        step(loss, leaf, targets, weight, **options)


@pytest.mark.parametrize("inplace_gradient", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
@pytest.mark.parametrize("loss", [cross_entropy, binary_loss])
def test_a_replayed_cuda_graph_computes_anew(
    loss: Any, dtype: torch.dtype, inplace_gradient: bool
) -> None:
    logits, targets, weight = arguments(loss, dtype)
    leaf, leaf_weight = logits.clone().requires_grad_(), weight.clone().requires_grad_()
    options: Any = {"reduction": "weighted_mean", "inplace_gradient": inplace_gradient}
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):  # autograd and allocator need a warm-up on another stream than 0
        for _ in range(3):
            step(loss, leaf, targets, leaf_weight, **options)
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        captured = step(loss, leaf, targets, leaf_weight, **options)
    for factor in (1.0, 0.5):
        with torch.no_grad():
            leaf.copy_(logits * factor)
            leaf_weight.copy_(weight.flip(0) * factor)
        graph.replay()
        assert_all_equal(captured, step(loss, leaf, targets, leaf_weight, **options))
