"""Replace random items of random sequences by other items: the corruption of the auxiliary task.

Liu et al. (JCST 39(5) 2024, arXiv:2409.17402) train the noise-recognition model to tell sequences
with randomly replaced items from untouched ones. This operation makes the replaced ones.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from atjt_ext import _C
from atjt_ext.ops._library import register


class RandomReplacementOutput(NamedTuple):
    """What :func:`random_replacement` returns."""

    sequences: Tensor
    """``[B, L]``, dtype of the input: the sequences after replacement."""
    replaced: Tensor
    """``[B, L]`` bool: true where an item was replaced."""
    noise_labels: Tensor
    """``[B]`` bool: true where something in the row was replaced."""


def _outputs(sequences: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    return (
        torch.empty_like(sequences, memory_format=torch.contiguous_format),
        sequences.new_empty(sequences.shape, dtype=torch.bool),
        sequences.new_empty(sequences.shape[:1], dtype=torch.bool),
    )


def _native(
    sequences: Tensor,
    row_keys: Tensor | None,
    num_items: int,
    padding_idx: int,
    sequence_fraction: float,
    num_replacements: int,
    replace_ratio: float,
    seed: int,
    step: int,
) -> tuple[Tensor, Tensor, Tensor]:
    out, replaced, noise_labels = _outputs(sequences)
    _C.random_replacement(
        sequences.contiguous(),
        row_keys=None if row_keys is None else row_keys.contiguous(),
        out=out,
        replaced=replaced,
        noise_labels=noise_labels,
        num_items=num_items,
        padding_idx=padding_idx,
        sequence_fraction=sequence_fraction,
        num_replacements=num_replacements,
        replace_ratio=replace_ratio,
        seed=seed,
        step=step,
        num_threads=torch.get_num_threads(),
    )
    return out, replaced, noise_labels


def _fake(sequences: Tensor, *_: object) -> tuple[Tensor, Tensor, Tensor]:
    return _outputs(sequences)


# seed and step are SymInt, so that a compiled training step is not compiled again for each of them.
register(
    "_random_replacement(Tensor sequences, Tensor? row_keys, int num_items, int padding_idx, "
    "float sequence_fraction, int num_replacements, float replace_ratio, SymInt seed, "
    "SymInt step) -> (Tensor, Tensor, Tensor)",
    _native,
    _fake,
)


def random_replacement(
    sequences: Tensor,
    *,
    num_items: int,
    seed: int,
    step: int = 0,
    sequence_fraction: float = 1.0,
    num_replacements: int | None = None,
    replace_ratio: float | None = None,
    row_keys: Tensor | None = None,
    padding_idx: int = 0,
) -> RandomReplacementOutput:
    """Replace random items of random rows by other items, each chosen uniformly.

    Exactly ``floor(sequence_fraction * B + 0.5)`` rows are chosen. In a chosen row with ``n`` items
    (positions other than padding), exactly ``min(num_replacements, n)`` or
    ``floor(replace_ratio * n + 0.5)`` positions are replaced, every subset equally likely, each by
    an item other than the original, every other item equally likely. Padding stays padding.

    The result is a function of the arguments: the same for any number of threads, and the same bits
    on CPU and CUDA. Every random number is a Philox4x32-10 draw (Salmon et al., SC'11) named by
    ``(seed, row key, purpose, position from the end, step)``. With ``row_keys``, what is drawn for
    a row depends neither on the batch around it nor on how much padding the row has on its left;
    which rows are chosen does depend on the batch, as their number is exact.

    Call it in the training process: after a fork, OpenMP with several threads can hang.

    Args:
        sequences: ``[B, L]``, int32 or int64, items ``1..num_items`` or ``padding_idx``, on CPU or
            CUDA. Never written to.
        num_items: Size of the catalogue without padding, in ``[1, 2**31)``.
        seed: Key of the random numbers, in ``[0, 2**64)``.
        step: Another part of the key, in ``[0, 2**32)``: a new step draws anew.
        sequence_fraction: Share of the rows to corrupt, in ``[0, 1]``.
        num_replacements: How many items of a chosen row to replace, ``>= 0``.
        replace_ratio: Share of the items of a chosen row to replace, in ``[0, 1]``. Exactly one of
            ``num_replacements`` and ``replace_ratio`` is given.
        row_keys: ``[B]`` int64, names the rows (say, user ids). ``None``: their indices.
        padding_idx: The id of empty positions; must not be an item.

    Returns:
        ``(sequences, replaced, noise_labels)``. A chosen row in which nothing was replaced (it has
        no items, or the share rounds to 0) has a false noise label.

    Raises:
        ValueError: A wrong shape, dtype, device or option; ``num_items == 1`` where a replacement
            is asked for, since there is no other item; on the CPU an id that is neither padding nor
            an item. On CUDA, where looking would stall the device, such an id counts as an item.
        RuntimeError: A CUDA tensor, and no CUDA kernels in this build.

    Example:
        >>> import torch
        >>> from atjt_ext.ops import random_replacement
        >>> sequences = torch.tensor([[0, 5, 6, 7], [1, 2, 3, 4]])
        >>> noisy = random_replacement(sequences, num_items=9, num_replacements=1, seed=0)
        >>> noisy.replaced.sum(dim=1)
        tensor([1, 1])
    """
    _check_tensors(sequences, row_keys)
    _check_keys(seed, step)
    _check_amount(num_replacements, replace_ratio)
    _require(0 <= sequence_fraction <= 1, "sequence_fraction", "in [0, 1]", sequence_fraction)
    _require(1 <= num_items < 2**31, "num_items", "in [1, 2**31)", num_items)
    limits = torch.iinfo(sequences.dtype)
    _require(
        limits.min <= padding_idx <= limits.max and not 1 <= padding_idx <= num_items,
        "padding_idx",
        f"an id of dtype {sequences.dtype} outside 1..{num_items}",
        padding_idx,
    )
    if num_items == 1 and sequence_fraction > 0 and (num_replacements or replace_ratio):
        raise ValueError("num_items must be at least 2 to replace an item by another one, got 1")
    return RandomReplacementOutput(
        *torch.ops.atjt_ext._random_replacement(
            sequences,
            row_keys,
            num_items,
            padding_idx,
            float(sequence_fraction),
            -1 if num_replacements is None else num_replacements,
            0.0 if replace_ratio is None else float(replace_ratio),
            seed if seed < 2**63 else seed - 2**64,  # the schema's int is signed
            step,
        )
    )


def _require(condition: bool, name: str, wanted: str, got: object) -> None:
    if not condition:
        raise ValueError(f"{name} must be {wanted}, got {got}")


def _check_tensors(sequences: Tensor, row_keys: Tensor | None) -> None:
    if sequences.dim() != 2:
        raise ValueError(f"sequences must be [B, L], got shape {tuple(sequences.shape)}")
    if sequences.dtype not in (torch.int32, torch.int64):
        raise ValueError(f"sequences must be int32 or int64, got {sequences.dtype}")
    if row_keys is None:
        return
    if row_keys.shape != sequences.shape[:1]:
        raise ValueError(
            f"row_keys must be [{sequences.shape[0]}], got shape {tuple(row_keys.shape)}"
        )
    if row_keys.dtype != torch.int64:
        raise ValueError(f"row_keys must be int64, got {row_keys.dtype}")
    if row_keys.device != sequences.device:
        raise ValueError(f"row_keys must be on {sequences.device}, got {row_keys.device}")


def _check_keys(seed: int, step: int) -> None:
    _require(0 <= seed < 2**64, "seed", "in [0, 2**64)", seed)
    _require(0 <= step < 2**32, "step", "in [0, 2**32)", step)


def _check_amount(num_replacements: int | None, replace_ratio: float | None) -> None:
    if (num_replacements is None) == (replace_ratio is None):
        raise ValueError(
            "give exactly one of num_replacements and replace_ratio, "
            f"got num_replacements={num_replacements} and replace_ratio={replace_ratio}"
        )
    if num_replacements is not None:
        _require(0 <= num_replacements < 2**63, "num_replacements", ">= 0", num_replacements)
    if replace_ratio is not None:
        _require(0 <= replace_ratio <= 1, "replace_ratio", "in [0, 1]", replace_ratio)
