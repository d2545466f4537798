"""One small instance of every model, for the tests that all of them have to pass."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from atjt_ext.models import DCN, DIN, FEARec, GRU4Rec, S3Rec, SASRec, WideDeep

NUM_ITEMS, NUM_USERS, MAX_LENGTH = 20, 4, 12
FEATURES = torch.randint(0, 5, (NUM_ITEMS + 1, 2), generator=torch.Generator().manual_seed(5))
# Packing groups the rows of a matrix product otherwise: float32 rounding, nothing more.
CLOSE = {"rtol": 0.0, "atol": 1e-5}


def _transformer(model: Callable[..., nn.Module]) -> Callable[..., Any]:
    def make(num_items: int = NUM_ITEMS, **options: Any) -> nn.Module:
        sizes = {"max_length": MAX_LENGTH, "embedding_dim": 8, "num_blocks": 2, "num_heads": 2}
        return model(num_items, **{"dropout": 0.0, **sizes, **options})

    return make


def _gru(num_items: int = NUM_ITEMS, **options: Any) -> nn.Module:
    return GRU4Rec(num_items, **{"embedding_dim": 8, "hidden_dim": 16, "dropout": 0.0, **options})


def _pointwise(model: Callable[..., nn.Module]) -> Callable[..., Any]:
    def make(num_items: int = NUM_ITEMS, **options: Any) -> nn.Module:
        features = FEATURES if num_items == NUM_ITEMS else None
        sizes: dict[str, Any] = {"embedding_dim": 8, "hidden_dims": (16, 8)}
        sizes |= {"num_users": NUM_USERS, "item_features": features}
        return model(num_items, **{**sizes, **options})

    return make


SEQUENCE_MODELS: dict[str, Callable[..., Any]] = {
    "sasrec": _transformer(SASRec),
    "s3rec": _transformer(S3Rec),
    "fearec": _transformer(FEARec),
    "gru4rec": _gru,
}
POINTWISE_MODELS: dict[str, Callable[..., Any]] = {
    "din": _pointwise(DIN),
    "wide_deep": _pointwise(WideDeep),
    "dcn": _pointwise(DCN),
}
ALL_MODELS = {**SEQUENCE_MODELS, **POINTWISE_MODELS}


def shaken(name: str, *, seed: int = 0, **options: Any) -> Any:
    """The model with large weights, so that what must not matter would show."""
    torch.manual_seed(seed)
    model = ALL_MODELS[name](**options)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
        for module in model.modules():
            if isinstance(module, nn.Embedding) and module.padding_idx == 0:
                module.weight[0].zero_()
    return model


def gradients(model: nn.Module) -> Tensor:
    """All gradients of a model in one vector, zeros where there are none."""
    return torch.cat(
        [
            (torch.zeros_like(p) if p.grad is None else p.grad).detach().flatten()
            for p in model.parameters()
        ]
    )
