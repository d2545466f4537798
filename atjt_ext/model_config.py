"""Which recommender a run trains and how large it is: a dataclass per model, and their names."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, Literal

from .options import above_zero, at_least_zero, check_options, in_range, require, share, size, sizes

__all__ = [
    "MODELS",
    "MODEL_TRAINING",
    "DCNConfig",
    "DINConfig",
    "FEARecConfig",
    "GRU4RecConfig",
    "ModelConfig",
    "S3RecConfig",
    "SASRecConfig",
    "WideDeepConfig",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelConfig:
    """What every model has: the noise models beside it.

    Attributes:
        noise_model: ``target_attention``, the paper's, which judges whole sequences, or
            ``bidirectional``, which judges every item of them.
        noise_embedding_dim: width of a noise model's item table.
        noise_hidden_dims: widths of the hidden layers of ``target_attention``'s classifier.
        noise_num_blocks: transformer blocks of ``bidirectional``.
        noise_num_heads: attention heads of ``bidirectional``; must divide noise_embedding_dim.
    """

    noise_model: Literal["target_attention", "bidirectional"] = "target_attention"
    noise_embedding_dim: int = size(32)
    noise_hidden_dims: tuple[int, ...] = sizes(256, 64)
    noise_num_blocks: int = size(2)
    noise_num_heads: int = size(2)

    def __post_init__(self) -> None:
        check_options(self)
        if self.noise_model == "bidirectional":
            require(
                "noise_num_heads",
                self.noise_num_heads,
                f"a divisor of {self.noise_embedding_dim} (noise_embedding_dim)",
                self.noise_embedding_dim % self.noise_num_heads == 0,
            )

    @property
    def name(self) -> str:
        """The name of the model that this configures."""
        return next(name for name, config in MODELS.items() if config is type(self))

    def own_options(self) -> dict[str, Any]:
        """The options of the recommender itself, by name."""
        shared = {one.name for one in fields(ModelConfig)}
        return {one.name: getattr(self, one.name) for one in fields(self) if one.name not in shared}


@dataclass(frozen=True, slots=True, kw_only=True)
class SASRecConfig(ModelConfig):
    """Sizes of SASRec.

    Attributes:
        embedding_dim: width of the recommender.
        num_blocks: transformer blocks.
        num_heads: attention heads; must divide embedding_dim.
        dropout: of the recommender.
    """

    embedding_dim: int = size(64)
    num_blocks: int = size(2)
    num_heads: int = size(1)
    dropout: float = share(0.5)


@dataclass(frozen=True, slots=True, kw_only=True)
class S3RecConfig(ModelConfig):
    """Sizes and pre-training of S3-Rec.

    Attributes:
        embedding_dim: width of the recommender.
        num_blocks: transformer blocks.
        num_heads: attention heads; must divide embedding_dim.
        dropout: of the recommender.
        pretrain_epochs: passes over the training data before training; 0 makes it SASRec.
        pretrain_learning_rate: of Adam, before training.
        mask_ratio: share of the items masked in pre-training.
    """

    embedding_dim: int = size(64)
    num_blocks: int = size(2)
    num_heads: int = size(2)
    dropout: float = share(0.2)
    pretrain_epochs: int = at_least_zero(20)
    pretrain_learning_rate: float = above_zero(1e-3)
    mask_ratio: float = in_range(0.2, "in (0, 1)", lambda value: 0 < value < 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class FEARecConfig(ModelConfig):
    """Sizes of FEARec.

    Attributes:
        embedding_dim: width of the recommender.
        num_blocks: blocks.
        num_heads: heads of the time attention; must divide embedding_dim.
        dropout: of the recommender.
        band_share: share of the frequencies that a block sees.
        time_share: weight of the time attention; the frequency attention has the rest.
        delay_factor: the frequency attention takes delay_factor * ln(max_length) delays.
        contrast_weight: of the contrast between two dropout masks; 0 saves two passes of three.
    """

    embedding_dim: int = size(64)
    num_blocks: int = size(2)
    num_heads: int = size(2)
    dropout: float = share(0.5)
    band_share: float = in_range(0.6, "in (0, 1]", lambda value: 0 < value <= 1)
    time_share: float = in_range(0.1, "in [0, 1]", lambda value: 0 <= value <= 1)
    delay_factor: float = above_zero(1.0)
    contrast_weight: float = at_least_zero(0.1)


@dataclass(frozen=True, slots=True, kw_only=True)
class GRU4RecConfig(ModelConfig):
    """Sizes of GRU4Rec.

    Attributes:
        embedding_dim: width of the item table.
        hidden_dim: width of the recurrent state.
        num_layers: recurrent layers.
        dropout: of the recommender.
    """

    embedding_dim: int = size(64)
    hidden_dim: int = size(128)
    num_layers: int = size(1)
    dropout: float = share(0.3)


@dataclass(frozen=True, slots=True, kw_only=True)
class DINConfig(ModelConfig):
    """Sizes of DIN.

    Attributes:
        embedding_dim: width of each embedding.
        hidden_dims: widths of the MLP.
        attention_dims: widths of the activation unit.
        activation: of both.
        dropout: of the MLP.
        see_users: give the model an embedding of every user.
    """

    embedding_dim: int = size(32)
    hidden_dims: tuple[int, ...] = sizes(256, 64)
    attention_dims: tuple[int, ...] = sizes(32)
    activation: Literal["dice", "prelu", "relu"] = "dice"
    dropout: float = share(0.0)
    see_users: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class WideDeepConfig(ModelConfig):
    """Sizes of Wide & Deep.

    Attributes:
        embedding_dim: width of each embedding.
        hidden_dims: widths of the MLP.
        cross_buckets: weights that all pairs of a history's item and a candidate share; 0 for none.
        activation: of the MLP.
        dropout: of the MLP.
        see_users: give the model an embedding of every user.
    """

    embedding_dim: int = size(32)
    hidden_dims: tuple[int, ...] = sizes(256, 64)
    cross_buckets: int = at_least_zero(2**16)
    activation: Literal["dice", "prelu", "relu"] = "relu"
    dropout: float = share(0.0)
    see_users: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class DCNConfig(ModelConfig):
    """Sizes of DCN.

    Attributes:
        embedding_dim: width of each embedding.
        hidden_dims: widths of the MLP.
        num_cross_layers: layers of the cross network.
        cross_version: 1 (a vector per layer) or 2 (a matrix per layer, DCN V2).
        activation: of the MLP.
        dropout: of the MLP.
        see_users: give the model an embedding of every user.
    """

    embedding_dim: int = size(32)
    hidden_dims: tuple[int, ...] = sizes(256, 64)
    num_cross_layers: int = size(3)
    cross_version: Literal[1, 2] = 1
    activation: Literal["dice", "prelu", "relu"] = "relu"
    dropout: float = share(0.0)
    see_users: bool = True


MODELS: dict[str, type[ModelConfig]] = {
    "sasrec": SASRecConfig,
    "gru4rec": GRU4RecConfig,
    "fearec": FEARecConfig,
    "s3rec": S3RecConfig,
    "din": DINConfig,
    "wide_deep": WideDeepConfig,
    "dcn": DCNConfig,
}
"""The models by the name that the command line and a run's config give them."""

# A model that scores candidates one by one, or predicts from the last position only, has one target
# per window: a window per prefix makes every interaction one.
_POINTWISE = {"loss": "binary_cross_entropy", "window_stride": 1}
MODEL_TRAINING: dict[str, dict[str, Any]] = {
    "fearec": {"window_stride": 1},
    "din": _POINTWISE,
    "wide_deep": _POINTWISE,
    "dcn": _POINTWISE,
}
"""What a model changes in the default training; recipes and options go before it."""
