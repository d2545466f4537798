"""Replace random items of random sequences by other items: the corruption of the auxiliary task.

Liu et al. (JCST 39(5) 2024, arXiv:2409.17402) train the noise-recognition model to distinguish
sequences with randomly replaced items from untouched sequences.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ._checks import (
    check_device,
    check_integers,
    check_shape,
    number_or_tensor,
    require_integer,
    require_replacements,
    require_rows,
)
from ._library import contiguous, register
from ._native import _C

_MAX_FEATURES = 64
FEATURE_DTYPES = (torch.int32, torch.int64, torch.float32, torch.float64)


class RandomReplacementOutput(NamedTuple):
    """Result of :func:`random_replacement`."""

    sequences: Tensor
    """``[B, L]``, dtype of the input: the sequences after replacement."""
    replaced: Tensor
    """``[B, L]`` bool: true where an item was replaced."""
    noise_labels: Tensor
    """``[B]`` bool: true if an item of the row was replaced."""
    features: tuple[Tensor, ...] = ()
    """``[B, L]`` each: the feature columns, rewritten where an item was replaced."""


def _outputs(
    sequences: Tensor, features: Sequence[Tensor]
) -> tuple[Tensor, Tensor, Tensor, list[Tensor]]:
    def like(tensor: Tensor, dtype: torch.dtype) -> Tensor:
        return torch.empty_like(tensor, dtype=dtype, memory_format=torch.contiguous_format)

    return (
        like(sequences, sequences.dtype),
        like(sequences, torch.bool),
        sequences.new_empty((sequences.shape[0],), dtype=torch.bool),
        [like(column, column.dtype) for column in features],
    )


# Options of the operator and the kernel. seed and step are SymInt: a compiled training step is not
# compiled again for a new value.
_OPTIONS = (
    "int num_items, int padding_idx, int num_targets, float? sequence_fraction, "
    "float? sequence_probability, int? num_replacements, float? replace_ratio, "
    "float? replace_probability, bool avoid_history, SymInt seed, SymInt step, "
    "Tensor? seed_tensor, Tensor? step_tensor"
)
_NAMES = [option.split()[1] for option in _OPTIONS.split(", ")]


def _native(
    sequences: Tensor,
    row_keys: Tensor | None,
    alias_table: Tensor | None,
    features: Sequence[Tensor],
    feature_tables: Sequence[Tensor],
    *options: Any,
) -> tuple[Tensor, Tensor, Tensor, list[Tensor]]:
    out, replaced, noise_labels, features_out = _outputs(sequences, features)
    _C.random_replacement(
        sequences.contiguous(),
        row_keys=contiguous(row_keys),
        alias_table=contiguous(alias_table),
        features=[column.contiguous() for column in features],
        feature_tables=[table.contiguous() for table in feature_tables],
        out=out,
        replaced=replaced,
        noise_labels=noise_labels,
        features_out=features_out,
        num_threads=torch.get_num_threads(),
        **dict(zip(_NAMES, options, strict=True)),
    )
    return out, replaced, noise_labels, features_out


register(
    "_random_replacement(Tensor sequences, Tensor? row_keys, Tensor? alias_table, "
    f"Tensor[] features, Tensor[] feature_tables, {_OPTIONS}) "
    "-> (Tensor, Tensor, Tensor, Tensor[])",
    _native,
    lambda sequences, row_keys, alias_table, features, *_: _outputs(sequences, features),
)


def random_replacement(
    sequences: Tensor,
    *,
    num_items: int,
    seed: int | Tensor,
    step: int | Tensor = 0,
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
) -> RandomReplacementOutput:
    """Replace random items of random rows by other items.

    **Rows**: exactly ``floor(sequence_fraction * B + 0.5)`` rows, each subset equally likely; or
    each row independently with ``sequence_probability``; or, without either option, all rows.

    **Positions** of a chosen row with ``n`` items (neither padding nor in a target column): exactly
    ``min(num_replacements, n)`` or ``floor(replace_ratio * n + 0.5)``, each subset equally likely;
    or each position independently with ``replace_probability``.

    **Items**: any item except the original and, with ``avoid_history``, except all items of the
    row. Items are equally likely, or as likely as ``alias_table`` says. If no item remains, because
    the row holds all items or all items with a weight, the position keeps its item and does not
    count as replaced. Padding stays padding.

    The result depends on the arguments only: it has the same bits for any number of threads, on CPU
    and CUDA. One call is one kernel launch. Every random number is a Philox4x32-10 draw (Salmon et
    al., SC'11) with the key ``(seed, row key, purpose, position from the end, step)``. With
    ``row_keys``, the draws of a row depend neither on the rest of the batch nor on the padding on
    its left. The choice of an exact number of rows does depend on the batch: whether
    ``sequence_fraction`` takes a row depends on the draws of the other rows, and from 0.5 on it
    always takes the row of a batch of one. With ``sequence_probability``, or all rows, a row has
    the same result in any batch.

    Call it in the training process: after a fork, OpenMP with several threads can hang.

    Args:
        sequences: ``[B, L]``, int32 or int64, items ``1..num_items`` or ``padding_idx``, on CPU or
            CUDA; ``B < 2**31``, ``L <= 2**23``. Not written to.
        num_items: Size of the catalogue without padding, in ``[1, 2**31)``.
        seed, step: Parts of the key, as for :func:`atjt_ext.ops.keyed_draws`: numbers or tensors.
            Every step has new draws.
        sequence_fraction: Share of the rows to corrupt, in ``[0, 1]``.
        sequence_probability: Probability that a row is corrupted, in ``[0, 1]``. Pass at most one
            of these two.
        num_replacements: Number of items to replace in a chosen row, ``>= 0``.
        replace_ratio: Share of the items to replace in a chosen row, in ``[0, 1]``.
        replace_probability: Probability that an item of a chosen row is replaced, in ``[0, 1]``.
            Pass exactly one of these three.
        num_targets: Number of target columns at the end: copied, never replaced, not counted. The
            other columns get the same result as ``sequences[:, :-num_targets]``.
        alias_table: ``[num_items]`` int64 on the device of ``sequences``, made by
            :func:`atjt_ext.ops.alias_table`. ``None``: every item is equally likely.
        avoid_history: Draw no item of the row, target columns included.
        features: Up to 64 columns ``[B, L]``, int32, int64, float32 or float64, on the device of
            ``sequences``: a replaced position gets the feature of its new item. Not written to.
        feature_tables: For each column its table ``[num_items + 1]`` of the same dtype: entry ``i``
            is the feature of item ``i``.
        row_keys: ``[B]`` int64 names of the rows, e.g. user ids. ``None``: their indices.
        padding_idx: The id of empty positions; must not be an item.

    Returns:
        ``(sequences, replaced, noise_labels, features)``. A chosen row without a replacement (no
        items, or a share that rounds to 0) has a false noise label.

    Raises:
        ValueError: A wrong shape, dtype, device or option; a replacement with ``num_items == 1``,
            which leaves no other item; on the CPU an id that is neither padding nor an item. On
            CUDA a check would stall the device; such an id counts as an item there.
        TypeError: An option that is no number, or no integer as required.
        RuntimeError: A CUDA tensor in a build without CUDA kernels.

    Example:
        >>> import torch
        >>> from atjt_ext.ops import random_replacement
        >>> sequences = torch.tensor([[0, 5, 6, 7], [1, 2, 3, 4]])
        >>> noisy = random_replacement(sequences, num_items=9, num_replacements=1, seed=0)
        >>> noisy.replaced.sum(dim=1)
        tensor([1, 1])
    """
    _check_sequences(sequences, num_items, padding_idx)
    require_rows(sequence_fraction, sequence_probability)
    require_replacements(num_replacements, replace_ratio, replace_probability)
    require_integer("num_targets", num_targets, 0, 2**63, ">= 0")
    if row_keys is not None:
        check_shape("row_keys", row_keys, len(sequences))
        check_integers("row_keys", row_keys, sequences.device)
    if alias_table is not None:
        check_shape("alias_table", alias_table, num_items)
        check_integers("alias_table", alias_table, sequences.device)
    _check_features(features, feature_tables, sequences, num_items)
    replaces = num_replacements or replace_ratio or replace_probability
    if num_items == 1 and replaces and 0 not in (sequence_fraction, sequence_probability):
        raise ValueError("num_items must be at least 2 to replace an item by another one, got 1")
    seed, seed_tensor = number_or_tensor("seed", seed, 64, sequences.device)
    step, step_tensor = number_or_tensor("step", step, 32, sequences.device)
    noisy, replaced, noise_labels, new_features = torch.ops.atjt_ext._random_replacement(
        *(sequences, row_keys, alias_table, features, feature_tables),
        *(num_items, padding_idx, num_targets, sequence_fraction, sequence_probability),
        *(num_replacements, replace_ratio, replace_probability, avoid_history),
        *(seed, step, seed_tensor, step_tensor),
    )
    return RandomReplacementOutput(noisy, replaced, noise_labels, tuple(new_features))


def _check_sequences(sequences: Tensor, num_items: int, padding_idx: int) -> None:
    check_shape("sequences", sequences, "B", "L")
    if sequences.dtype not in (torch.int32, torch.int64):
        raise ValueError(f"sequences must be int32 or int64, got {sequences.dtype}")
    require_integer("num_items", num_items, 1, 2**31, "in [1, 2**31)")
    limits = torch.iinfo(sequences.dtype)
    wanted = f"in the range of {sequences.dtype} and outside 1..{num_items}"
    require_integer("padding_idx", padding_idx, limits.min, limits.max + 1, wanted)
    if 1 <= padding_idx <= num_items:
        raise ValueError(f"padding_idx must be {wanted}, got {padding_idx}")


def _check_features(
    features: Sequence[Tensor], tables: Sequence[Tensor], sequences: Tensor, num_items: int
) -> None:
    if len(features) > _MAX_FEATURES:
        raise ValueError(f"features must hold at most {_MAX_FEATURES} columns, got {len(features)}")
    if len(tables) != len(features):
        raise ValueError(
            f"feature_tables must hold a table for each of the {len(features)} features, "
            f"got {len(tables)}"
        )
    for i, (column, table) in enumerate(zip(features, tables, strict=True)):
        if column.dtype not in FEATURE_DTYPES:
            raise ValueError(
                f"features[{i}] must be int32, int64, float32 or float64, got {column.dtype}"
            )
        check_shape(f"features[{i}]", column, *sequences.shape)
        check_device(f"features[{i}]", column, sequences.device)
        check_shape(f"feature_tables[{i}]", table, num_items + 1)
        check_device(f"feature_tables[{i}]", table, sequences.device)
        if table.dtype != column.dtype:
            raise ValueError(
                f"feature_tables[{i}] must be {column.dtype} like features[{i}], got {table.dtype}"
            )
