"""Checks of arguments. An error names the argument, the wanted value and the given value."""

from __future__ import annotations

import operator
from numbers import Real

import torch
from torch import Tensor

from ._dtypes import DTYPES, arithmetic

# ---- numbers ------------------------------------------------------------------------------------


def require_integer(name: str, value: object, low: int, high: int, wanted: str) -> int:
    """``value`` as an int in ``[low, high)``; ``wanted`` describes the range in the error.

    Raises:
        TypeError: ``value`` is no integer (2.0 is none).
        ValueError: ``value`` is out of range.
    """
    if not isinstance(value, int):
        try:
            value = operator.index(value)  # type: ignore[arg-type]
        except TypeError:
            raise TypeError(f"{name} must be an integer {wanted}, got {value!r}") from None
    if not low <= value < high:
        raise ValueError(f"{name} must be {wanted}, got {value}")
    return value


def require_count(name: str, value: object, ratio_name: str) -> None:
    """Raises as :func:`require_integer` unless ``value >= 0``; the error names the option for a
    share."""
    require_integer(name, value, 0, 2**63, f">= 0 ({ratio_name} takes a share)")


def require_share(name: str, value: object) -> None:
    """Raises TypeError unless ``value`` is a real number, ValueError unless it is in [0, 1]."""
    if not isinstance(value, (float, int, Real)):
        raise TypeError(f"{name} must be a number in [0, 1], got {value!r}")
    if not 0 <= float(value) <= 1:
        raise ValueError(f"{name} must be in [0, 1], got {value}")


def require_rows(sequence_fraction: float | None, sequence_probability: float | None) -> None:
    """Raises ValueError if both are given; TypeError or ValueError for a value that is no share."""
    if sequence_fraction is not None:
        if sequence_probability is not None:
            raise ValueError(
                "at most one of sequence_fraction and sequence_probability may be given, got "
                f"sequence_fraction={sequence_fraction}, "
                f"sequence_probability={sequence_probability}"
            )
        require_share("sequence_fraction", sequence_fraction)
    elif sequence_probability is not None:
        require_share("sequence_probability", sequence_probability)


def require_replacements(
    num_replacements: int | None, replace_ratio: float | None, replace_probability: float | None
) -> None:
    """Raises ValueError or TypeError unless exactly one is given, and in range."""
    given = [x is not None for x in (num_replacements, replace_ratio, replace_probability)]
    if sum(given) != 1:
        raise ValueError(
            "exactly one of num_replacements, replace_ratio and replace_probability must be given, "
            f"got num_replacements={num_replacements}, replace_ratio={replace_ratio}, "
            f"replace_probability={replace_probability}"
        )
    if num_replacements is not None:
        require_count("num_replacements", num_replacements, "replace_ratio")
    elif replace_ratio is not None:
        require_share("replace_ratio", replace_ratio)
    else:
        require_share("replace_probability", replace_probability)


def number_or_tensor(
    name: str, value: int | Tensor, bits: int, device: torch.device
) -> tuple[int, Tensor | None]:
    """A seed or step for a kernel: the number as signed int64, or 0 and the tensor.

    Raises:
        ValueError: a number outside ``[0, 2**bits)``, or a tensor other than 0-d int64 on
            ``device``.
        TypeError: neither an integer nor a tensor.
    """
    if isinstance(value, Tensor):
        if value.dim() != 0 or value.dtype != torch.int64 or value.device != device:
            got = f"shape {tuple(value.shape)}, {value.dtype} on {value.device}"
            raise ValueError(f"{name} must be a number or 0-d int64 on {device}, got {got}")
        return 0, value
    number = require_integer(name, value, 0, 2**bits, f"in [0, 2**{bits})")
    return number if number < 2**63 else number - 2**64, None


# ---- tensors ------------------------------------------------------------------------------------


def check_shape(name: str, tensor: Tensor, *shape: int | str) -> None:
    """Raises ValueError unless ``tensor`` has this shape; a letter stands for any size."""
    if tensor.dim() != len(shape) or any(
        not isinstance(wanted, str) and size != wanted
        for size, wanted in zip(tensor.shape, shape, strict=True)
    ):
        wanted = ", ".join(map(str, shape))
        raise ValueError(f"{name} must be [{wanted}], got shape {tuple(tensor.shape)}")


def check_integers(name: str, integers: Tensor, device: torch.device) -> None:
    """Raises ValueError unless ``integers`` are int64 on ``device``; their values may be any."""
    if integers.dtype != torch.int64:
        raise ValueError(f"{name} must be int64, got {integers.dtype}")
    check_device(name, integers, device)


def check_floats(name: str, floats: Tensor, device: torch.device) -> None:
    """Raises ValueError unless ``floats`` are floating point on ``device``."""
    if not floats.is_floating_point():
        raise ValueError(f"{name} must be floating point, got {floats.dtype}")
    check_device(name, floats, device)


def check_device(name: str, tensor: Tensor, device: torch.device) -> None:
    """Raises ValueError unless ``tensor`` is on ``device``."""
    if tensor.device != device:
        raise ValueError(f"{name} must be on {device}, got {tensor.device}")


def check_dtype(name: str, tensor: Tensor) -> None:
    """Raises ValueError unless there are kernels for the dtype."""
    if tensor.dtype not in DTYPES:
        names = ", ".join(str(dtype) for dtype in DTYPES)
        raise ValueError(f"{name} must be one of {names}, got {tensor.dtype}")


def require_in_range(name: str, indices: Tensor, bound: int) -> None:
    """Raises IndexError unless all are in ``[0, bound)``. Waits for the device."""
    wrong = (indices < 0) | (indices >= bound)
    if bool(wrong.any()):
        at = int(wrong.nonzero()[0])
        raise IndexError(f"{name} must be in [0, {bound}), got {int(indices[at])} at {at}")


# ---- arguments that several operations have -----------------------------------------------------


def check_reduction(reduction: str) -> None:
    """Raises ValueError unless ``reduction`` is a :data:`~atjt_ext.ops.Reduction`."""
    if reduction not in ("none", "sum", "mean", "weighted_mean"):
        raise ValueError(f"reduction must be none, sum, mean or weighted_mean, got {reduction!r}")


def check_label_smoothing(label_smoothing: float) -> None:
    """Raises ValueError unless ``label_smoothing`` is in [0, 1]."""
    if not 0 <= label_smoothing <= 1:
        raise ValueError(f"label_smoothing must be in [0, 1], got {label_smoothing}")


def check_temperature(temperature: float | Tensor, dtype: torch.dtype) -> None:
    """Raises TypeError for a tensor, ValueError unless the reciprocal is finite in ``dtype``."""
    if isinstance(temperature, Tensor):
        raise TypeError(
            "temperature must be a number, got a tensor; to learn a temperature, divide hidden "
            "(and bias) by it"
        )
    if not 0 < temperature < float("inf"):
        raise ValueError(f"temperature must be finite and above 0, got {temperature}")
    least = torch.finfo(arithmetic(dtype)).tiny
    if temperature < least:
        raise ValueError(f"temperature must be at least {least}, got {temperature}")


def check_z_loss(z_loss: float) -> None:
    """Raises ValueError unless ``z_loss`` is finite and at least 0."""
    if not 0 <= z_loss < float("inf"):
        raise ValueError(f"z_loss must be finite and at least 0, got {z_loss}")


def check_beta(beta: float) -> None:
    """Raises ValueError unless ``beta`` is finite and above 0."""
    if not 0 < beta < float("inf"):
        raise ValueError(f"beta must be positive and finite, got {beta}")


def check_sample_weight(
    sample_weight: Tensor | None, shape: torch.Size, device: torch.device
) -> None:
    """Raises ValueError unless the weights are floating point, of this shape, on ``device``."""
    if sample_weight is not None:
        check_shape("sample_weight", sample_weight, *shape)
        check_floats("sample_weight", sample_weight, device)


def check_catalogue(hidden: Tensor, item_embeddings: Tensor, bias: Tensor | None = None) -> None:
    """Raises ValueError unless these are ``[N, D]``, ``[V, D]`` and ``[V]``, V >= 1, on one device,
    and ``item_embeddings`` have the dtype of ``hidden``."""
    check_shape("hidden", hidden, "N", "D")
    check_dtype("hidden", hidden)
    check_table(hidden, item_embeddings, bias)
    if item_embeddings.dtype != hidden.dtype:
        raise ValueError(
            f"item_embeddings must be {hidden.dtype} like hidden, got {item_embeddings.dtype}"
        )


def check_table(hidden: Tensor, item_embeddings: Tensor, bias: Tensor | None) -> None:
    """Raises ValueError unless the table is ``[V, D]``, V >= 1, for ``hidden [..., D]``, and the
    bias ``[V]``, floating point. Does not check the dtypes of ``hidden`` and table."""
    width, got = hidden.shape[-1], tuple(item_embeddings.shape)
    if len(got) != 2 or got[0] == 0 or got[1] != width:
        raise ValueError(
            f"item_embeddings must be [V, {width}], as wide as hidden, with V >= 1, got shape {got}"
        )
    check_device("item_embeddings", item_embeddings, hidden.device)
    if bias is not None:
        check_shape("bias", bias, got[0])
        check_floats("bias", bias, hidden.device)


def check_excluded(
    exclude_rows: Tensor | None, exclude_items: Tensor | None, device: torch.device
) -> None:
    """Raises ValueError unless both are absent, or int64 of one length on ``device``."""
    if exclude_rows is None and exclude_items is None:
        return
    if exclude_rows is None or exclude_items is None:
        missing = "exclude_rows" if exclude_rows is None else "exclude_items"
        raise ValueError(f"exclude_rows and exclude_items go together, got no {missing}")
    check_shape("exclude_rows", exclude_rows, "P")
    check_shape("exclude_items", exclude_items, len(exclude_rows))
    check_integers("exclude_rows", exclude_rows, device)
    check_integers("exclude_items", exclude_items, device)
