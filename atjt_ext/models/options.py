"""Options with ranges: what a config's dataclass says of its fields, and how they are checked.

A field says its range in its metadata; a ``Literal`` says its choices in its type.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import Field, dataclass, field, fields
from typing import Any, ClassVar, Literal, Protocol, get_args, get_origin, get_type_hints

__all__ = [
    "ModelConfig",
    "above_zero",
    "at_least_zero",
    "check_options",
    "in_range",
    "require",
    "share",
    "size",
    "sizes",
]


class _Dataclass(Protocol):
    __dataclass_fields__: ClassVar[dict[str, Field[Any]]]


def require(name: str, value: float, wanted: str, holds: bool) -> None:
    """Raises ValueError unless ``holds``."""
    if not holds:
        raise ValueError(f"{name} must be {wanted}, got {value}")


def _require_choices(config: object) -> None:
    """Raises ValueError where a ``Literal`` field, or an optional one, holds something else."""
    for name, hint in get_type_hints(type(config)).items():
        value = getattr(config, name)
        allowed = [one for one in (hint, *get_args(hint)) if get_origin(one) is Literal]
        if not allowed or (value is None and allowed[0] is not hint):
            continue
        if value not in (choices := get_args(allowed[0])):
            raise ValueError(f"{name} must be one of {', '.join(map(str, choices))}, got {value!r}")


def in_range(default: Any, wanted: str, holds: Callable[[Any], bool]) -> Any:
    """A field with a range; of a tuple every member must be in it."""
    return field(default=default, metadata={"wanted": wanted, "holds": holds})


def size(default: int | None) -> Any:
    return in_range(default, "at least 1", lambda value: value >= 1)


def sizes(*default: int) -> Any:
    return in_range(default, "at least 1 each", lambda value: value >= 1)


def share(default: float) -> Any:
    return in_range(default, "in [0, 1)", lambda value: 0 <= value < 1)


def at_least_zero(default: float) -> Any:
    return in_range(default, "at least 0", lambda value: value >= 0)


def above_zero(default: float | None) -> Any:
    return in_range(default, "above 0", lambda value: value > 0)


def check_options(config: _Dataclass) -> None:
    """Raises ValueError for the first field of a dataclass that is out of its range or choices.

    None is in every range: a field that must not be None says so in its type.
    """
    _require_choices(config)
    for one in fields(config):
        value = getattr(config, one.name)
        for member in value if isinstance(value, tuple) else (value,):
            if "holds" in one.metadata and member is not None:
                require(one.name, member, one.metadata["wanted"], one.metadata["holds"](member))


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
        from .registry import MODELS

        return next(name for name, config in MODELS.items() if config is type(self))

    def own_options(self) -> dict[str, Any]:
        """The options of the recommender itself, by name."""
        shared = {one.name for one in fields(ModelConfig)}
        return {one.name: getattr(self, one.name) for one in fields(self) if one.name not in shared}
