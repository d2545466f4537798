"""Drop-in loss modules with one weight per example, over logits, a catalogue or sampled items.

Each module holds the options of a function of :mod:`atjt_ext.ops`, which documents the options,
gradients, dtypes, memory, edge cases and errors. Without ``sample_weight`` all weights are 1. All
have ``reduction="weighted_mean"`` by default: ``sum(w * l) / sum(w)``, the paper's normaliser.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import torch
from torch import Tensor, nn

from . import (
    Reduction,
    gbce_beta,
    linear_reweighted_cross_entropy,
    reweighted_binary_cross_entropy,
    reweighted_cross_entropy,
    sampled_binary_cross_entropy,
    sampled_cross_entropy,
)
from ._checks import (
    check_beta,
    check_label_smoothing,
    check_reduction,
    check_temperature,
    check_z_loss,
)

__all__ = [
    "LinearReweightedCrossEntropyLoss",
    "ReweightedBinaryCrossEntropyLoss",
    "ReweightedCrossEntropyLoss",
    "SampledBinaryCrossEntropyLoss",
    "SampledCrossEntropyLoss",
]


class _Loss(nn.Module):
    """Options of a function as checked attributes, shown by ``repr``."""

    def __new__(cls, *_: Any, **__: Any) -> Any:
        module = super().__new__(cls)
        nn.Module.__init__(module)  # the __init__ of a dataclass does not call it
        return module

    def __post_init__(self) -> None:
        self._names = tuple(field.name for field in fields(self))  # type: ignore[arg-type]
        options = self.options()
        check_reduction(options["reduction"])
        check_label_smoothing(options.get("label_smoothing", 0.0))
        check_z_loss(options.get("z_loss", 0.0))
        check_beta(options.get("beta", 1.0))

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "temperature":  # here, because nn.Module would refuse a parameter without reason
            check_temperature(value, torch.float64)
        super().__setattr__(name, value)

    def options(self) -> dict[str, Any]:
        """The options now, as keyword arguments of the function."""
        return {name: getattr(self, name) for name in self._names}

    def extra_repr(self) -> str:
        return ", ".join(f"{name}={value!r}" for name, value in self.options().items())


@dataclass(kw_only=True, eq=False, repr=False)
class ReweightedCrossEntropyLoss(_Loss):
    """Softmax cross-entropy with one weight per example; replaces ``nn.CrossEntropyLoss``.

    :func:`atjt_ext.ops.reweighted_cross_entropy` of logits ``[N, V]``, targets ``[N]`` and
    sample_weight ``[N]``: a scalar, or ``[N]`` for ``reduction="none"``.
    """

    ignore_index: int = -100
    label_smoothing: float = 0.0
    reduction: Reduction = "weighted_mean"
    inplace_gradient: bool = False

    def forward(
        self, logits: Tensor, targets: Tensor, sample_weight: Tensor | None = None
    ) -> Tensor:
        return reweighted_cross_entropy(logits, targets, sample_weight, **self.options())


@dataclass(kw_only=True, eq=False, repr=False)
class ReweightedBinaryCrossEntropyLoss(_Loss):
    """Sigmoid cross-entropy with one weight per example; replaces ``nn.BCEWithLogitsLoss``.

    :func:`atjt_ext.ops.reweighted_binary_cross_entropy` of logits ``[N]`` or ``[N, C]``, e.g. of a
    positive and a negative item per row, targets of the same shape, and sample_weight ``[N]``: a
    scalar, or the shape of the logits for ``reduction="none"``.
    """

    label_smoothing: float = 0.0
    reduction: Reduction = "weighted_mean"
    inplace_gradient: bool = False

    def forward(
        self, logits: Tensor, targets: Tensor, sample_weight: Tensor | None = None
    ) -> Tensor:
        return reweighted_binary_cross_entropy(logits, targets, sample_weight, **self.options())


@dataclass(kw_only=True, eq=False, repr=False)
class LinearReweightedCrossEntropyLoss(_Loss):
    """Softmax cross-entropy over a whole catalogue, with one weight per example and without stored
    logits; replaces a product with the item table and ``nn.CrossEntropyLoss``.

    :func:`atjt_ext.ops.linear_reweighted_cross_entropy` of hidden ``[..., D]``, item_embeddings
    ``[V, D]``, targets ``[...]``, sample_weight ``[...]`` and bias ``[V]``: a scalar, or ``[...]``
    for ``reduction="none"``.
    """

    temperature: float = 1.0
    label_smoothing: float = 0.0
    z_loss: float = 0.0
    ignore_index: int = -100
    reduction: Reduction = "weighted_mean"

    def forward(
        self,
        hidden: Tensor,
        item_embeddings: Tensor,
        targets: Tensor,
        sample_weight: Tensor | None = None,
        bias: Tensor | None = None,
    ) -> Tensor:
        loss: Tensor = linear_reweighted_cross_entropy(
            hidden, item_embeddings, targets, sample_weight, bias=bias, **self.options()
        )
        return loss


@dataclass(kw_only=True, eq=False, repr=False)
class SampledCrossEntropyLoss(_Loss):
    """Softmax cross-entropy over the target and sampled negatives, with one weight per example.

    :func:`atjt_ext.ops.sampled_cross_entropy` of hidden ``[N, D]``, item_embeddings ``[V, D]``,
    targets ``[N]``, negatives ``[N, k]``, or ``[k]`` for all rows, sample_weight ``[N]`` and
    negative_log_probs: a scalar, or ``[N]`` for ``reduction="none"``.
    """

    mask_accidental_hits: bool = True
    temperature: float = 1.0
    ignore_index: int = -100
    reduction: Reduction = "weighted_mean"
    sparse_gradient: bool = False

    def forward(
        self,
        hidden: Tensor,
        item_embeddings: Tensor,
        targets: Tensor,
        negatives: Tensor,
        sample_weight: Tensor | None = None,
        *,
        negative_log_probs: Tensor | float | None = None,
    ) -> Tensor:
        return sampled_cross_entropy(
            hidden,
            item_embeddings,
            targets,
            negatives,
            sample_weight,
            negative_log_probs=negative_log_probs,
            **self.options(),
        )


@dataclass(kw_only=True, eq=False, repr=False)
class SampledBinaryCrossEntropyLoss(_Loss):
    """Binary cross-entropy over the target and sampled negatives, with one weight per example.

    :func:`atjt_ext.ops.sampled_binary_cross_entropy`, with shapes as in
    :class:`SampledCrossEntropyLoss`.

    Args:
        beta: power of the positive probability: 1 (default) is BCE, a smaller one gBCE.
        t: instead of ``beta``: how far gBCE calibrates, in ``[0, 1]``. ``t``, ``num_items`` and the
            number of negatives give ``beta`` (:func:`atjt_ext.ops.gbce_beta`, arXiv:2308.07192).
        num_items: size of the catalogue without padding; for ``t``.
    """

    beta: float = 1.0
    t: float | None = None
    num_items: int | None = None
    mask_accidental_hits: bool = True
    temperature: float = 1.0
    ignore_index: int = -100
    reduction: Reduction = "weighted_mean"
    sparse_gradient: bool = False

    def __post_init__(self) -> None:
        beta, t, num_items = self.beta, self.t, self.num_items
        if (t is None) != (num_items is None):
            raise ValueError(f"t and num_items go together, got t={t}, num_items={num_items}")
        if t is not None and beta != 1.0:
            raise ValueError(f"at most one of beta and t may be given, got beta={beta}, t={t}")
        if t is not None and not 0 <= t <= 1:
            raise ValueError(f"t must be in [0, 1], got {t}")
        super().__post_init__()
        unused = ("t", "num_items") if t is None else ("beta",)
        self._names = tuple(name for name in self._names if name not in unused)

    def forward(
        self,
        hidden: Tensor,
        item_embeddings: Tensor,
        targets: Tensor,
        negatives: Tensor,
        sample_weight: Tensor | None = None,
    ) -> Tensor:
        options = self.options()
        if "t" in options:
            t, num_items = options.pop("t"), options.pop("num_items")
            options["beta"] = gbce_beta(t, negatives.shape[-1], num_items)
        return sampled_binary_cross_entropy(
            hidden, item_embeddings, targets, negatives, sample_weight, **options
        )
