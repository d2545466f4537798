"""Public implementations of a linear layer with cross-entropy, each as ``[N]`` losses.

No peer takes weights per row, so the caller computes the weighted mean. With ``reduction="none"``
some peers compute the logits a second time in the backward pass.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from functools import partial
from importlib import util
from inspect import signature

import torch
import torch.nn.functional as F
from torch import Tensor

from question import CCE, CCE_UNFILTERED, LIGER, LIGER_TUNED, TORCH_CHUNKED

Losses = Callable[[Tensor, Tensor, Tensor], Tensor]

# Chunks of rows that the tuned Liger tries. Liger's own rule gives 1 to 32 rows for a large
# catalogue and a small width, and reads the whole table for each chunk.
_LIGER_ROWS = (512, 2048, 8192)


def peers(device: str) -> dict[str, Losses | str]:
    """Peers by name. A string is the reason why a peer is left out."""
    return {
        TORCH_CHUNKED: _torch_chunked(),
        **_liger(device),
        **_cut_cross_entropy(device),
    }


def _torch_chunked() -> Losses | str:
    if not hasattr(F, "linear_cross_entropy"):
        return f"torch {torch.__version__} has no linear_cross_entropy"
    options = torch.nn.LinearCrossEntropyOptions()
    return partial(F.linear_cross_entropy, reduction="none", ignore_index=-100, options=options)


def _liger(device: str) -> dict[str, Losses | str]:
    reason = _unusable("liger_kernel", "liger-kernel", device)
    if reason is not None:
        return {LIGER: reason, LIGER_TUNED: reason}
    from liger_kernel.transformers.functional import liger_fused_linear_cross_entropy

    losses = partial(liger_fused_linear_cross_entropy, reduction="none", ignore_index=-100)
    if "chunk_mem_const" not in signature(liger_fused_linear_cross_entropy).parameters:
        return {LIGER: losses, LIGER_TUNED: "this liger-kernel has no chunk_mem_const"}

    def in_chunks(rows: int, hidden: Tensor, table: Tensor, targets: Tensor) -> Tensor:
        # Liger's chunk has N * D * constant / V rows, rounded up to a power of two.
        constant = rows * table.shape[0] // hidden.numel()
        return losses(hidden, table, targets, chunk_mem_const=max(1, constant))

    return {LIGER: losses, LIGER_TUNED: _Fastest([partial(in_chunks, n) for n in _LIGER_ROWS])}


class _Fastest:
    """The fastest of several peers. The first call, which is not timed, finds it."""

    def __init__(self, choices: list[Losses]) -> None:
        self._choices = choices

    def __call__(self, hidden: Tensor, table: Tensor, targets: Tensor) -> Tensor:
        if len(self._choices) > 1:
            seconds = [_seconds(choice, hidden, table, targets) for choice in self._choices]
            self._choices = [self._choices[seconds.index(min(seconds))]]
        return self._choices[0](hidden, table, targets)


def _seconds(losses: Losses, hidden: Tensor, table: Tensor, targets: Tensor) -> float:
    """Seconds of a second call, forward and backward; infinite without enough memory."""
    seconds = math.inf
    try:
        for _ in range(2):
            torch.cuda.synchronize()
            start = time.perf_counter()
            torch.autograd.grad(losses(hidden, table, targets).sum(), (hidden, table))
            torch.cuda.synchronize()
            seconds = time.perf_counter() - start
    except torch.OutOfMemoryError:
        torch.cuda.empty_cache()
    return seconds


def _cut_cross_entropy(device: str) -> dict[str, Losses | str]:
    names = (CCE, CCE_UNFILTERED)
    reason = _unusable("cut_cross_entropy", "cut-cross-entropy", device)
    if reason is not None:
        return dict.fromkeys(names, reason)
    from cut_cross_entropy import linear_cross_entropy

    losses = partial(linear_cross_entropy, reduction="none", ignore_index=-100)
    return {CCE: losses, CCE_UNFILTERED: partial(losses, filter_eps=None)}


def _unusable(module: str, package: str, device: str) -> str | None:
    if util.find_spec(module) is None:
        return f"{package} is not installed"
    return None if device == "cuda" else f"{package} needs a GPU"
