"""A small instance of every registered model, for the tests that all models have to pass."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from atjt_ext.models.options import ModelConfig
from atjt_ext.models.protocols import SequenceRecommender
from atjt_ext.models.registry import MODELS

NUM_ITEMS, NUM_USERS, MAX_LENGTH = 20, 4, 12
FEATURES = torch.randint(0, 5, (NUM_ITEMS + 1, 2), generator=torch.Generator().manual_seed(5))
# Packing groups the rows of a matrix product differently: float32 rounding, nothing more.
CLOSE = {"rtol": 0.0, "atol": 1e-5}


# Sizes of the small models; a model takes the sizes that its constructor has.
SMALL: dict[str, Any] = {"max_length": MAX_LENGTH, "embedding_dim": 8, "num_blocks": 2}
SMALL |= {"num_heads": 2, "hidden_dim": 16, "hidden_dims": (16, 8), "dropout": 0.0}


def class_of(config: type[ModelConfig]) -> type[nn.Module]:
    """The class of the model that a config builds."""
    return type(config().build(9, max_length=7, num_users=3))


def _small(model: type[nn.Module]) -> Callable[..., Any]:
    accepted = inspect.signature(model).parameters

    def make(num_items: int = NUM_ITEMS, **options: Any) -> nn.Module:
        features = FEATURES if num_items == NUM_ITEMS else None
        data = {"num_users": NUM_USERS, "item_features": features}
        sizes = {name: value for name, value in (SMALL | data).items() if name in accepted}
        return model(num_items, **{**sizes, **options})

    return make


ALL_MODELS = {name: _small(class_of(MODELS[name])) for name in MODELS}
SEQUENCE_MODELS = {
    name: make for name, make in ALL_MODELS.items() if isinstance(make(), SequenceRecommender)
}
POINTWISE_MODELS = {name: make for name, make in ALL_MODELS.items() if name not in SEQUENCE_MODELS}


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
