"""``repr`` and equality of frozen dataclasses that hold tensors."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from torch import Tensor


class HoldsTensors:
    """Base of dataclasses with ``eq=False, repr=False``.

    ``repr`` shows the dtype and shape of a tensor. A tensor equals itself only: comparing values
    would wait for the device.
    """

    __slots__ = ()

    def _values(self) -> dict[str, Any]:
        return {field.name: getattr(self, field.name) for field in fields(self)}  # type: ignore[arg-type]

    def __repr__(self) -> str:
        values = ", ".join(f"{name}={_shown(value)}" for name, value in self._values().items())
        return f"{type(self).__name__}({values})"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, HoldsTensors) or type(other) is not type(self):
            return NotImplemented
        return bool(_by_identity(self) == _by_identity(other))

    def __hash__(self) -> int:
        return hash((type(self), _by_identity(self)))


def _by_identity(value: Any) -> Any:
    if isinstance(value, HoldsTensors):
        value = tuple(value._values().values())
    if isinstance(value, tuple):
        return tuple(map(_by_identity, value))
    return ("tensor", id(value)) if isinstance(value, Tensor) else value


def _shown(value: Any) -> str:
    if isinstance(value, tuple):
        return f"({', '.join(map(_shown, value))}{',' if len(value) == 1 else ''})"
    if isinstance(value, Tensor):
        return f"<{str(value.dtype).removeprefix('torch.')} {list(value.shape)}>"
    return repr(value)
