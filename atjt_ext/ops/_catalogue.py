"""What the operations on a table of items share: their checks."""

from __future__ import annotations

import torch
from torch import Tensor

from atjt_ext.ops._row_losses import check_dtype


def check_catalogue(hidden: Tensor, item_embeddings: Tensor, bias: Tensor | None = None) -> None:
    """Raises ValueError unless these are ``[N, D]``, ``[V, D]`` and ``[V]``, V >= 1, of one device,
    and hidden states and table of one dtype."""
    if hidden.dim() != 2:
        raise ValueError(f"hidden must be [N, D], got shape {tuple(hidden.shape)}")
    check_dtype("hidden", hidden)
    check_table(hidden, item_embeddings, bias)
    if item_embeddings.dtype != hidden.dtype:
        raise ValueError(
            f"item_embeddings must be {hidden.dtype} as hidden, got {item_embeddings.dtype}"
        )


def check_table(hidden: Tensor, item_embeddings: Tensor, bias: Tensor | None) -> None:
    """Raises ValueError unless the table is ``[V, D]``, V >= 1, beside ``hidden [..., D]``, and the
    bias ``[V]``, floating point; dtypes of hidden states and table are left to the caller."""
    width, got = hidden.shape[-1], tuple(item_embeddings.shape)
    if len(got) != 2 or got[0] == 0 or got[1] != width:
        raise ValueError(
            f"item_embeddings must be [V, {width}], as wide as hidden, with V >= 1, got shape {got}"
        )
    _check_place("item_embeddings", item_embeddings, hidden)
    if bias is None:
        return
    if bias.shape != item_embeddings.shape[:1]:
        raise ValueError(f"bias must be [{got[0]}], got shape {tuple(bias.shape)}")
    if not bias.is_floating_point():
        raise ValueError(f"bias must be floating point, got {bias.dtype}")
    _check_place("bias", bias, hidden)


def check_integers(name: str, integers: Tensor, hidden: Tensor) -> None:
    """Raises ValueError unless they are int64 beside ``hidden``; values are not looked at."""
    if integers.dtype != torch.int64:
        raise ValueError(f"{name} must be int64, got {integers.dtype}")
    _check_place(name, integers, hidden)


def check_indices(name: str, indices: Tensor, shape: str, length: int, beside: Tensor) -> None:
    """Raises ValueError unless ``indices`` are int64, ``[length]``; values are not looked at."""
    if indices.dim() != 1 or indices.shape[0] != length:
        raise ValueError(f"{name} must be {shape}, got shape {tuple(indices.shape)}")
    check_integers(name, indices, beside)


def check_excluded(
    exclude_rows: Tensor | None, exclude_items: Tensor | None, hidden: Tensor
) -> None:
    """Raises ValueError unless these are pairs, or both absent."""
    if exclude_rows is None and exclude_items is None:
        return
    if exclude_rows is None or exclude_items is None:
        missing = "exclude_rows" if exclude_rows is None else "exclude_items"
        raise ValueError(f"exclude_rows and exclude_items go together, got no {missing}")
    pairs = exclude_rows.shape[0] if exclude_rows.dim() == 1 else -1
    check_indices("exclude_rows", exclude_rows, "[P]", pairs, hidden)
    check_indices("exclude_items", exclude_items, f"[{pairs}]", pairs, hidden)


def require_in_range(name: str, indices: Tensor, bound: int) -> None:
    """Raises IndexError unless all are in ``[0, bound)``. It waits for the device."""
    wrong = (indices < 0) | (indices >= bound)
    if bool(wrong.any()):
        at = int(wrong.nonzero()[0])
        raise IndexError(f"{name} must be in [0, {bound}), got {int(indices[at])} at {at}")


def _check_place(name: str, tensor: Tensor, hidden: Tensor) -> None:
    if tensor.device != hidden.device:
        raise ValueError(f"{name} must be on {hidden.device} as hidden, got {tensor.device}")
