"""Options of configs: ranges, choices, and when an option has an effect. Imports no torch.

A config is a dataclass. A field's metadata holds the range and the effect of an option; a
``Literal`` type holds its choices.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields
from types import UnionType
from typing import (
    TYPE_CHECKING,
    Any,
    ClassVar,
    Literal,
    Union,
    get_args,
    get_origin,
    get_type_hints,
)

if TYPE_CHECKING:
    from _typeshed import DataclassInstance
    from torch import Tensor, nn

__all__ = [
    "Activation",
    "Effect",
    "ModelConfig",
    "PointwiseConfig",
    "TransformerConfig",
    "above_zero",
    "at_least_zero",
    "between_0_and_1",
    "check_options",
    "fits",
    "from_0_to_1",
    "in_range",
    "only_under",
    "option",
    "part",
    "refuse_without_effect",
    "require",
    "require_fields",
    "require_heads",
    "require_known",
    "require_length",
    "require_positive",
    "require_row_per_item",
    "share",
    "size",
    "sizes",
    "with_effect",
]

Activation = Literal["relu", "prelu", "dice"]

# ---- fields -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Effect:
    """When an option has an effect.

    Attributes:
        needs: the condition, as an error message shows it.
        holds: the condition, given the values of all options of the config.
        decided_by: the options that the condition reads.
    """

    needs: str
    holds: Callable[[Mapping[str, Any]], bool]
    decided_by: tuple[str, ...]


def only_under(name: str, *values: Any) -> Effect:
    """An effect only where the option ``name`` has one of ``values``."""
    needs = f"{name}={' or '.join(map(str, values))}"
    return Effect(needs, lambda options: options[name] in values, (name,))


def option(default: Any, only: Effect | None = None, **metadata: Any) -> Any:
    """A field whose option has an effect ``only`` under a condition."""
    return field(default=default, metadata={"only": only, **metadata})


def in_range(
    default: Any, wanted: str, holds: Callable[[Any], bool], only: Effect | None = None
) -> Any:
    """A field with a range; every member of a tuple must be in it."""
    return option(default, only, wanted=wanted, holds=holds)


def _range(wanted: str, holds: Callable[[Any], bool]) -> Callable[..., Any]:
    def declare(default: Any, only: Effect | None = None) -> Any:
        return in_range(default, wanted, holds, only)

    return declare


size = _range("at least 1", lambda value: value >= 1)
share = _range("in [0, 1)", lambda value: 0 <= value < 1)
part = _range("in (0, 1]", lambda value: 0 < value <= 1)
from_0_to_1 = _range("in [0, 1]", lambda value: 0 <= value <= 1)
between_0_and_1 = _range("in (0, 1)", lambda value: 0 < value < 1)
at_least_zero = _range("at least 0", lambda value: value >= 0)
above_zero = _range("above 0", lambda value: value > 0)


def sizes(*default: int) -> Any:
    return size(default)


# ---- checks of a whole config -------------------------------------------------------------------


def check_options(config: DataclassInstance) -> None:
    """Raises ValueError for an option out of its range or choices, or one that differs from its
    default although it has no effect. None passes every range check."""
    _require_choices(config)
    for one in fields(config):
        value = getattr(config, one.name)
        for member in value if isinstance(value, tuple | list) else (value,):
            if "holds" in one.metadata and member is not None:
                require(one.name, member, one.metadata["wanted"], one.metadata["holds"](member))
    options = asdict(config)
    for name, only in _without_effect(type(config), options).items():
        refuse_without_effect(name, options[name], only, options)


def refuse_without_effect(
    name: str, value: object, only: Effect, options: Mapping[str, Any]
) -> None:
    """Raises ValueError: ``name`` has no effect with these ``options``."""
    found = ", ".join(f"{one}={options[one]}" for one in only.decided_by)
    raise ValueError(f"{name}={value} has an effect only under {only.needs}, got {found}")


def with_effect(
    config: type[DataclassInstance], options: Mapping[str, Any], keep: Collection[str] = ()
) -> dict[str, Any]:
    """``options`` without those that have no effect, given the others and the defaults.

    Names in ``keep`` stay in any case, for the config to refuse.
    """
    left = dict(options)
    # Dropping an option can take the effect from another one.
    while dropped := _without_effect(config, left).keys() - set(keep):
        left = {name: value for name, value in left.items() if name not in dropped}
    return left


def _without_effect(
    config: type[DataclassInstance], options: Mapping[str, Any]
) -> dict[str, Effect]:
    """The options that differ from their defaults although they have no effect."""
    values = {one.name: options.get(one.name, one.default) for one in fields(config)}
    return {
        one.name: only
        for one in fields(config)
        if (only := one.metadata.get("only")) and values[one.name] != one.default
        if not only.holds(values)
    }


def _require_choices(config: object) -> None:
    """Raises ValueError for a ``Literal`` field (or an optional one) with another value."""
    for name, hint in get_type_hints(type(config)).items():
        value = getattr(config, name)
        allowed = [one for one in (hint, *get_args(hint)) if get_origin(one) is Literal]
        if allowed and (value is not None or allowed[0] is hint):
            require_known(name, value, get_args(allowed[0]))


# ---- checks of values from files ----------------------------------------------------------------


def require_fields(kind: type[DataclassInstance], values: object) -> None:
    """Raises TypeError unless ``values`` is a mapping from names of fields of ``kind`` to values of
    their types. Lists pass for tuples, integers for floats; ``Literal`` is left to the config."""
    if not isinstance(values, Mapping):
        raise TypeError(f"an object with options wanted, got {type(values).__name__}")
    hints, names = get_type_hints(kind), {one.name for one in fields(kind)}
    for name, value in values.items():
        if name not in names:
            raise TypeError(f"there is no option {name!r}")
        hint = hints[name]
        if not fits(value, hint):
            wanted = hint.__name__ if isinstance(hint, type) and not get_args(hint) else hint
            raise TypeError(f"{name} must be {wanted}, got {value!r:.60}")


def fits(value: object, hint: Any) -> bool:
    """Whether a value from a file has the type ``hint``; NaN and infinity are no floats."""
    kind, inner = get_origin(hint), get_args(hint)
    if kind in (Union, UnionType):
        return any(fits(value, one) for one in inner)
    if kind is Literal:
        return True
    if kind is tuple:
        return isinstance(value, tuple | list) and all(fits(one, inner[0]) for one in value)
    if kind is dict:
        return isinstance(value, dict) and all(
            fits(name, inner[0]) and fits(one, inner[1]) for name, one in value.items()
        )
    if hint is float:
        return fits(value, int) or (isinstance(value, float) and math.isfinite(value))
    return isinstance(value, hint) and (hint is bool or not isinstance(value, bool))


# ---- checks of single arguments -----------------------------------------------------------------


def require(name: str, value: object, wanted: str, holds: bool) -> None:
    """Raises ValueError unless ``holds``."""
    if not holds:
        raise ValueError(f"{name} must be {wanted}, got {value}")


def require_known(name: str, value: object, known: Iterable[object]) -> None:
    """Raises ValueError unless ``value`` is one of ``known``."""
    known = tuple(known)
    if value not in known:
        raise ValueError(f"{name} must be one of {', '.join(map(str, known))}, got {value!r}")


def require_positive(**sizes: int) -> None:
    """Raises ValueError for a size below 1."""
    for name, value in sizes.items():
        require(name, value, "at least 1", value >= 1)


def require_heads(embedding_dim: int, num_heads: int) -> None:
    """Raises ValueError unless ``num_heads`` divides ``embedding_dim``."""
    if embedding_dim < 1 or num_heads < 1 or embedding_dim % num_heads:
        raise ValueError(
            f"num_heads must divide embedding_dim, got num_heads={num_heads}, "
            f"embedding_dim={embedding_dim}"
        )


def require_length(length: int, max_length: int) -> None:
    """Raises ValueError for sequences longer than a model reads."""
    if length > max_length:
        raise ValueError(f"sequences have length {length}, at most max_length={max_length}")


def require_row_per_item(name: str, table: Tensor, num_items: int, columns: str) -> None:
    """Raises ValueError unless ``table`` is a matrix with ``num_items + 1`` rows."""
    if table.dim() != 2 or len(table) != num_items + 1:
        wanted = f"[num_items + 1, {columns}] = [{num_items + 1}, {columns}]"
        raise ValueError(f"{name} must be {wanted}, got {list(table.shape)}")


# ---- configs of models --------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """Options of a model, and how to build the model from them; stands in the model's file.

    It has no slots, so its class attributes are the defaults, also of the model's constructor.
    """

    training: ClassVar[Mapping[str, Any]] = {}
    """Defaults of :class:`~atjt_ext.JointTrainerConfig` for this model; recipes override them."""

    def __post_init__(self) -> None:
        check_options(self)

    @classmethod
    def check(cls, arguments: Mapping[str, Any]) -> None:
        """Raises ValueError for an option among a constructor's ``arguments`` out of its range."""
        cls(**{one.name: arguments[one.name] for one in fields(cls) if one.name in arguments})

    @property
    def name(self) -> str:
        """The model's name on the command line: that of its file."""
        return type(self).__module__.rpartition(".")[2]

    def options(self, prefix: str = "") -> dict[str, Any]:
        """Values by field name, without the ``prefix`` of the names."""
        return {name.removeprefix(prefix): value for name, value in asdict(self).items()}

    def build(
        self,
        num_items: int,
        *,
        max_length: int,
        num_users: int | None = None,
        item_features: Tensor | None = None,
    ) -> nn.Module:
        """A new model, initialised from torch's random stream; a model ignores what it cannot use.

        Args:
            num_items: catalogue size.
            max_length: longest history that the model reads.
            num_users: number of users.
            item_features: ``[num_items + 1, F]`` int64 (:func:`atjt_ext.data.item_feature_table`).

        Raises:
            ValueError: sizes do not fit together, or the model needs ``num_users``.
        """
        raise NotImplementedError

    def pretraining(self) -> dict[str, Any]:
        """Arguments for :meth:`~atjt_ext.models.protocols.Pretrainable.pretrain`."""
        return {}


@dataclass(frozen=True, kw_only=True)
class TransformerConfig(ModelConfig):
    """Sizes of a transformer.

    Attributes:
        embedding_dim: width D of the item table and of the hidden states.
        num_blocks: transformer blocks.
        num_heads: attention heads; must divide embedding_dim.
        dropout: on embeddings and on both residual branches of a block, in [0, 1).
    """

    embedding_dim: int = size(64)
    num_blocks: int = size(2)
    num_heads: int = size(2)
    dropout: float = share(0.5)


@dataclass(frozen=True, kw_only=True)
class PointwiseConfig(ModelConfig):
    """Sizes of a model that scores a candidate together with a history.

    Attributes:
        embedding_dim: width of each embedding (arXiv:2409.17402: 8).
        hidden_dims: widths of the MLP (arXiv:2409.17402: 256, 64).
        activation: of hidden layers; dice is DIN's.
        dropout: in the MLP, in [0, 1).
        see_users: the model has an embedding of every user.
    """

    # These models have one target per window. A window per prefix makes every interaction a target.
    training: ClassVar[Mapping[str, Any]] = {"loss": "binary_cross_entropy", "window_stride": 1}

    embedding_dim: int = size(32)
    hidden_dims: tuple[int, ...] = sizes(256, 64)
    activation: Activation = "relu"
    dropout: float = share(0.0)
    see_users: bool = True

    def arguments(
        self, *, num_users: int | None = None, item_features: Tensor | None = None, **_: Any
    ) -> dict[str, Any]:
        """Arguments of the model, from the options and from its data."""
        arguments = {**self.options(), "item_features": item_features}
        if arguments.pop("see_users"):
            if num_users is None:
                raise ValueError("num_users must be given where see_users is on")
            arguments["num_users"] = num_users
        return arguments
