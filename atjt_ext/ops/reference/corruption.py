"""Random numbers by key and random replacement, in plain torch."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

_LOW = 0xFFFFFFFF  # the low 32 bits
_ROW, _POSITION, _ITEM, _EXACT_ITEM = 0, 1, 2, 3  # purposes of draws


def _multiply(a: Tensor, b: int) -> tuple[Tensor, Tensor]:
    """High and low 32 bits of the product of 32-bit words; int64 cannot hold the product."""
    upper = a * (b >> 16)
    lower = a * (b & 0xFFFF)
    middle = (upper & 0xFFFF) * 65536 + lower  # < 2**49
    return (upper >> 16) + (middle >> 32), middle & _LOW


def philox4x32_10(counter: Tensor, key: tuple[int, int]) -> Tensor:
    """Philox4x32-10 (Salmon et al., SC'11): counters ``[..., 4]`` to random words ``[..., 4]``, all
    32-bit numbers in int64."""
    x, y, z, w = counter.unbind(-1)
    key_x, key_y = key
    for _ in range(10):
        high_x, low_x = _multiply(x, 0xD2511F53)
        high_z, low_z = _multiply(z, 0xCD9E8D57)
        x, y, z, w = high_z ^ y ^ key_x, low_z, high_x ^ w ^ key_y, low_x
        key_x, key_y = (key_x + 0x9E3779B9) & _LOW, (key_y + 0xBB67AE85) & _LOW
    return torch.stack([x, y, z, w], dim=-1)


def _draws(row_keys: Tensor, purpose: int, index: Tensor, seed: int, step: int) -> Tensor:
    """``[B, n, 4]`` words for ``row_keys [B]`` and ``index [n]``."""
    shape = (len(row_keys), len(index))
    counter = torch.stack(
        [
            (row_keys & _LOW)[:, None].expand(shape),
            (row_keys >> 32 & _LOW)[:, None].expand(shape),
            (index | purpose << 28).expand(shape),
            torch.full(shape, step),
        ],
        dim=-1,
    )
    return philox4x32_10(counter, (seed & _LOW, seed >> 32))


def keyed_draws(row_keys: Tensor, length: int, *, purpose: int, seed: int, step: int = 0) -> Tensor:
    """The definition of :func:`atjt_ext.ops.keyed_draws`, to the bit."""
    first = 2**28 - length
    groups = torch.arange(first // 2, 2**27)
    words = _draws(row_keys, purpose, groups, seed, step)
    low, high = words[..., 0::2], words[..., 1::2]
    signed_high = torch.where(high < 2**31, high, high - 2**32)
    return (signed_high * 2**32 + low).flatten(1)[:, first % 2 :]


def alias_masses(weights: list[float]) -> list[int]:
    """Integers in proportion to the weights that sum to ``len(weights) * 2**32``."""
    heaviest = weights.index(max(weights))
    scaled = [weight / weights[heaviest] for weight in weights]
    total = lost = 0.0  # a compensated sum (Kahan), like sum() from Python 3.12 on
    for term in scaled:
        increased = total + (term - lost)
        lost = (increased - total) - (term - lost)
        total = increased
    whole = len(weights) * 2**32
    masses = [int(term / total * float(whole)) for term in scaled]
    masses[heaviest] += whole - sum(masses)
    return masses


def alias_table(weights: Tensor) -> Tensor:
    """The definition of :func:`atjt_ext.ops.alias_table`, to the bit."""
    masses = alias_masses(weights.tolist())
    table = list(range(len(masses)))  # own mass << 32 | alias

    def next_donor(start: int) -> int:
        return next((i for i in range(start, len(masses)) if masses[i] >= 2**32), len(masses))

    donor = next_donor(0)
    for index in range(len(masses)):
        poor = index
        while masses[poor] < 2**32:
            table[poor] = masses[poor] << 32 | donor
            masses[donor] -= 2**32 - masses[poor]
            if masses[donor] >= 2**32:
                break
            drained, donor = donor, next_donor(donor + 1)
            if drained > index:
                break  # the loop over index reaches it later
            poor = drained
    return torch.tensor([entry - (entry >> 63 << 64) for entry in table])


class _Items:
    """Draws of new items, in Python's unbounded integers."""

    def __init__(self, num_items: int, table: Tensor | None) -> None:
        self.num_items = num_items
        # (item, mass) of each half of every slot, in the order of the table.
        self.halves: list[tuple[int, int]] | None = None
        if table is not None:
            self.halves = []
            for slot, entry in enumerate(table.tolist()):
                own = entry >> 32 & _LOW
                self.halves += [(1 + slot, own), (1 + (entry & _LOW), 2**32 - own)]

    def drawn(self, word: list[int], original: int) -> int:
        """The item of one attempt."""
        x, y, z, _ = word
        draw = y << 32 | x
        if self.halves is None:
            item = 1 + (draw * (self.num_items - 1) >> 64)
            return item + (item >= original)
        slot = draw * self.num_items >> 64
        own, alias = self.halves[2 * slot : 2 * slot + 2]
        return own[0] if z < own[1] else alias[0]

    def remaining(self, word: list[int], excluded: set[int]) -> int | None:
        """An item that is not excluded; None if there is none."""
        x, y, _, _ = word
        draw = y << 32 | x
        halves = self.halves or [(item, 1) for item in range(1, self.num_items + 1)]
        left = [(item, mass) for item, mass in halves if item not in excluded]
        before = draw * sum(mass for _, mass in left) >> 64
        for item, mass in left:
            if before < mass:
                return item
            before -= mass
        return None


def random_replacement(
    sequences: Tensor,
    *,
    num_items: int,
    seed: int,
    step: int = 0,
    sequence_fraction: float | None = None,
    sequence_probability: float | None = None,
    num_replacements: int | None = None,
    replace_ratio: float | None = None,
    replace_probability: float | None = None,
    num_targets: int = 0,
    alias_table: Tensor | None = None,
    avoid_history: bool = False,
    features: Sequence[Tensor] = (),
    feature_tables: Sequence[Tensor] = (),
    row_keys: Tensor | None = None,
    padding_idx: int = 0,
) -> tuple[Tensor, Tensor, Tensor, tuple[Tensor, ...]]:
    """The definition of :func:`atjt_ext.ops.random_replacement`, to the bit."""
    rows, length = sequences.shape
    length = max(length - num_targets, 0)  # without target columns
    if row_keys is None:
        row_keys = torch.arange(rows)
    out, replaced = sequences.clone(), torch.zeros_like(sequences, dtype=torch.bool)
    new_features = tuple(column.clone() for column in features)
    if rows == 0 or length == 0 or num_items == 1:
        return out, replaced, replaced.any(dim=1), new_features
    positions = torch.arange(length)

    # Rows: the smallest 64-bit draws. Minus 2**63, they keep their order and fit int64.
    word = _draws(row_keys, _ROW, torch.tensor([0]), seed, step)[:, 0]
    draw = (word[:, 1] - 2**31) * 2**32 + word[:, 0]
    if sequence_probability is not None:
        limit = math.floor(sequence_probability * 2**64) - 2**63
        chosen_rows = [row for row, value in enumerate(draw.tolist()) if value < limit]
    else:
        share = 1.0 if sequence_fraction is None else sequence_fraction
        order = torch.argsort(draw, stable=True)
        chosen_rows = order[: math.floor(share * rows + 0.5)].tolist()

    # Positions: four neighbours share one call. The last position has the same index at any length.
    first = 2**28 - length
    groups = torch.arange(first // 4, 2**26)
    position_draws = _draws(row_keys, _POSITION, groups, seed, step).flatten(1)[:, first % 4 :]

    # Items: a uniform draw is never excluded, unless there is a history to avoid.
    attempts = 32 if avoid_history or alias_table is not None else 1
    item_words = [
        _draws(row_keys, _ITEM, positions + first ^ attempt << 23, seed, step).tolist()
        for attempt in range(attempts)
    ]
    exact_words = _draws(row_keys, _EXACT_ITEM, positions + first, seed, step).tolist()
    items = _Items(num_items, alias_table)

    for row in chosen_rows:
        valid = positions[sequences[row, :length] != padding_idx]
        order = valid[torch.argsort(position_draws[row, valid], stable=True)]
        if num_replacements is not None:
            chosen = order[:num_replacements]
        elif replace_ratio is not None:
            chosen = order[: math.floor(replace_ratio * len(valid) + 0.5)]
        else:
            assert replace_probability is not None
            limit = math.floor(replace_probability * 2**32)
            chosen = order[position_draws[row, order] < limit]
        history = set(sequences[row].tolist())
        for i in chosen.tolist():
            original = int(sequences[row, i])
            excluded = history if avoid_history else {original}
            candidates = (items.drawn(words[row][i], original) for words in item_words)
            item = next((item for item in candidates if item not in excluded), None)
            if item is None:
                item = items.remaining(exact_words[row][i], excluded)
            if item is None:
                continue
            out[row, i] = item
            replaced[row, i] = True
            for column, table in zip(new_features, feature_tables, strict=True):
                column[row, i] = table[item]
    return out, replaced, replaced.any(dim=1), new_features
