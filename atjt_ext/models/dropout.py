"""Dropout whose masks depend on the row, the position and the step, not on the batch.

A model takes a :class:`DropoutKey` as ``encode(sequences, dropout_key=None)`` and gives it to its
:class:`Dropout` layers. Without a key, as in a training loop of your own, the layers draw from
torch's generator.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from torch import Tensor, nn
from torch.nn import functional as F

from ..ops.keyed_dropout import keyed_dropout

__all__ = ["Dropout", "DropoutKey", "TokenKeys", "number_places"]

_PLACES_PER_PASS = 2**16


@dataclass(frozen=True, eq=False, slots=True)
class DropoutKey:
    """What decides the dropout masks of a batch.

    Attributes:
        row_keys: ``[B]`` int64, a key per row; a row has the same masks in any batch.
        seed: in ``[0, 2**64)``.
        step: in ``[0, 2**32)``, or a 0-d int64 tensor (:func:`atjt_ext.ops.keyed_dropout`).
        number_of_pass: tells apart the passes of a model that encodes a batch several times.
    """

    row_keys: Tensor
    seed: int
    step: int | Tensor
    number_of_pass: int = 0

    def in_pass(self, number: int) -> DropoutKey:
        """The key of another pass over the same rows, with other masks."""
        return replace(self, number_of_pass=number)

    def of_tokens(self, rows: Tensor, positions: Tensor) -> TokenKeys:
        """The keys of tokens ``[T]`` by the rows of the batch and their distances from its end."""
        first_place = self.number_of_pass * _PLACES_PER_PASS
        return TokenKeys(self.row_keys[rows], positions, self.seed, self.step, first_place)


@dataclass(frozen=True, eq=False, slots=True)
class TokenKeys:
    """What decides the dropout masks of T tokens; made by :meth:`DropoutKey.of_tokens`."""

    row_keys: Tensor
    positions: Tensor
    seed: int
    step: int | Tensor
    first_place: int


class Dropout(nn.Module):
    """Dropout of ``[T, D]`` tokens in training: each number is 0 with probability ``p``.

    Attributes:
        p: in [0, 1).
        place: tells the layers of a model apart (:func:`number_places`).
    """

    def __init__(self, p: float) -> None:
        super().__init__()
        self.p = p
        self.place = 0

    def forward(self, tokens: Tensor, keys: TokenKeys | None) -> Tensor:
        """``[T, D]`` -> ``[T, D]``; without ``keys`` by torch's generator."""
        if not self.training or not self.p:
            return tokens
        if keys is None:
            return F.dropout(tokens, self.p)
        return keyed_dropout(
            tokens,
            self.p,
            keys.row_keys,
            keys.positions,
            layer=keys.first_place + self.place,
            seed=keys.seed,
            step=keys.step,
        )

    def extra_repr(self) -> str:
        return f"p={self.p}"


def number_places(model: nn.Module) -> None:
    """Gives every :class:`Dropout` of ``model`` its own place, in the order of its modules."""
    layers = [module for module in model.modules() if isinstance(module, Dropout)]
    for place, layer in enumerate(layers):
        layer.place = place
